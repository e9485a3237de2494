#!/usr/bin/python3
"""A service is killed in a real VM: it comes back, decided across the bus."""
import unittest

import cloud
import guest


class Services(unittest.TestCase):
    def test_killed_service_comes_back(self):
        with cloud.Cloud() as site:
            a = site.hypervisor('a', 11)
            web = site.guest('web', '10.99.0.50', '--service', 'systemd:nginx')
            domain = site.boot(web, a)
            nginx = 'service/%s/nginx' % web.uuid
            site.wait_state(nginx, 'running')
            before = guest.run(domain, '/bin/systemctl', 'show', '-P', 'MainPID', 'nginx')[1]
            guest.run(domain, '/bin/systemctl', 'kill', '-s', 'KILL', 'nginx')
            site.wait_why(nginx, 'healed')
            site.wait_state(nginx, 'running')
            after = guest.run(domain, '/bin/systemctl', 'show', '-P', 'MainPID', 'nginx')[1]
            self.assertNotIn(after.strip(), ('', '0', before.strip()), site.why(nginx))


if __name__ == '__main__':
    cloud.skip_unless_available()
    unittest.main(verbosity=2)
