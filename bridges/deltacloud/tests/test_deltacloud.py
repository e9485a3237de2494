#!/usr/bin/python3
"""A real broker, a real policy engine, the bridge, and a cloud behind Deltacloud's API: a stand-in with faults, and Deltacloud's own server
with its mock driver where `deltacloudd` is on the PATH."""
import base64
import json
import os
import shutil
import socket
import sys
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cloud as clouds
import mendsite
from mendsite import wait_for

HOST = '0e17ac10-0000-4000-8000-000000000001'
AGENT = 'matahariproject.org:mend-host:' + HOST
POLICY = '''
mend: 1
applications:
  - name: shop
    vms:
      - {name: web, match: {name: web}, ha: true}
'''


class Base(unittest.TestCase):
    def setUp(self):
        self.site = mendsite.Site()
        self.addCleanup(self.end)
        self.site.broker()
        for name, text in (('credentials', self.site.mend('enrol', '--host', HOST).stdout), ('password', clouds.PASSWORD + '\n')):
            os.chmod(self.site.write(name, text), 0o600)
        self.site.policy('--policy', self.site.write('policy.yaml', POLICY))

    def end(self):
        result = self._outcome.result
        failed = any(case is self for case, _ in result.failures + result.errors)
        status = self.site.stop('bridge') if 'bridge' in self.site.running else 0
        if status != 0:
            print('the bridge ended with %d:\n%s' % (status, self.site.log('bridge')[-6000:]))
        self.close_cloud()
        self.site.__exit__(AssertionError if failed or status != 0 else None, None, None)
        self.assertEqual(status, 0)

    def bridge(self, *options):
        self.site.start('bridge', os.path.join(mendsite.BIN, 'mend-bridge'), 'deltacloud', '--url', self.url, '--user', clouds.USER,
                        '--password-file', self.site.path('password'), '--credentials', self.site.path('credentials'), '--id', HOST,
                        '--data', self.site.path('bridge'), '--poll', '200ms', '--heartbeat', '1s', *options)

    def vm(self, name='web'):
        """(path, entity) of the VM with this name."""
        return next(((path, each) for path, each in self.site.entities().items() if path.startswith('vm/') and each['data'].get('name') == name), None)

    def wait_state(self, state, name='web', timeout=30):
        return wait_for('%s %s' % (name, state), lambda: self.vm(name) and self.vm(name)[1]['state'] == state and self.vm(name), timeout)

    def why(self):
        found = self.vm()
        return self.site.mend('why', found[0], check=False).stdout if found else ''

    def wait_why(self, words, timeout=60):
        return wait_for('%r in why' % words, lambda: words in self.why() and self.why(), timeout)

    def call(self, method, name='web', **arguments):
        words = ['%s=%s' % each for each in dict(arguments, name=self.vm(name)[0][3:]).items()]
        done = self.site.mend('call', AGENT, 'Hypervisor', method, *words, '--timeout', '60s', check=False, timeout=90)
        return done.stdout + done.stderr


class Standin(Base):
    def setUp(self):
        self.cloud = clouds.Cloud()
        self.cloud.add('inst0', 'web')
        self.cloud.add('inst1', 'db')
        self.server = clouds.Server(self.cloud)
        self.url = self.server.url
        super().setUp()

    def close_cloud(self):
        self.server.close()

    def up(self, *options):
        self.bridge(*options)
        self.wait_state('running')
        self.wait_state('running', 'db')

    def starts(self):
        return len(self.cloud.asked('POST /api/instances/inst0/start'))


class Heals(Standin):
    def test_what_stops_by_itself_is_started_where_that_was_said(self):
        self.up('--stopped', 'crashed')
        self.cloud.stop('inst0')
        why = self.wait_why('healed')
        self.assertIn('vm.start', why)
        self.assertEqual((self.starts(), self.cloud.state('inst0')), (1, 'RUNNING'))

    def test_what_stopped_for_an_unknown_reason_is_left(self):
        self.up()
        self.cloud.stop('inst0')
        self.assertEqual(self.wait_state('stopped')[1]['data']['intent'], 'unknown')
        time.sleep(3)
        self.assertEqual(self.starts(), 0)

    def test_what_mend_stopped_stays_so(self):
        self.up('--stopped', 'crashed')
        self.assertIn('state = stopped', self.call('vm_stop'))
        self.assertEqual(self.wait_state('stopped')[1]['data']['intent'], 'command')
        self.site.stop('bridge', 9)
        self.bridge('--stopped', 'crashed')
        wait_for('the bridge to look', lambda: self.site.log('bridge').count('has 2 instances') == 2)
        time.sleep(3)
        self.assertEqual((self.starts(), self.cloud.state('inst0')), (0, 'STOPPED'))

    def test_what_stopped_while_nobody_looked(self):
        self.up('--stopped', 'crashed')
        self.site.stop('bridge', 9)
        self.cloud.stop('inst0')
        self.bridge('--stopped', 'crashed')
        self.wait_why('healed')
        self.assertEqual(self.starts(), 1)

    def test_commands_go_by_what_is_offered(self):
        self.up()
        self.assertIn('rc = 0', self.call('vm_start'))  # it runs
        self.assertEqual(self.starts(), 0)
        self.assertIn('rc = 0', self.call('vm_reboot'))
        self.assertEqual(self.cloud.instances['inst0']['boots'], 1)
        self.assertIn('--destroy allows that', self.call('vm_undefine', 'db'))
        self.cloud.turn('inst1', 'ERROR', None)
        self.wait_state('unknown', 'db')
        self.assertIn("it is ERROR, and Deltacloud offers no 'start' of it", self.call('vm_start', 'db'))
        self.assertEqual(len(self.cloud.asked('inst1/')), 0)

    def test_destroyed_is_no_failure(self):
        self.up('--destroy')
        self.assertIn("offers no 'destroy'", self.call('vm_undefine', 'db'))
        self.assertIn('rc = 0', self.call('vm_stop', 'db'))
        self.assertIn('rc = 0', self.call('vm_undefine', 'db'))
        self.assertNotIn('inst1', self.cloud.instances)
        with self.cloud.lock:
            del self.cloud.instances['inst0']
        self.assertEqual(self.wait_state('stopped')[1]['data']['reason'], 'removed')


class Faults(Standin):
    def up(self):
        super().up('--stopped', 'crashed', '--timeout', '1s')

    def broken_start(self, *fault, **more):
        self.up()
        self.cloud.fault('inst0/start', *fault, **more)
        self.cloud.stop('inst0')
        self.wait_why('healed', 90)
        self.assertEqual(self.cloud.state('inst0'), 'RUNNING')

    def test_answer_cut_off_after_it_was_done(self):
        self.broken_start('cut')
        self.assertEqual(self.starts(), 1)

    def test_answer_late(self):
        self.broken_start('late', seconds=3)
        self.assertEqual(self.starts(), 1)

    def test_request_lost_before_it_was_done(self):
        self.broken_start('lost')
        self.assertEqual(self.starts(), 2)
        self.assertIn('timeout', self.why())

    def test_server_error_is_tried_again_by_policy(self):
        self.broken_start('status', status=502)
        self.assertEqual(self.starts(), 2)
        self.assertIn('Backend Server Error', self.site.log('bridge'))

    def test_malformed_lists_change_nothing(self):
        self.up()
        self.cloud.fault('GET /api/instances', 'malformed', times=3)
        self.cloud.fault('GET /api/instances', 'status', times=3, status=500)
        wait_for('it to be reached again', lambda: 'is reached again' in self.site.log('bridge'))
        self.assertEqual(self.vm()[1]['state'], 'running')
        self.assertEqual(self.starts(), 0)

    def test_server_away_makes_nobody_dead(self):
        self.up()
        self.cloud.down = True
        wait_for('the bridge to say so', lambda: 'is out of reach' in self.site.mend('agents').stdout, 30)
        time.sleep(3)
        self.assertEqual(self.site.agents()[AGENT]['state'], 'up')
        self.assertEqual(self.vm()[1]['state'], 'running')
        self.cloud.stop('inst0')
        self.cloud.down = False
        self.wait_why('healed')
        self.assertEqual(self.starts(), 1)

    def test_wrong_password(self):
        os.chmod(self.site.write('password', 'another\n'), 0o600)
        self.bridge()
        wait_for('the refusal', lambda: '401' in self.site.log('bridge'))
        self.assertIn('--password-file', self.site.log('bridge'))
        self.assertNotIn('another', self.site.log('bridge'))
        os.chmod(self.site.write('password', clouds.PASSWORD + '\n'), 0o600)
        self.wait_state('running')


class Real(Base):
    """Deltacloud's own server: its mock driver has inst0 and inst1 of mockuser, that run."""

    def setUp(self):
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        self.url = 'http://127.0.0.1:%d/api' % port
        super().setUp()
        os.environ['DELTACLOUD_MOCK_STORAGE'] = self.site.path('mock')
        self.site.start('deltacloudd', 'deltacloudd', '-i', 'mock', '-r', '127.0.0.1', '-p', str(port), '-f', 'deltacloud', '-e', 'production',
                        '--logdir', self.site.path('log'))
        wait_for('deltacloudd', lambda: self.ask('GET', '/instances'), 60)

    def close_cloud(self):
        pass  # the site ends it

    def ask(self, verb, path):
        login = base64.b64encode(('%s:%s' % (clouds.USER, clouds.PASSWORD)).encode()).decode()
        request = urllib.request.Request(self.url + path, method=verb, headers={'Authorization': 'Basic ' + login, 'Accept': 'application/json'})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.loads(answer.read() or b'null')

    def state(self, id):
        return self.ask('GET', '/instances/' + id)['instance']['state']

    def test_instances_of_the_mock_driver(self):
        name = 'MockUserInstance'
        self.site.write('policy.yaml', POLICY.replace('name: web}', 'name: %s}' % name))
        self.site.mend('policy', 'load', self.site.path('policy.yaml'))
        self.bridge('--stopped', 'crashed')
        path, _ = self.wait_state('running', name)
        self.ask('POST', '/instances/inst1/stop')  # not by Mend
        wait_for('it to run again', lambda: self.state('inst1') == 'RUNNING', 60)
        wait_for('healed', lambda: 'healed' in self.site.mend('why', path).stdout, 30)
        self.assertIn('rc = 0', self.call('vm_reboot', name))
        self.assertIn('rc = 0', self.call('vm_stop', name))
        self.assertEqual(self.state('inst1'), 'STOPPED')
        self.assertEqual(self.wait_state('stopped', name)[1]['data']['intent'], 'command')
        time.sleep(3)
        self.assertEqual(self.state('inst1'), 'STOPPED')
        self.assertIn('rc = 0', self.call('vm_start', name))
        self.assertEqual(self.state('inst1'), 'RUNNING')


if __name__ == '__main__':
    if 'Real' in sys.argv[1:] and shutil.which('deltacloudd') is None:
        print('skipped: deltacloudd is not on the PATH')
        sys.exit(77)
    unittest.main(verbosity=2)
