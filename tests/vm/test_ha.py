#!/usr/bin/python3
"""Virtual machines that must not stay down, on real hosts with real libvirt: what ends them, what Mend does about it, and that no VM
ever runs twice."""
import os
import signal
import time
import unittest

import cloud
import guest
import mendsite

POLICY = '''
mend: 1
applications:
  - name: shop
    vms:
      - {name: web, match: {name: web}, ha: true, services: [{name: nginx, standard: systemd}]}
'''


class HighAvailability(cloud.Case):
    POLICY = POLICY

    def setUp(self):
        self.a = self.site.hypervisor('a', 11)
        self.web = self.site.guest('web', '10.99.0.50', '--service', 'systemd:nginx')
        self.vm = 'vm/' + self.web.uuid

    def test_killed_qemu_starts_again(self):
        domain = self.site.boot(self.web, self.a)
        self.site.wait_state(self.vm, 'running')
        before = self.a.qemu_pid(self.web.uuid)
        os.kill(before, signal.SIGKILL)
        with cloud.Clock() as took:
            mendsite.wait_for('another qemu', lambda: self.a.qemu_pid(self.web.uuid) not in (None, before), 30)
        print('qemu killed, another one after %.2f s' % took.seconds)
        self.web.wait('GUEST-UP', times=2)
        self.site.wait_state('service/%s/nginx' % self.web.uuid, 'running')
        self.assertEqual(self.site.runs_on(self.web), ['a'])
        self.site.wait_why(self.vm, 'healed')
        self.assertIn('lost-qemu', self.site.why(self.vm))

    def test_shut_down_on_purpose_stays_down(self):
        domain = self.site.boot(self.web, self.a)
        self.site.wait_state(self.vm, 'running')
        guest.run(domain, '/bin/systemctl', 'poweroff')
        self.site.wait_state(self.vm, 'stopped', 60)
        time.sleep(5)
        self.assertEqual(self.site.runs_on(self.web), [])


if __name__ == '__main__':
    cloud.skip_unless_available()
    unittest.main(verbosity=2)
