#!/usr/bin/python3
"""A real broker, a real policy engine, the bridge; what the monitors send as they send it, and with `Real` masakari-instancemonitor itself at a
real libvirt (skipped where it, or libvirt, is not installed)."""
import json
import os
import re
import shutil
import sys
import time
import unittest
import urllib.error
import urllib.request

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, FOLDER)
import keystonestub
import masakariapi
import mendsite
from mendsite import BIN, wait_for

ONE, TWO, VM = ('6f1a2b3c-0000-4000-8000-0000000000%02d' % each for each in (1, 2, 9))
POLICY = '''
mend: 1
applications:
  - name: shop
    vms:
      - {name: web, match: {id: %s}, ha: true}
rules:
  - name: nova is needed
    on: service.failed
    where: entity.name == "nova-compute"
    ladder: [{do: notify, to: oncall}]
  - name: a VM that stands still
    on: vm.paused
    where: event.reason == "io-error"
    ladder: [{do: notify, to: oncall}]
  - default
''' % VM


class Masakari(unittest.TestCase):
    POLICY = POLICY
    AGENTS = 4  # two of each host

    def setUp(self):
        self.site = mendsite.Site()
        self.addCleanup(self.end)
        self.keystone = keystonestub.Keystone()
        self.addCleanup(self.keystone.close)
        self.site.broker()
        folder = self.site.path('credentials')
        os.mkdir(folder, 0o700)
        for host in (ONE, TWO):
            with open(os.path.join(folder, 'agent-' + host), 'w') as out:
                out.write(self.site.mend('enrol', host).stdout)
            with open(os.path.join(folder, 'host-' + host), 'w') as out:
                out.write(self.site.mend('enrol', '--host', host).stdout)
        self.site.write('hosts.yaml', 'compute-1: %s\ncompute-2: %s\n' % (ONE, TWO))
        self.site.policy('--policy', self.site.write('policy.yaml', self.POLICY))

    def end(self):
        status = self.site.stop('bridge') if 'bridge' in self.site.running else 0
        self.site.__exit__(AssertionError if mendsite.failed(self) or status != 0 else None, None, None)
        self.assertEqual(status, 0)

    def bridge(self, *options, wait=True):
        def listens():
            return re.findall(r'come in at (http\S+)/v1/notifications', self.site.log('bridge')) if os.path.exists(self.site.path('bridge.log')) else []
        before = len(listens())
        self.site.start('bridge', os.path.join(BIN, 'mend-bridge'), 'masakari', '--listen', '127.0.0.1:0', '--hosts', self.site.path('hosts.yaml'),
                        '--credentials', self.site.path('credentials'), '--data', self.site.path('bridge'), '--heartbeat', '1s', *options)
        if wait:
            self.url = wait_for('the bridge to listen', lambda: len(listens()) > before, 20) and listens()[-1]
            self.keystone.masakari = self.url + '/v1/p1'
            wait_for('its agents', lambda: len([each for each in self.site.agents().values() if each['state'] == 'up']) >= self.AGENTS, 30)

    def ask(self, verb, path, body=None, token=None):
        """(status, answer)"""
        request = urllib.request.Request(self.url + path, method=verb, data=None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode(),
                                         headers={'Content-Type': 'application/json', **({'X-Auth-Token': token} if token else {})})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read() or b'null')
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b'null')

    def notify(self, kind, payload, host='compute-1', at=None, token=None):
        at = at or time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime()) + '.%06d' % (time.time_ns() // 1000 % 1000000)
        return self.ask('POST', '/v1/p1/notifications', {'notification': {'type': kind, 'hostname': host, 'generated_time': at, 'payload': payload}}, token)

    def vm_event(self, event, detail, **more):
        return self.notify('VM', {'event': event, 'instance_uuid': VM, 'vir_domain_event': detail}, **more)

    def entity(self, path):
        return self.site.entities().get(path, {})

    def wait_state(self, path, state):
        return wait_for('%s %s' % (path, state), lambda: self.entity(path).get('state') == state and self.entity(path), 30)

    def well(self, path):
        """Its incident is closed."""
        wait_for('the end of what was wrong with ' + path, lambda: path not in self.site.mend('incidents').stdout, 90, 0.3)

    def why(self, path, words):
        return wait_for('%r in why %s' % (words, path), lambda: words in self.site.mend('why', path, check=False).stdout, 30, 0.2)


class Comes(Masakari):
    def test_a_process_that_ends_is_a_failed_service_of_its_host(self):
        self.bridge()
        status, answer = self.notify('PROCESS', {'process_name': 'nova-compute', 'event': 'STOPPED'})
        self.assertEqual((status, answer['notification']['hostname']), (202, 'compute-1'))
        path = 'service/%s/nova-compute' % ONE
        self.wait_state(path, 'failed')
        self.why(path, 'nova is needed')
        refused = self.site.mend('call', 'matahariproject.org:mend-masakari:' + ONE, 'Guest', 'restart', 'name=nova-compute', check=False)
        self.assertIn('this is a sign', refused.stdout + refused.stderr)
        self.assertEqual(self.notify('PROCESS', {'process_name': 'nova-compute', 'event': 'STARTED'})[0], 202)
        self.wait_state(path, 'running')

    def test_events_of_a_vm_are_read_as_libvirts(self):
        self.bridge()
        for event, detail, state, reason in (('LIFECYCLE', 'SUSPENDED_IOERROR', 'paused', 'io-error'), ('WATCHDOG', 'WATCHDOG_NONE', 'hung', 'watchdog'),
                                             ('LIFECYCLE', 'STOPPED_FAILED', 'stopped', 'lost-qemu'), ('CONTROL_ERROR', 'UNKNOWN', 'unknown', 'control-error')):
            self.assertEqual(self.vm_event(event, detail)[0], 202)
            told = self.wait_state('vm/' + VM, state)
            self.assertEqual((told['data']['reason'], told['data']['host']), (reason, ONE))
        self.why('vm/' + VM, 'a VM that stands still')

    def test_a_vm_that_died_is_told_and_started_by_nobody(self):
        self.bridge()
        self.assertEqual(self.vm_event('LIFECYCLE', 'STOPPED_FAILED')[0], 202)
        self.why('vm/' + VM, 'restart-vms')
        time.sleep(3)
        self.assertNotIn('vm.start, attempt', self.site.log('policy'))

    def test_a_host_that_is_gone_is_one_voice_and_no_proof(self):
        self.bridge()
        self.assertEqual(self.notify('COMPUTE_HOST', {'event': 'STOPPED', 'cluster_status': 'OFFLINE', 'host_status': 'UNKNOWN'})[0], 202)
        self.wait_state('service/%s/compute-host' % ONE, 'failed')
        time.sleep(3)
        self.assertNotIn('host.fence', self.site.log('policy'))
        self.assertNotEqual(self.entity('host/' + ONE).get('state'), 'off')
        self.assertEqual(self.notify('COMPUTE_HOST', {'event': 'STARTED', 'cluster_status': 'ONLINE', 'host_status': 'NORMAL'})[0], 202)
        self.wait_state('service/%s/compute-host' % ONE, 'running')

    def test_answers_are_masakaris(self):
        self.bridge()
        self.assertEqual(self.vm_event('REBOOT', 'UNKNOWN', at='2026-11-23T20:00:00.000001')[0], 202)
        status, answer = self.vm_event('REBOOT', 'UNKNOWN', at='2026-11-23T20:00:00.000001')  # its answer was lost, and it is sent again
        self.assertEqual((status, 'duplicate' in answer['error']), (409, True))
        status, answer = self.vm_event('REBOOT', 'UNKNOWN', host='compute-7')
        self.assertEqual((status, 'compute-7' in answer['error']), (400, True))
        self.assertEqual(self.notify('VM', {'event': 'REBOOT'})[0], 400)
        self.assertEqual(self.ask('POST', '/v1/p1/notifications', b'{"notification": ')[0], 400)
        self.assertEqual(self.ask('POST', '/v1/p1/notifications', b' ' * (2 << 20))[0], 413)
        self.assertEqual(self.ask('POST', '/v1/segments', {})[0], 404)
        self.assertEqual(self.ask('GET', '/')[1]['versions'][0]['id'], 'v1.0')
        self.assertEqual(self.ask('GET', '/v1/p1')[1]['version']['status'], 'CURRENT')

    def test_what_was_not_taken_is_no_duplicate_when_it_is_sent_again(self):
        self.bridge()
        at, status = '2026-11-23T20:00:00.000001', 202
        for i in range(2000):  # more processes than one host may have
            status, _ = self.notify('PROCESS', {'process_name': 'process-%d' % i, 'event': 'STOPPED'}, at=at)
            if status != 202:
                break
        self.assertEqual(status, 503)
        self.assertEqual(self.notify('PROCESS', {'process_name': 'process-%d' % i, 'event': 'STOPPED'}, at=at)[0], 503)

    def test_known_over_a_restart(self):
        self.bridge()
        self.notify('PROCESS', {'process_name': 'nova-compute', 'event': 'STOPPED'})
        self.wait_state('service/%s/nova-compute' % ONE, 'failed')
        self.site.stop('bridge', 9)
        self.bridge()
        self.wait_state('service/%s/nova-compute' % ONE, 'failed')

    def test_wrong_settings(self):
        for options, says in ((('--hosts', self.site.write('bad.yaml', 'compute-1: one\n')), 'UUID'), (('--listen', '0.0.0.0:0'), '--token-file'),
                              (('--keystone', 'http://keystone.example.org/v3'), 'https')):
            self.bridge(*options, wait=False)
            self.assertNotEqual(self.site.running.pop('bridge').wait(20), 0)
            self.assertIn(says, self.site.log('bridge'))


class Tokens(Masakari):
    def test_keystone_says_whose_token_it_is(self):
        self.bridge('--keystone', self.keystone.url)
        payload = {'process_name': 'nova-compute', 'event': 'STOPPED'}
        self.assertEqual(self.notify('PROCESS', payload)[0], 401)
        self.assertEqual(self.notify('PROCESS', payload, token='made-up')[0], 401)
        self.assertEqual(self.notify('PROCESS', payload, token=self.keystone.token('guest'))[0], 403)
        self.assertNotIn('service/%s/nova-compute' % ONE, [path for path, each in self.site.entities().items() if each['state'] == 'failed'])
        good = self.keystone.token('monitor')
        self.assertEqual(self.notify('PROCESS', payload, token=good)[0], 202)
        asked = self.keystone.asked
        self.keystone.down = True
        self.assertEqual(self.notify('PROCESS', payload, token=good)[0], 202)  # believed for a minute
        self.assertEqual(self.keystone.asked, asked)
        self.assertEqual(self.notify('PROCESS', payload, token='another')[0], 503)  # it is sent again
        self.assertEqual(self.ask('GET', '/v1/')[0], 200)

    def test_one_token_in_a_file(self):
        os.chmod(self.site.write('token', 'sesame\n'), 0o600)
        self.bridge('--token-file', self.site.path('token'))
        payload = {'process_name': 'nova-compute', 'event': 'STOPPED'}
        self.assertEqual(self.notify('PROCESS', payload, token='wrong')[0], 401)
        self.assertEqual(self.notify('PROCESS', payload, token='sesame')[0], 202)


GIVEN_UP = '''
mend: 1
rules:
  - {name: a process, on: service.failed, ladder: [{do: notify, to: oncall}]}
  - {name: a VM, on: vm.stopped, ladder: [{do: notify, to: oncall}]}
'''
LIBVIRTD = {'process_name': 'libvirtd', 'event': 'STOPPED'}


class Sends(Masakari):
    """What Mend has given up is told to a Masakari."""
    POLICY = GIVEN_UP

    def setUp(self):
        super().setUp()
        self.masakari = masakariapi.StandIn(self.keystone)
        self.addCleanup(self.masakari.close)
        self.login('secret')

    def login(self, password):
        os.chmod(self.site.write('login.yaml', 'keystone: %s\nuser: monitor\npassword: %s\nproject: service\n' % (self.keystone.url, password)), 0o600)

    def sends(self, *options, **more):
        self.bridge('--site', self.site.data, '--send', self.masakari.url, '--send-login', self.site.path('login.yaml'), '--send-interval', '300ms', *options, **more)

    def told(self, n, timeout=60):
        wait_for('%d notifications' % n, lambda: len(self.masakari.taken) >= n, timeout)
        time.sleep(1.5)  # a further one would come by now
        self.assertEqual(self.masakari.problems, [])
        self.assertEqual(len(self.masakari.taken), n)
        return self.masakari.taken

    def test_what_is_given_up_is_told_once_and_in_masakaris_words(self):
        self.sends()
        self.notify('PROCESS', LIBVIRTD)
        first = self.told(1)[0]
        self.assertEqual((first['type'], first['hostname'], first['payload']), ('PROCESS', 'compute-1', LIBVIRTD))
        self.vm_event('LIFECYCLE', 'STOPPED_FAILED', host='compute-2')
        second = self.told(2)[1]
        self.assertEqual((second['type'], second['hostname']), ('VM', 'compute-2'))
        self.assertEqual(second['payload'], {'event': 'LIFECYCLE', 'vir_domain_event': 'STOPPED_FAILED', 'instance_uuid': VM})
        self.assertEqual(self.keystone.logins, 1)
        self.site.stop('bridge')
        self.sends()
        self.told(2)
        self.notify('PROCESS', dict(LIBVIRTD, event='STARTED'))   # it is well, and fails again: another finding
        self.well('service/%s/libvirtd' % ONE)
        self.notify('PROCESS', LIBVIRTD)
        self.told(3)

    def test_what_is_lost_on_the_way_is_sent_again_and_not_taken_twice(self):
        self.sends()
        self.masakari.faults = ['busy', 'gone']
        self.notify('PROCESS', LIBVIRTD)
        self.told(1)
        wait_for('the answer to what was sent again', lambda: 'Masakari was told of service/' + ONE in self.site.log('bridge'), 60)
        self.masakari.faults = ['malformed', 'late']
        self.notify('PROCESS', dict(LIBVIRTD, process_name='ovs'))
        self.told(2)
        self.notify('PROCESS', dict(LIBVIRTD, process_name='late'))
        wait_for('all', lambda: self.site.log('bridge').count('Masakari was told of') == 3, 90)
        self.told(3)

    def test_a_token_that_ended_is_asked_for_anew(self):
        self.sends()
        self.notify('PROCESS', LIBVIRTD)
        self.told(1)
        self.keystone.tokens.clear()
        self.notify('PROCESS', dict(LIBVIRTD, process_name='ovs'))
        self.told(2)
        self.assertEqual(self.keystone.logins, 2)

    def test_a_wrong_password_is_not_tried_until_the_account_is_locked(self):
        self.login('wrong')
        self.sends()
        self.notify('PROCESS', LIBVIRTD)
        wait_for('the reason', lambda: 'Masakari is not told: ' in self.site.log('bridge'), 60)
        time.sleep(4)
        self.assertLessEqual(self.keystone.logins, 2)
        self.assertEqual(self.masakari.asked, 0)
        record = self.site.agents()['matahariproject.org:mend-masakari:' + ONE]
        self.assertEqual(record['reach'], 'degraded')
        self.assertIn('Masakari is not told: Keystone: 401', record['reach_text'])
        self.login('secret')
        self.told(1, 30)
        wait_for('its being well', lambda: self.site.agents()['matahariproject.org:mend-masakari:' + ONE]['reach'] == 'well', 30)

    def test_what_masakari_does_not_know_is_said_and_the_rest_goes_on(self):
        self.masakari.hosts.remove('compute-1')
        self.sends()
        self.notify('PROCESS', LIBVIRTD)
        wait_for('the reason', lambda: 'Host with name compute-1 could not be found' in self.site.log('bridge'), 60)
        self.notify('PROCESS', LIBVIRTD, host='compute-2')
        self.told(1)
        self.assertLess(self.masakari.asked, 5)

    def test_wrong_settings(self):
        for options, words in ((('--send', 'http://masakari.example.org/v1/p'), '--send-login or --send-token-file'),
                               (('--send', 'http://masakari.example.org/v1/p', '--send-token-file', 'x'), 'http would send tokens in the clear'),
                               (('--send', self.masakari.url, '--send-login', self.site.write('bad.yaml', 'user: x\n')), 'bad.yaml'),
                               (('--send', self.masakari.url, '--send-login', self.site.path('login.yaml'), '--operator-credentials', '/nowhere'),
                                'the policy engine cannot be asked')):
            self.bridge(*options, wait=False)
            self.assertNotEqual(self.site.running['bridge'].wait(30), 0)
            self.assertIn(words, self.site.log('bridge'))
            self.site.running.pop('bridge')


class RealMasakari(Masakari):
    """Masakari's API with its schemas and Keystone, both OpenStack's."""
    POLICY = GIVEN_UP

    def test_it_takes_each_once(self):
        folder = self.site.path('openstack')
        os.mkdir(folder)
        real = masakariapi.Real(folder)
        self.addCleanup(real.close)
        for login in ('user: admin\npassword: secret\nproject: admin\n', 'application-credential: %s\nsecret: %s\n' % real.credential()):
            os.chmod(self.site.write('login.yaml', 'keystone: %s\n%s' % (real.keystone, login)), 0o600)
            self.bridge('--site', self.site.data, '--send', real.url, '--send-login', self.site.path('login.yaml'), '--send-interval', '300ms')
            if not real.taken():
                self.notify('PROCESS', LIBVIRTD)
                wait_for('the process', lambda: len(real.taken()) == 1, 60)
                self.notify('PROCESS', dict(LIBVIRTD, event='STARTED'))
                self.well('service/%s/libvirtd' % ONE)
                self.notify('PROCESS', LIBVIRTD)              # too soon after the first: one for Masakari
                self.vm_event('LIFECYCLE', 'STOPPED_FAILED')
                wait_for('the VM', lambda: len(real.taken()) == 2, 60)
                self.site.stop('bridge')
        self.notify('PROCESS', dict(LIBVIRTD, process_name='ovs'))
        wait_for('the other process', lambda: len(real.taken()) == 3, 60)
        time.sleep(2)
        self.assertEqual(sorted(each['type'] for each in real.taken()), ['PROCESS', 'PROCESS', 'VM'])


class Real(Masakari):
    def test_instancemonitor_posts_unchanged(self):
        sys.path.insert(0, os.path.join(mendsite.SOURCE, 'tests', 'vm'))
        import lvhost
        import tinyguest
        why = lvhost.missing() or lvhost.network_missing() or tinyguest.missing()
        if why:
            self.skipTest(why)
        self.bridge('--keystone', self.keystone.url)
        with lvhost.Lan() as lan:
            host = lan.host('a', 11).start()
            config = self.site.write('monitors.conf', '''
[DEFAULT]
hostname = compute-1
[api]
auth_type = password
auth_url = %s
username = monitor
password = secret
project_name = service
user_domain_name = Default
project_domain_name = Default
region = RegionOne
[libvirt]
connection_uri = %s
[callback]
retry_max = 5
retry_interval = 1
''' % (self.keystone.url, host.uri))
            self.site.start('monitor', 'masakari-instancemonitor', '--config-file', config)
            tiny = tinyguest.Tiny(lan.folder)
            time.sleep(5)
            host.connect().createXML(tiny.xml('web', uuid=VM))
            tiny.wait('web', 'TINY-UP')
            os.kill(host.qemu_pid(VM), 9)
            told = self.wait_state('vm/' + VM, 'stopped')
            self.assertEqual((told['data']['reason'], told['data']['intent'], told['data']['host']), ('lost-qemu', 'none', ONE))
            self.why('vm/' + VM, 'restart-vms')
            self.site.stop('monitor')


if __name__ == '__main__':
    if 'RealMasakari' in sys.argv[1:] and not masakariapi.is_here():
        print('skipped: no Masakari API or no Keystone (apt-get install masakari-api keystone)')
        sys.exit(77)
    if 'Real' in sys.argv[1:]:
        if shutil.which('masakari-instancemonitor') is None:
            print('skipped: no masakari-instancemonitor (apt-get install masakari-instance-monitor)')
            sys.exit(77)
    unittest.main(verbosity=2)
