#!/usr/bin/python3
"""The QEMU guest agent of a real guest as a second source: facts with source and age, frozen told from dead, a disabled command no error."""
import json
import os
import time
import unittest

import cloud
import guest

HERE = os.path.dirname(os.path.abspath(__file__))


class GuestFacts(unittest.TestCase):
    def facts(self, site, host, vm):
        done = site.lan.run(['/usr/bin/python3', os.path.join(HERE, 'qmf_objects.py'), 'amqps://%s:%d' % (site.lan.address, site.port),
                             os.path.join(site.data, 'tls', 'ca.pem'), 'operator', site.password('operator'),
                             'matahariproject.org:mend-host:' + host.uuid, 'VmFacts'], check=False)
        if done.returncode:
            raise ValueError(done.stderr)
        return next((each for each in json.loads(done.stdout) if each['name'] == vm.uuid), {'facts': {}, 'channels': {}})

    def wait_channel(self, site, host, vm, state, timeout=40):
        cloud.mendsite.wait_for('qga ' + state, lambda: self.facts(site, host, vm)['channels'].get('qga') == state, timeout, 0.3)

    def test_all(self):
        with cloud.Cloud() as site:
            a = site.hypervisor('a', 11)
            vm = site.guest('facts', None, '--service', 'systemd:nginx')
            domain = site.boot(vm, a)
            self.wait_channel(site, a, vm, 'alive')
            cloud.mendsite.wait_for('its facts', lambda: {'hostname', 'os', 'users', 'interfaces', 'filesystems'} <=
                                    set(self.facts(site, a, vm)['facts']), 40, 0.5)
            facts = self.facts(site, a, vm)['facts']
            print({name: (fact['source'], fact['age_ms']) for name, fact in facts.items()})
            self.assertEqual(facts['hostname']['value'], 'facts')
            self.assertEqual(facts['hostname']['source'], 'qga')
            self.assertEqual(facts['os']['value']['id'], 'debian')
            self.assertEqual([each['name'] for each in facts['interfaces']['value']], ['lo'])
            self.assertLess(facts['users']['age_ms'], 60000)

            domain.fsFreeze()                                   # frozen, and not dead
            self.wait_channel(site, a, vm, 'frozen')
            time.sleep(6)
            self.assertEqual(self.facts(site, a, vm)['channels']['qga'], 'frozen')
            domain.fsThaw()
            self.wait_channel(site, a, vm, 'alive')

            domain.suspend()                                    # it cannot be asked: no news is no death
            self.wait_channel(site, a, vm, 'unknown')
            domain.resume()
            self.wait_channel(site, a, vm, 'alive')

            guest.ask(domain, 'guest-exec', {'path': '/bin/sh', 'arg': ['-c', 'sleep 1; kill -STOP $PPID']})
            self.wait_channel(site, a, vm, 'gone')              # its port is open and it does not answer


if __name__ == '__main__':
    cloud.skip_unless_available()
    unittest.main(verbosity=2)
