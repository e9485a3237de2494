#!/usr/bin/python3
"""A real broker, a real policy engine, the bridge, and a cloud behind Deltacloud's API: Apache's own server with its mock driver where it is
installed (DELTACLOUDD, or deltacloudd on the PATH), and always one that is as strict and can fail."""
import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import sys
import time
import unittest
import urllib.request
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cloud as stand_in
import mendsite
from mendsite import wait_for

CLOUD = 'dddddddd-0000-4000-8000-00000000000d'
AGENT = 'matahariproject.org:mend-host:' + CLOUD
WEB, DB = 'inst1', '22222222-0000-4000-8000-000000000002'  # not all clouds have UUIDs
DELTACLOUDD = os.environ.get('DELTACLOUDD') or shutil.which('deltacloudd') or 'deltacloudd'


def policy(name):
    return '''
mend: 1
applications:
  - name: shop
    vms:
      - {name: web, match: {name: %s}, ha: true}
''' % name


def uuid_of(id):
    try:
        return str(uuid.UUID(id))
    except ValueError:
        digest = bytearray(hashlib.sha256((CLOUD + id).encode()).digest()[:16])
        digest[6], digest[8] = digest[6] & 0x0f | 0x80, digest[8] & 0x3f | 0x80
        return str(uuid.UUID(bytes=bytes(digest)))


class Deltacloud(unittest.TestCase):
    DRIVER, STEP, NAME, USER, PASSWORD = 'mock', 0.0, 'web', stand_in.USER, stand_in.PASSWORD

    def setUp(self):
        self.site = mendsite.Site()
        self.addCleanup(self.end)
        self.url = self.serve()
        self.site.broker()
        folder = self.site.path('credentials')
        os.mkdir(folder, 0o700)
        with open(os.path.join(folder, 'host-' + CLOUD), 'w') as out:
            out.write(self.site.mend('enrol', '--host', CLOUD).stdout)
        self.password(self.PASSWORD)
        self.site.policy('--policy', self.site.write('policy.yaml', policy(self.NAME)))

    def serve(self):
        self.cloud = stand_in.Cloud(self.DRIVER, self.STEP)
        self.cloud.add(WEB, 'web')
        self.cloud.add(DB, 'db', address=('192.0.2.7', 'ipv4'))
        server = stand_in.Server(self.cloud)
        self.addCleanup(server.close)
        return server.url

    def password(self, text):
        with open(self.site.path('new'), 'w') as out:
            out.write(text + '\n')
        os.chmod(self.site.path('new'), 0o600)
        os.rename(self.site.path('new'), self.site.path('password'))

    def end(self):
        result = self._outcome.result
        failed = any(case is self for case, _ in result.failures + result.errors)
        status = self.site.stop('bridge') if 'bridge' in self.site.running else 0
        if status != 0 or (os.path.exists(self.site.path('bridge.log')) and 'Sanitizer' in self.site.log('bridge')):
            print('the bridge ended with %d:\n%s' % (status, self.site.log('bridge')[-6000:]))
            failed = True
        self.site.__exit__(AssertionError if failed else None, None, None)
        self.assertEqual(status, 0)

    def bridge(self, *options):
        self.site.start('bridge', os.path.join(mendsite.BIN, 'mend-bridge'), 'deltacloud', '--url', self.url, '--user', self.USER, '--password-file',
                        self.site.path('password'), '--id', CLOUD, '--name', 'acme-cloud', '--credentials', self.site.path('credentials'),
                        '--data', self.site.path('bridge'), '--poll', '200ms', '--heartbeat', '1s', *options)

    def up(self, *options):
        self.bridge(*options)
        self.wait_state(WEB, 'running')
        self.wait_state(DB, 'running')

    def entity(self, path):
        return self.site.entities().get(path, {})

    def vm(self, id):
        return self.entity('vm/' + uuid_of(id))

    def wait_state(self, id, state, timeout=30, **data):
        def so():
            vm = self.vm(id)
            return vm.get('state') == state and all(vm['data'].get(key) == value for key, value in data.items()) and vm
        return wait_for('%s %s %s' % (id, state, data or ''), so, timeout)

    def wait_polls(self, number=3):
        """So many whole rounds from now on: what was true before them has been seen."""
        before = len(self.cloud.asked('GET /api/instances'))
        wait_for('%d polls' % number, lambda: len(self.cloud.asked('GET /api/instances')) > before + number, 30)

    def why(self, id=WEB):
        return self.site.mend('why', 'vm/' + uuid_of(id), check=False).stdout

    def wait_why(self, words, id=WEB, timeout=60):
        try:
            return wait_for('%r in why' % words, lambda: words in self.why(id) and self.why(id), timeout, 0.2)
        except AssertionError:
            print(self.why(id))
            raise

    def call(self, verb, id, /, **arguments):
        """What it answered, as text."""
        words = ['%s=%s' % each for each in arguments.items()]
        done = self.site.mend('call', AGENT, 'Hypervisor', verb, 'name=' + uuid_of(id), *words, '--timeout', '60s', check=False, timeout=90)
        return done.stdout + done.stderr

    def starts(self, id=WEB):
        return self.cloud.did('start', id)

    def stay(self, seconds):
        """Nothing is to happen: only time can show that."""
        time.sleep(seconds)


class Healing(Deltacloud):
    def test_what_is_seen(self):
        self.up()
        wait_for('the agent', lambda: self.site.agents()[AGENT]['state'] == 'up')
        web, db = self.vm(WEB)['data'], self.vm(DB)['data']
        self.assertEqual((web['name'], web['host']), ('web', CLOUD))
        self.assertEqual((db['name'], db['address']), ('db', '192.0.2.7'))
        host = wait_for('the cloud as a host', lambda: self.entity('host/' + CLOUD))
        self.assertEqual((host['state'], host['data']['name']), ('up', 'acme-cloud'))

    def test_instance_that_stopped_is_no_failure(self):
        self.up()
        self.cloud.become(WEB, 'STOPPED')
        self.wait_state(WEB, 'stopped', intent='unknown')
        self.stay(4)
        self.assertEqual((self.starts(), self.cloud.state(WEB)), (0, 'STOPPED'))

    def test_stopped_is_a_crash_where_the_settings_say_so(self):
        self.up('--stopped', 'crashed')
        self.cloud.become(WEB, 'STOPPED')
        wait_for('the instance to run', lambda: self.cloud.state(WEB) == 'RUNNING', 60)
        self.assertIn('vm.start', self.wait_why('healed'))
        self.assertEqual(self.starts(), 1)
        self.assertIn('rc = 0', self.call('vm_stop', WEB))  # but not what Mend was told to do
        self.wait_state(WEB, 'stopped', intent='command')
        self.stay(3)
        self.assertEqual((self.starts(), self.cloud.state(WEB)), (1, 'STOPPED'))

    def test_crash_right_after_a_start_is_not_the_stop_before(self):
        self.up('--stopped', 'crashed')
        self.assertIn('rc = 0', self.call('vm_stop', WEB))
        self.wait_state(WEB, 'stopped', intent='command')
        self.cloud.end_once_seen(WEB)
        self.assertIn('rc = 0', self.call('vm_start', WEB))
        self.assertIn('vm.start', self.wait_why('healed'))
        self.assertEqual((self.starts(), self.cloud.state(WEB)), (2, 'RUNNING'))

    def test_what_never_ran_did_not_crash(self):
        self.cloud.become(WEB, 'PENDING', offers=[])
        self.bridge('--stopped', 'crashed')
        self.wait_state(WEB, 'unknown')
        self.cloud.become(WEB, 'STOPPED')
        self.wait_state(WEB, 'stopped', intent='unknown')
        self.stay(2)
        self.assertEqual(self.cloud.done, [])

    def test_error_is_unknown_and_nobody_acts(self):
        self.up('--stopped', 'crashed')
        for word in ('ERROR', 'UNKNOWN', 'RECOVERING-FROM-LIGHTNING'):
            with self.subTest(word):
                self.cloud.become(WEB, word, offers=['start', 'reboot', 'stop'])
                self.wait_state(WEB, 'unknown')
                self.stay(2)
                self.cloud.become(WEB, 'RUNNING')
                self.wait_state(WEB, 'running')
        self.assertEqual(self.cloud.done, [])

    def test_finished_and_removed_are_no_failures(self):
        self.up('--stopped', 'crashed')
        self.cloud.become(WEB, 'FINISH', offers=[])
        self.cloud.remove(DB)
        self.wait_state(WEB, 'stopped', intent='admin')
        self.wait_state(DB, 'stopped', intent='admin')
        self.stay(3)
        self.assertEqual(self.cloud.done, [])

    def test_states_that_pass_tell_nothing(self):
        self.up()
        before = self.vm(WEB)['data']
        for word in ('PENDING', 'START', 'STOPPING', 'SHUTTING_DOWN', 'RUNNING'):
            self.cloud.become(WEB, word, offers=[])
            self.wait_polls()
            self.assertEqual(self.vm(WEB)['state'], 'running')
        self.assertEqual(self.vm(WEB)['data'].get('intent'), before.get('intent'))
        self.assertEqual(self.cloud.done, [])


class Commands(Deltacloud):
    DRIVER, STEP = 'ec2', 0.5

    def test_cycle(self):
        self.up('--destroy')
        self.assertIn('rc = 0', self.call('vm_stop', WEB))
        self.assertEqual(self.cloud.state(WEB), 'STOPPED')
        self.wait_state(WEB, 'stopped', intent='command')
        self.assertIn('rc = 0', self.call('vm_stop', WEB))  # it is
        self.assertEqual(self.cloud.did('stop', WEB), 1)
        self.assertIn('rc = 0', self.call('vm_start', WEB))
        self.assertEqual(self.cloud.state(WEB), 'RUNNING')
        self.wait_state(WEB, 'running')
        self.assertIn('rc = 0', self.call('vm_start', WEB))  # it runs
        self.assertEqual(self.starts(), 1)
        self.assertIn('rc = 0', self.call('vm_reboot', WEB))
        self.assertEqual(self.cloud.did('reboot', WEB), 1)
        self.wait_state(WEB, 'running')

    def test_destroy(self):
        self.up()
        self.assertIn('--destroy allows that', self.call('vm_undefine', DB))
        self.site.stop('bridge')
        self.bridge('--destroy', '--stopped', 'crashed')
        wait_for('the bridge', lambda: "no 'destroy'" in self.call('vm_undefine', DB), 30)  # it runs
        self.assertIn('rc = 0', self.call('vm_stop', DB))
        self.assertIn('rc = 0', self.call('vm_undefine', DB))
        self.assertEqual((self.cloud.state(DB), self.cloud.done), ('FINISH', [('stop', DB), ('destroy', DB)]))
        self.wait_state(DB, 'stopped', intent='admin', reason='removed')
        self.cloud.remove(DB)
        self.assertIn('no such instance', wait_for('it to be gone', lambda: 'no such' in self.call('vm_start', DB) and self.call('vm_start', DB), 30))

    def test_drivers_that_answer_with_a_redirection(self):
        self.cloud.set(redirects=True)
        self.up()
        self.assertIn('rc = 0', self.call('vm_reboot', WEB))
        self.assertIn('rc = 0', self.call('vm_stop', DB))
        self.assertIn('rc = 0', self.call('vm_start', DB))
        self.assertEqual(self.cloud.done, [('reboot', WEB), ('stop', DB), ('start', DB)])

    def test_what_is_not_offered_is_not_sent(self):
        self.up()
        self.cloud.become(WEB, 'RUNNING', offers=['reboot'])
        refused = self.call('vm_stop', WEB)
        self.assertNotIn('rc = 0', refused)
        self.assertIn('offer', refused)
        self.cloud.become(DB, 'ERROR', offers=['start', 'stop'])
        self.assertIn('does not say whether it runs', self.call('vm_start', DB))  # though it is offered
        self.cloud.become(WEB, 'STOPPED', offers=[])
        self.assertIn("no 'start'", self.call('vm_start', WEB))
        self.assertEqual(self.cloud.asked('POST'), [])

    def test_unknown_instance(self):
        self.up()
        nobody = self.call('vm_stop', '33333333-0000-4000-8000-000000000003')
        self.assertNotIn('rc = 0', nobody)
        self.assertIn('no such instance', nobody)
        self.assertEqual(self.cloud.asked('POST'), [])


class Rhevm(Deltacloud):
    DRIVER, STEP = 'rhevm', 0.3

    def test_driver_without_reboot(self):
        self.up()
        refused = self.call('vm_reboot', WEB)
        self.assertNotIn('rc = 0', refused)
        self.assertIn('offer', refused)
        self.assertIn('rc = 0', self.call('vm_stop', WEB))
        self.assertIn('rc = 0', self.call('vm_start', WEB))
        self.assertEqual(self.cloud.done, [('stop', WEB), ('start', WEB)])


class Faults(Deltacloud):
    def bridge(self, *options):
        super().bridge('--timeout', '1s', '--stopped', 'crashed', *options)

    def broken_start(self, starts, **fault):
        """A start that a fault meets: it ends healed, done once, asked for @starts times."""
        self.up()
        self.cloud.fault('/%s/start' % WEB, **fault)
        self.cloud.become(WEB, 'STOPPED')
        why = self.wait_why('healed', timeout=90)
        self.assertEqual(self.cloud.state(WEB), 'RUNNING')
        self.assertEqual(self.starts(), 1)
        self.assertEqual(len(self.cloud.asked('POST /api/instances/%s/start' % WEB)), starts)
        return why

    def test_answer_cut_off_after_it_was_done(self):
        self.broken_start(1, what='cut')

    def test_answer_slow_after_it_was_done(self):
        self.broken_start(1, what='slow', seconds=3)

    def test_done_late(self):
        self.broken_start(1, what='late', seconds=3)

    def test_answer_garbled_after_it_was_done(self):
        self.broken_start(1, what='garbled')

    def test_request_lost_before_it_was_done(self):
        self.assertIn('timeout', self.broken_start(2, what='lost'))

    def test_server_error_is_tried_again_by_policy(self):
        self.assertIn('500', self.broken_start(2, what='status', status=500))

    def test_no_reboot_is_done_twice(self):
        self.up()
        self.cloud.fault('/%s/reboot' % WEB, 'cut')
        self.call('vm_reboot', WEB)  # whether it rebooted nobody can tell
        self.stay(2)
        self.assertEqual(self.cloud.did('reboot', WEB), 1)
        self.assertEqual(self.vm(WEB)['state'], 'running')

    def test_malformed_lists_change_nothing(self):
        self.up()
        for what in ('malformed', 'empty', 'list', 'status'):
            with self.subTest(what):
                before = len(self.cloud.asked('GET /api/instances'))
                self.cloud.fault('GET /api/instances', what, times=3)
                wait_for('it to be asked', lambda: len(self.cloud.asked('GET /api/instances')) > before + 4, 30)
                self.assertEqual((self.vm(WEB)['state'], self.vm(DB)['state']), ('running', 'running'))
        wait_for('it well', lambda: 'the cloud is reached again' in self.site.log('bridge'), 30)
        self.assertIn('the cloud is not reached', self.site.log('bridge'))
        self.assertEqual(self.cloud.done, [])

    def test_answer_too_large(self):
        self.up()
        self.cloud.fault('GET /api/instances', 'big')
        wait_for('it to be said', lambda: 'the cloud is not reached' in self.site.log('bridge'), 30)
        wait_for('it well', lambda: 'the cloud is reached again' in self.site.log('bridge'), 30)
        self.assertEqual(self.vm(WEB)['state'], 'running')

    def test_server_away_makes_nobody_dead(self):
        self.up()
        self.cloud.set(down=True)
        wait_for('the agent to say so', lambda: 'out of reach' in self.site.mend('agents').stdout, 30)
        refused = self.call('vm_stop', DB)
        self.assertNotIn('rc = 0', refused)
        self.stay(4)
        self.assertEqual(self.site.agents()[AGENT]['state'], 'up')
        self.assertEqual((self.vm(WEB)['state'], self.vm(DB)['state']), ('running', 'running'))
        self.cloud.become(WEB, 'STOPPED')
        self.cloud.set(down=False)
        wait_for('well again', lambda: 'out of reach' not in self.site.mend('agents').stdout, 30)
        self.wait_why('healed')
        self.assertEqual(self.cloud.done, [('start', WEB)])

    def test_server_gone_in_mid_command(self):
        self.up()
        self.cloud.fault('/%s/start' % WEB, 'cut')
        self.cloud.become(WEB, 'STOPPED')
        wait_for('the start', self.starts, 30)
        self.cloud.set(down=True)
        wait_for('the agent to say so', lambda: 'out of reach' in self.site.mend('agents').stdout, 30)
        self.stay(3)
        self.cloud.set(down=False)
        self.wait_why('healed', timeout=90)
        self.assertEqual((self.starts(), self.cloud.state(WEB)), (1, 'RUNNING'))

    def test_wrong_password(self):
        self.password('wrong')
        self.bridge()
        wait_for('the refusal', lambda: '401' in self.site.log('bridge'), 30)
        self.stay(3)
        self.assertIn('out of reach', self.site.mend('agents').stdout)
        self.assertLessEqual(len(self.cloud.requests), 2)  # no hammering: accounts get locked
        self.assertNotIn('wrong', self.site.log('bridge'))
        self.password(self.PASSWORD)
        self.wait_state(WEB, 'running')
        self.assertEqual(self.cloud.done, [])

    def test_password_changed_at_the_server(self):
        self.up()
        self.cloud.set(password='other')
        wait_for('the agent to say so', lambda: 'out of reach' in self.site.mend('agents').stdout, 30)
        refused = self.call('vm_stop', WEB)
        self.assertNotIn('rc = 0', refused)
        self.assertEqual((self.vm(WEB)['state'], self.cloud.done), ('running', []))
        self.password('other')
        wait_for('well again', lambda: 'out of reach' not in self.site.mend('agents').stdout, 30)
        self.assertIn('rc = 0', self.call('vm_stop', WEB))


class Restart(Deltacloud):
    STEP = 0.3

    def test_bridge_killed_and_back(self):
        self.up('--stopped', 'crashed')
        self.assertIn('rc = 0', self.call('vm_stop', DB))
        self.wait_state(DB, 'stopped', intent='command')
        self.site.stop('bridge', signal.SIGKILL)
        self.cloud.become(WEB, 'STOPPED')
        self.bridge('--stopped', 'crashed')
        self.wait_why('healed')
        self.wait_state(DB, 'stopped', intent='command')
        self.stay(2)
        self.assertEqual(self.cloud.done, [('stop', DB), ('start', WEB)])

    def test_bridge_killed_in_mid_command(self):
        self.up('--stopped', 'crashed')
        self.cloud.fault('/%s/start' % WEB, 'slow', seconds=2)
        self.cloud.become(WEB, 'STOPPED')
        wait_for('the start', self.starts, 30)
        self.site.stop('bridge', signal.SIGKILL)
        self.bridge('--stopped', 'crashed')
        self.wait_state(WEB, 'running', 60)
        self.stay(3)
        self.assertEqual(self.starts(), 1)

    def test_instance_first_seen_stopped(self):
        self.cloud.become(WEB, 'STOPPED')
        self.bridge('--stopped', 'crashed')
        self.wait_state(WEB, 'stopped', intent='unknown')
        self.stay(2)
        self.assertEqual(self.cloud.done, [])

    def test_nothing_is_sent_in_the_clear(self):
        self.url = 'http://cloud.example.org/api'
        self.bridge()
        self.assertNotEqual(self.site.running.pop('bridge').wait(20), 0)
        self.assertIn('https', self.site.log('bridge'))


@unittest.skipUnless(os.access(DELTACLOUDD, os.X_OK), 'no Deltacloud server here (DELTACLOUDD)')
class Apache(Deltacloud):
    """Its own server; the mock driver keeps instances as files."""
    NAME, USER, PASSWORD = 'MockUserInstance', 'mockuser', 'mockpassword'

    def serve(self):
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            self.port = probe.getsockname()[1]
        os.mkdir(self.site.path('logs'))
        os.environ['DELTACLOUD_MOCK_STORAGE'] = self.site.path('store')
        self.addCleanup(os.environ.pop, 'DELTACLOUD_MOCK_STORAGE')
        self.run_server()
        return 'http://127.0.0.1:%d/api' % self.port

    def run_server(self):
        self.site.start('deltacloudd', DELTACLOUDD, '-i', 'mock', '-p', str(self.port), '-r', '127.0.0.1', '-f', 'deltacloud', '-e', 'production',
                        '--logdir', self.site.path('logs'))
        wait_for('deltacloudd', lambda: self.ask('GET', '/instances/' + WEB), 60)

    def ask(self, method, path):
        request = urllib.request.Request('http://127.0.0.1:%d/api%s' % (self.port, path), method=method, headers={
            'Accept': 'application/json', 'Authorization': 'Basic ' + base64.b64encode(b'mockuser:mockpassword').decode()})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def state(self):
        return self.ask('GET', '/instances/' + WEB)['instance']['state']

    def test_cycle(self):
        self.bridge('--stopped', 'crashed')
        self.wait_state(WEB, 'running', 60)
        self.assertIn('rc = 0', self.call('vm_reboot', WEB))
        self.assertIn('rc = 0', self.call('vm_stop', WEB))
        self.assertEqual(self.state(), 'STOPPED')
        self.wait_state(WEB, 'stopped', intent='command')
        self.assertIn('rc = 0', self.call('vm_start', WEB))
        self.assertEqual(self.state(), 'RUNNING')
        self.wait_state(WEB, 'running')
        self.ask('POST', '/instances/%s/stop' % WEB)
        self.assertIn('vm.start', self.wait_why('healed'))
        self.assertEqual(self.state(), 'RUNNING')

    def test_server_gone_and_back(self):
        self.bridge()
        self.wait_state(WEB, 'running', 60)
        self.site.stop('deltacloudd')
        wait_for('the agent to say so', lambda: 'out of reach' in self.site.mend('agents').stdout, 30)
        self.stay(2)
        self.assertEqual(self.vm(WEB)['state'], 'running')
        self.run_server()
        wait_for('well again', lambda: 'out of reach' not in self.site.mend('agents').stdout, 30)
        self.assertEqual(self.vm(WEB)['state'], 'running')

    def test_wrong_password(self):
        self.password('wrong')
        self.bridge()
        wait_for('the refusal', lambda: '401' in self.site.log('bridge'), 30)
        self.password(self.PASSWORD)
        self.wait_state(WEB, 'running', 60)


if __name__ == '__main__':
    if sys.argv[1:] == ['Apache'] and not os.access(DELTACLOUDD, os.X_OK):
        print('skipped: no Deltacloud server here (deltacloudd on the PATH, or DELTACLOUDD)')
        sys.exit(77)
    unittest.main(verbosity=2)
