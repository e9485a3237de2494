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
    POLICY, TLS = POLICY, False

    def setUp(self):
        self.site = mendsite.Site()
        self.addCleanup(self.end)
        self.engine = ovirt.Engine()
        self.engine.add_host(A, 'node-a')
        self.engine.add_host(B, 'node-b')
        self.engine.add_vm(WEB, 'web', host=A)
        self.engine.add_vm(DB, 'db', host=B)
        os.mkdir(self.site.path('tls'))
        if self.TLS:
            ovirt.make_certificates(self.site.path('tls'))
        self.server = ovirt.Server(self.engine, self.site.path('tls') if self.TLS else None)
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
        failed = mendsite.failed(self)
        status = self.site.stop('bridge') if 'bridge' in self.site.running else 0
        if status != 0 or (os.path.exists(self.site.path('bridge.log')) and 'Sanitizer' in self.site.log('bridge')):
            print('the bridge ended with %d:\n%s' % (status, self.site.log('bridge')[-6000:]))
            failed = True
        self.server.close()
        self.site.__exit__(AssertionError if failed else None, None, None)
        self.assertEqual(status, 0)

    def bridge(self, *options):
        self.site.start('bridge', os.path.join(mendsite.BIN, 'mend-bridge'), 'ovirt-engine', '--url', self.server.url, '--password-file', self.site.path('password'),
                        '--credentials', self.site.path('credentials'), '--data', self.site.path('bridge'), '--poll', '200ms', '--inventory', '2s',
                        '--heartbeat', '1s', *(('--ca', self.site.path('tls/ca.pem')) if self.TLS else ()), *options)

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
        posted = wait_for('what Mend did as an event of oVirt', self.engine.posted)
        self.assertEqual((posted[0]['origin'], posted[0]['vm']['id'], posted[0]['severity']), ('mend', WEB, 'normal'))
        self.assertIn('web', posted[0]['description'])
        self.assertIn('started', posted[0]['description'])

    def test_event_whose_answer_was_lost_is_posted_once(self):
        self.up()
        self.engine.fault('POST /ovirt-engine/api/events', 'cut')
        self.engine.crash(WEB)
        self.wait_why('healed')
        wait_for('the second try', lambda: len(self.engine.asked('POST /ovirt-engine/api/events')) == 2)
        self.stay(1)
        self.assertEqual(len(self.engine.posted()), 1)
        self.assertNotIn('does not take', self.site.log('bridge'))

    def test_vm_that_a_person_stopped_stays_off(self):
        self.up()
        self.engine.user_stop(WEB)
        state = self.wait_state(WEB, 'stopped')
        self.assertEqual(state['data']['intent'], 'admin')
        self.stay(4)
        self.assertEqual(self.starts(), 0)
        self.assertEqual(self.engine.vms[WEB]['status'], 'down')

    def test_vm_shut_down_from_inside_stays_off(self):
        self.up()
        self.engine.guest_shutdown(WEB)
        self.assertEqual(self.wait_state(WEB, 'stopped')['data']['intent'], 'user')
        self.stay(3)
        self.assertEqual(self.starts(), 0)

    def test_vm_that_is_down_without_a_word_is_no_failure(self):
        self.up()
        with self.engine.lock:
            self.engine.go_down(WEB)
        self.assertEqual(self.wait_state(WEB, 'stopped')['data']['intent'], 'unknown')
        self.assertEqual(self.starts(), 0)

    def test_what_ovirt_heals_is_left_to_it(self):
        self.engine.set_vm(WEB, high_availability={'enabled': True, 'priority': 100})
        self.up()
        self.assertIs(self.entity('vm/' + WEB)['data']['ha'], False)
        self.engine.crash(WEB)  # the policy names it: what it tries is refused
        self.wait_why('restarts it by itself')
        self.assertEqual(self.starts(), 0)
        self.engine.vm_start(WEB, {})  # as oVirt does
        self.wait_state(WEB, 'running')

    def test_ovirts_high_availability_left_to_mend(self):
        self.engine.set_vm(DB, high_availability={'enabled': True, 'priority': 100})
        self.up('--ha', 'mend')
        self.assertIs(self.entity('vm/' + DB)['data']['ha'], True)
        self.engine.crash(DB)
        self.wait_why('healed', 'vm/' + DB)
        self.assertEqual(self.starts(DB), 1)

    def paused(self, behaviour):
        self.engine.set_vm(WEB, storage_error_resume_behaviour=behaviour)
        self.up()
        with self.engine.lock:
            self.engine.event(145, 'VM web has been paused due to storage I/O error.', vm=WEB, severity='error')
            self.engine.vms[WEB]['status'] = 'paused'

    def test_vm_paused_by_its_storage_is_resumed(self):
        self.paused('auto_resume')
        self.wait_why('vm.resume')
        self.wait_why('healed')
        self.assertEqual((self.starts(), self.engine.vms[WEB]['status']), (1, 'up'))

    def test_vm_that_ovirt_leaves_paused_is_left_so(self):
        self.paused('leave_paused')
        self.wait_why("oVirt is set to 'leave_paused' it")
        self.assertEqual(self.entity('vm/' + WEB)['data']['reason'], 'io-error')
        self.assertEqual((self.starts(), self.engine.vms[WEB]['status']), (0, 'paused'))


class Hosts(Ovirt):
    def test_vm_of_a_fenced_host_starts_on_another(self):
        self.up()
        self.engine.host_silent(A)
        self.wait_state(WEB, 'unknown')
        wait_for('the agent to leave', lambda: 'matahariproject.org:mend-host:' + A not in
                 [name for name, each in self.site.agents().items() if each['state'] == 'up'], 30)
        self.stay(3)
        self.assertEqual(self.starts(), 0)  # silence is no proof
        self.engine.host_off(A)  # oVirt fenced it
        wait_for('the VM to run on the other host', lambda: self.engine.vms[WEB].get('host', {}).get('id') == B, 60)
        self.wait_why('healed')
        self.assertIn('its host is off', self.why())
        self.assertEqual(self.starts(), 1)
        self.engine.host_up(A)
        wait_for('the agent again', lambda: self.site.agents()['matahariproject.org:mend-host:' + A]['state'] == 'up', 30)
        self.stay(2)
        self.assertEqual(self.starts(), 1)

    def test_vm_that_ovirt_knows_to_be_gone_from_a_silent_host(self):
        self.up()
        self.engine.host_silent(A)
        self.wait_state(WEB, 'unknown')
        self.stay(2)
        self.assertEqual(self.starts(), 0)
        with self.engine.lock:  # its lease was over, or a person confirmed it
            self.engine.go_down(WEB)
            self.engine.event(143, 'Vm web was shut down due to node-a host reboot or manual fence', vm=WEB)
        self.wait_why('healed')
        self.assertIn('its lease is released', self.why())
        self.assertEqual((self.starts(), self.engine.vms[WEB]['host']['id']), (1, B))

    def test_host_in_maintenance_takes_no_vm(self):
        self.engine.set_host(A, status='maintenance')
        self.engine.set_vm(WEB, host={'id': B})
        self.up()
        refused = self.call(A, 'vm_start', name=DB)
        self.assertIn('on host ' + B, refused.stdout + refused.stderr)  # it runs there
        self.engine.crash(WEB)
        self.wait_why('healed')
        self.assertEqual((self.starts(), self.engine.vms[WEB]['host']['id']), (1, B))
        self.engine.user_stop(DB)
        self.wait_state(DB, 'stopped')
        refused = self.call(A, 'vm_start', name=DB)
        self.assertIn("'maintenance' in oVirt", refused.stdout + refused.stderr)
        self.assertNotIn('unsafe', refused.stdout + refused.stderr)  # another host may do it: the policy's ladder goes on
        self.assertEqual(self.starts(DB), 0)

    def test_host_that_booted_anew_is_another_life(self):
        self.up()
        agent = 'matahariproject.org:mend-host:' + A
        life = self.site.agents()[agent]['boot_id']
        self.engine.set_host(A, status='reboot')
        wait_for('the agent to leave', lambda: self.site.agents()[agent]['state'] != 'up')
        with self.engine.lock:
            self.engine.go_down(WEB)
            self.engine.event(143, 'Vm web was shut down due to node-a host reboot or manual fence', vm=WEB)
            self.engine.hosts[B]['status'] = 'maintenance'  # it has to wait for its host
        self.engine.host_up(A)
        wait_for('the agent in another life', lambda: self.site.agents()[agent]['state'] == 'up' and self.site.agents()[agent]['boot_id'] != life, 30)
        self.wait_why('healed')
        self.assertEqual((self.starts(), self.engine.vms[WEB]['host']['id']), (1, A))
        self.site.stop('bridge')
        self.engine.set_host(A, boot=self.engine.hosts[A]['boot'] + 30)  # a clock that was set: the same boot
        second = self.site.agents()[agent]['boot_id']
        self.bridge()
        wait_for('the agent again', lambda: self.site.agents()[agent]['state'] == 'up', 30)
        self.assertEqual(self.site.agents()[agent]['boot_id'], second)

    def test_host_that_dumps_is_said_to(self):
        self.up()
        self.site.start('follow', os.path.join(mendsite.BIN, 'mend'), 'events', '--follow', '--json', '--subject', 'host.evidence.#', '--data', self.site.data)
        self.stay(1)
        self.engine.host_silent(A, 'kdumping')
        wait_for('the word of it', lambda: '"kdump"' in self.site.log('follow') and A in self.site.log('follow'), 30)
        self.stay(2)
        self.assertEqual(self.starts(), 0)

    def test_vm_stays_in_its_cluster(self):
        other = '00000000-0000-4000-8000-00000000000c'
        self.engine.add_host(other, 'node-c')
        self.engine.set_host(other, cluster={'id': '00000000-0000-4000-8000-0000000000c2'}, memory=1 << 40)
        with open(self.site.path('credentials/host-' + other), 'w') as out:
            out.write(self.site.mend('enrol', '--host', other).stdout)
        self.up()
        wait_for('node-c', lambda: self.entity('host/' + other))
        self.engine.host_silent(A)
        self.engine.host_off(A)
        self.wait_why('healed')
        self.assertEqual((self.starts(), self.engine.vms[WEB]['host']['id']), (1, B))

    def test_fencing_is_ovirts_unless_it_is_left_to_mend(self):
        self.up()
        refused = self.call(B, 'host_fence', name=A, method='off')
        self.assertIn('oVirt fences its hosts by itself', refused.stdout + refused.stderr)
        self.assertIn('on', self.call(B, 'host_status', name=A).stdout)
        self.site.stop('bridge')
        self.bridge('--fence', 'mend')
        wait_for('the bridge', lambda: A in self.entity('host/' + B)['data']['fences'])
        self.engine.host_silent(A)
        done = self.call(B, 'host_fence', name=A, method='off')
        self.assertIn('state = off', done.stdout, done.stdout + done.stderr)
        self.assertEqual(self.engine.hosts[A]['status'], 'down')
        posted = len(self.engine.asked('/fence'))
        again = self.call(B, 'host_fence', name=A, method='off')
        self.assertIn('already', again.stdout)
        self.assertEqual(len(self.engine.asked('/fence')), posted + 1)  # its status, and no more

    def call(self, host, verb, /, **arguments):
        words = ['%s=%s' % each for each in arguments.items()]
        return self.site.mend('call', 'matahariproject.org:mend-host:' + host, 'Hypervisor', verb, *words, '--timeout', '60s', check=False, timeout=90)

    def test_commands(self):
        self.up()
        moved = self.call(A, 'vm_migrate', name=WEB, to=B)
        self.assertIn('rc = 0', moved.stdout, moved.stdout + moved.stderr)
        self.assertEqual(self.engine.vms[WEB]['host']['id'], B)
        wait_for('it to be told', lambda: self.entity('vm/' + WEB)['data']['host'] == B and self.entity('vm/' + WEB)['state'] == 'running')
        elsewhere = self.call(A, 'vm_start', name=WEB)
        self.assertIn('on host ' + B, elsewhere.stdout + elsewhere.stderr)
        self.assertIn('rc = 0', self.call(B, 'vm_start', name=WEB).stdout)  # it runs there: done
        self.assertEqual(self.starts(), 0)
        self.assertIn('rc = 0', self.call(B, 'vm_reboot', name=WEB).stdout)
        self.assertIn('rc = 0', self.call(B, 'vm_suspend', name=WEB).stdout)
        self.assertIn('rc = 0', self.call(B, 'vm_resume', name=WEB).stdout)
        self.assertIn('rc = 0', self.call(B, 'vm_shutdown', name=WEB).stdout)
        self.assertEqual(self.wait_state(WEB, 'stopped')['data']['intent'], 'command')
        self.assertIn('rc = 0', self.call(B, 'vm_stop', name=WEB).stdout)  # off already
        self.assertEqual(len(self.engine.asked('/stop')), 0)
        self.engine.set_vm(WEB, status='image_locked')
        locked = self.call(B, 'vm_start', name=WEB)
        self.assertIn('image_locked', locked.stdout)
        nobody = self.call(B, 'vm_stop', name='33333333-0000-4000-8000-000000000003')
        self.assertIn('404', nobody.stdout + nobody.stderr)


class Faults(Ovirt):
    def bridge(self, *options):
        super().bridge('--timeout', '1s', *options)

    def broken_start(self, **fault):
        self.up()
        self.engine.fault(WEB + '/start', **fault)
        self.engine.crash(WEB)
        self.wait_why('healed', timeout=90)
        self.assertEqual(self.engine.vms[WEB]['status'], 'up')

    def test_answer_cut_off_after_it_was_done(self):
        self.broken_start(what='cut')
        self.assertEqual(self.starts(), 1)

    def test_answer_late(self):
        self.broken_start(what='late', seconds=3)
        self.assertEqual(self.starts(), 1)

    def test_request_lost_before_it_was_done(self):
        self.broken_start(what='lost')
        self.assertEqual(self.starts(), 2)
        self.assertIn('timeout', self.why())

    def test_answer_malformed(self):
        self.broken_start(what='malformed')
        self.assertEqual(self.starts(), 2)

    def test_server_error_is_tried_again_by_policy(self):
        self.broken_start(what='status', status=500)
        self.assertEqual(self.starts(), 2)

    def test_somebody_else_started_it_meanwhile(self):
        self.up('--timeout', '20s')
        self.engine.fault(WEB + '/start', 'late', seconds=3)
        self.engine.crash(WEB)
        wait_for('the start', self.starts, 30)
        self.engine.vm_start(WEB, {'vm': {'placement_policy': {'hosts': {'host': [{'id': A}]}}}})  # ours is answered 409
        self.wait_why('healed')
        self.assertEqual(self.starts(), 1)

    def test_malformed_lists_change_nothing(self):
        for what in ('malformed', 'empty', 'status'):
            with self.subTest(what):
                if what == 'malformed':
                    self.up()
                before = self.engine.asked('GET /ovirt-engine/api/vms')
                self.engine.fault('GET /ovirt-engine/api/vms', what, times=3)
                wait_for('it to be asked', lambda: len(self.engine.asked('GET /ovirt-engine/api/vms')) > len(before) + 4)
                self.assertEqual(self.entity('vm/' + WEB)['state'], 'running')
        self.assertIn('oVirt is not reached', self.site.log('bridge'))
        self.assertIn('oVirt is reached again', self.site.log('bridge'))
        self.assertEqual(self.starts(), 0)

    def test_engine_away_makes_nobody_dead(self):
        self.up()
        self.engine.set_engine(down=True)
        wait_for('the bridge to notice', lambda: 'oVirt is not reached' in self.site.log('bridge'), 30)
        self.stay(5)
        for host in (A, B):
            self.assertEqual(self.site.agents()['matahariproject.org:mend-host:' + host]['state'], 'up')
        self.assertEqual(self.entity('vm/' + WEB)['state'], 'running')
        shown = self.site.mend('agents').stdout
        self.assertIn('out of reach', shown)
        self.assertIn('node-a is out of reach: ', shown)
        self.assertIn('out of reach', self.site.mend('status').stdout)
        self.engine.crash(WEB)
        self.engine.set_engine(down=False)
        wait_for('well again', lambda: 'out of reach' not in self.site.mend('agents').stdout)
        self.wait_why('healed')
        self.assertEqual(self.starts(), 1)

    def test_wrong_password(self):
        with open(self.site.path('password'), 'w') as out:
            out.write('wrong\n')
        self.bridge()
        wait_for('the refusal', lambda: 'was refused' in self.site.log('bridge'))
        self.stay(3)
        self.assertEqual(self.engine.logins, 1)  # no hammering
        self.assertNotIn('wrong', self.site.log('bridge').replace('wrong-', ''))
        with open(self.site.path('password'), 'w') as out:
            out.write(ovirt.PASSWORD + '\n')
        self.wait_state(WEB, 'running')
        self.assertEqual(self.engine.logins, 2)

    def test_token_runs_out(self):
        self.up()
        self.engine.expire()
        self.engine.crash(WEB)
        self.wait_why('healed')
        self.assertEqual((self.starts(), self.engine.logins), (1, 2))


class Tls(Ovirt):
    TLS = True

    def setUp(self):
        before = os.environ.get('ASAN_OPTIONS')
        self.addCleanup(lambda: os.environ.update(ASAN_OPTIONS=before) if before is not None else os.environ.pop('ASAN_OPTIONS'))
        # LeakSanitizer crashes on the thread-local memory of a TLS library that is loaded late.
        os.environ['ASAN_OPTIONS'] = ':'.join(filter(None, (before, 'detect_leaks=0')))
        super().setUp()

    def test_crashed_vm_is_started_again_over_tls(self):
        self.up()
        self.engine.crash(WEB)
        self.wait_why('healed')
        self.assertEqual((self.starts(), self.engine.logins), (1, 1))

    def test_nothing_is_sent_in_the_clear(self):
        self.bridge('--url', 'http://engine.example.org/ovirt-engine')
        self.assertNotEqual(self.site.running.pop('bridge').wait(10), 0)
        self.assertIn('https', self.site.log('bridge'))

    def test_certificate_of_somebody_else(self):
        other = self.site.path('other')
        os.mkdir(other)
        ovirt.make_certificates(other)
        self.bridge('--ca', os.path.join(other, 'ca.pem'))
        wait_for('the refusal', lambda: 'oVirt is not reached' in self.site.log('bridge'))
        self.assertEqual(self.engine.requests, [])


class Restart(Ovirt):
    def test_nothing_is_lost_and_nothing_told_twice(self):
        self.up()
        self.site.stop('bridge', 9)
        self.engine.crash(WEB)
        self.engine.user_stop(DB)
        self.bridge()
        self.wait_why('healed')
        self.assertEqual(self.wait_state(DB, 'stopped')['data']['intent'], 'admin')
        self.assertEqual(self.starts(), 1)
        self.site.stop('bridge', 9)
        self.bridge()
        self.wait_state(WEB, 'running')
        self.stay(4)
        self.assertEqual((self.starts(), self.starts(DB)), (1, 0))

    def test_more_events_than_a_page(self):
        self.up()
        self.site.stop('bridge', 9)
        self.engine.set_engine(sort_events=False)  # a release that does not heed the order asked for
        self.engine.user_stop(WEB)
        for number in range(2500):
            self.engine.event(30, 'User admin@internal-authz logged in (%d).' % number)
        self.bridge()
        self.assertEqual(self.wait_state(WEB, 'stopped')['data']['intent'], 'admin')

    def test_bridge_killed_in_mid_command(self):
        self.up()
        self.engine.fault(WEB + '/start', 'late', seconds=2)
        self.engine.crash(WEB)
        wait_for('the start', self.starts)
        self.site.stop('bridge', 9)
        self.bridge()
        self.wait_state(WEB, 'running', 60)
        self.stay(3)
        self.assertEqual(len([each for each in self.engine.events if each['code'] == 153]), 1)  # asked again or not, it began once


if __name__ == '__main__':
    unittest.main(verbosity=2)
