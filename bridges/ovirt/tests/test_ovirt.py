#!/usr/bin/python3
"""A real broker, a real policy engine, the bridge over TLS, and an oVirt engine that is as strict as its API model: what ends a VM there, what
Mend does about it through the REST API, and what is never done twice."""
import json
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import engine as ovirt
import mendsite
from mendsite import wait_for

A, B = 'aaaaaaaa-0000-4000-8000-00000000000a', 'bbbbbbbb-0000-4000-8000-00000000000b'
WEB, DB = '11111111-0000-4000-8000-000000000001', '22222222-0000-4000-8000-000000000002'
POLICY = '''
mend: 1
applications:
  - name: shop
    vms:
      - {name: web, match: {name: web}, ha: true}
'''


class Ovirt(unittest.TestCase):
    POLICY = POLICY

    def setUp(self):
        self.site = mendsite.Site()
        self.addCleanup(self.end)
        self.engine = ovirt.Engine()
        self.engine.add_host(A, 'node-a')
        self.engine.add_host(B, 'node-b')
        self.engine.add_vm(WEB, 'web', host=A)
        self.engine.add_vm(DB, 'db', host=B)
        tls = self.site.path('tls')
        os.mkdir(tls)
        ovirt.make_certificates(tls)
        self.server = ovirt.Server(self.engine, tls)
        self.site.broker()
        folder = self.site.path('credentials')
        os.mkdir(folder, 0o700)
        for host in (A, B):
            with open(os.path.join(folder, 'host-' + host), 'w') as out:
                out.write(self.site.mend('enrol', '--host', host).stdout)
        with open(self.site.path('password'), 'w') as out:
            out.write(ovirt.PASSWORD + '\n')
        os.chmod(self.site.path('password'), 0o600)
        self.site.policy('--policy', self.site.write('policy.yaml', self.POLICY))

    def end(self):
        failed = any(error for _, error in getattr(self._outcome, 'errors', ())) or not getattr(self._outcome, 'success', True)
        self.server.close()
        self.site.__exit__(AssertionError if failed else None, None, None)

    def bridge(self, *options):
        self.site.start('bridge', os.path.join(mendsite.BIN, 'mend-bridge'), 'ovirt-engine', '--url', self.server.url, '--ca', self.site.path('tls/ca.pem'),
                        '--password-file', self.site.path('password'), '--credentials', self.site.path('credentials'), '--data', self.site.path('bridge'),
                        '--poll', '200ms', '--inventory', '2s', '--heartbeat', '1s', *options)

    def up(self, *options):
        self.bridge(*options)
        self.wait_state(WEB, 'running')
        self.wait_state(DB, 'running')

    def entity(self, path):
        return self.site.entities().get(path, {})

    def wait_state(self, vm, state, timeout=30):
        return wait_for('vm %s %s' % (vm[:4], state), lambda: self.entity('vm/' + vm).get('state') == state and self.entity('vm/' + vm), timeout)

    def why(self, path='vm/' + WEB):
        return self.site.mend('why', path, check=False).stdout

    def wait_why(self, words, path='vm/' + WEB, timeout=60):
        return wait_for('%r in why' % words, lambda: words in self.why(path) and self.why(path), timeout)

    def starts(self, vm=WEB):
        return len(self.engine.asked('POST /ovirt-engine/api/vms/%s/start' % vm))

    def stay(self, seconds):
        """Nothing is to happen: only time can show that."""
        time.sleep(seconds)


class Healing(Ovirt):
    def test_crashed_vm_is_started_again_by_policy(self):
        self.up()
        self.assertIn('matahariproject.org:mend-host:' + A, self.site.agents())
        self.engine.crash(WEB)
        wait_for('the VM to run in oVirt', lambda: self.engine.vms[WEB]['status'] == 'up', 60)
        why = self.wait_why('healed')
        self.assertIn('lost-qemu', why)
        self.assertIn('vm.start', why)
        self.assertEqual(self.starts(), 1)
        self.assertEqual(self.engine.logins, 1)

    def test_vm_that_a_person_stopped_stays_off(self):
        self.up()
        self.engine.user_stop(WEB)
        state = self.wait_state(WEB, 'stopped')
        self.assertEqual(state['data']['intent'], 'admin')
        self.stay(4)
        self.assertEqual(self.starts(), 0)
        self.assertEqual(self.engine.vms[WEB]['status'], 'down')


if __name__ == '__main__':
    unittest.main(verbosity=2)
