#!/usr/bin/python3
"""A guest with no agent, behind a real sshd: its services are seen, healed by policy and explained; and everything that can go wrong on the
way is said for what it is, is nobody's death, and does nothing twice."""
import os
import sys
import time
import unittest

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(FOLDER, '..', 'lib'))
import mendsite  # noqa: E402
import sshserver  # noqa: E402
from mendsite import BIN, wait_for  # noqa: E402

ID = '6f1a2b3c-0000-4000-8000-000000000001'
AGENT = 'matahariproject.org:mend-ssh:' + ID

POLICY = """
mend: 1
applications:
  - name: shop
    vms:
      - name: web
        match: {id: %s}
        services:
          - {name: one, standard: ocf, provider: test, agent: Svc}
          - {name: two, standard: ocf, provider: test, agent: Svc}
rules:
  - name: heal
    on: service.failed
    ladder:
      - {do: service.restart, attempts: 5, within: 10m, healed_when: {state: running}}
""" % ID

# Runs while its file is there; does what NAME.slow says first; writes down what it was asked for.
SVC = """#!/bin/sh
f=%s/$OCF_RESOURCE_INSTANCE
[ "$1" = monitor ] || echo "$1" >>"$f.log"
if [ -e "$f.slow-$1" ]; then sleep "$(cat "$f.slow-$1")"; fi
case $1 in
start) : >"$f" ;;
stop) rm -f "$f" ;;
monitor) [ -e "$f" ] && exit 0; exit 7 ;;
*) exit 3 ;;
esac
"""


class Ssh(unittest.TestCase):
    def setUp(self):
        self.mend = mendsite.Site()
        self.addCleanup(lambda: self.mend.__exit__(None if self._outcome.success else AssertionError, None, None))
        self.server = sshserver.Server(self.mend)
        agents = self.mend.path('ocf/resource.d/test')
        os.makedirs(agents)
        with open(os.path.join(agents, 'Svc'), 'w') as script:
            script.write(SVC % self.mend.folder)
        os.chmod(script.name, 0o755)
        for name in ('one', 'two'):
            self.touch(name)

    def touch(self, name, text=''):
        self.mend.write(name, text)

    def remove(self, name):
        os.unlink(self.mend.path(name))

    def asked(self, name):
        try:
            with open(self.mend.path(name + '.log')) as log:
                return log.read().split()
        except FileNotFoundError:
            return []

    def site(self):
        self.mend.broker('--anonymous')
        self.mend.policy('--policy', self.mend.write('policy.yaml', POLICY))

    def bridge(self, timeout='5s', **guest):
        given = {'host': '127.0.0.1', 'port': self.server.port, 'user': 'root', 'identity': self.server.client_key,
                 'known-hosts': self.server.known_hosts}
        given.update(guest)
        lines = ''.join('    %s: %s\n' % pair for pair in given.items())
        services = ''.join('      - {name: %s, standard: ocf, provider: test, agent: Svc, interval: 300ms, timeout: %s, start_timeout: 20s}\n' % (name, timeout)
                           for name in ('one', 'two'))
        guests = self.mend.write('guests.yaml', 'guests:\n  - id: %s\n    name: web\n%s    services:\n%s' % (ID, lines, services))
        self.addCleanup(self.bridge_ends_well)
        return self.mend.start('bridge', os.path.join(BIN, 'mend-bridge'), 'ssh', '--guests', guests, '--anonymous', '--log', 'debug',
                               '--broker', 'amqp://127.0.0.1:%d' % self.mend.port, '--data', self.mend.path('b'), '--heartbeat', '1s',
                               '--alive', '1s', '--ocf-root', self.mend.path('ocf'))

    def bridge_ends_well(self):
        if 'bridge' in self.mend.running:
            self.assertEqual(self.mend.stop('bridge'), 0, self.mend.log('bridge')[-3000:])

    def state(self, name):
        return self.mend.entities().get('service/%s/%s' % (ID, name), {}).get('state')

    def await_state(self, name, state, timeout=60):
        wait_for('%s %s' % (name, state), lambda: self.state(name) == state, timeout, 0.1)

    def up(self, *options):
        self.server.start(*options)
        self.site()
        self.bridge()
        for name in ('one', 'two'):
            self.await_state(name, 'running')

    def test_a_service_is_healed_and_explained(self):
        self.up()
        self.remove('one')
        wait_for('the restart', lambda: os.path.exists(self.mend.path('one')), 60)
        self.await_state('one', 'running')
        self.assertEqual(self.asked('one'), ['stop', 'start'])
        self.assertEqual(self.asked('two'), [])
        story = wait_for('its story', lambda: self.mend.mend('why', 'service/%s/one' % ID, check=False).stdout, 30, 0.5)
        self.assertIn('rule heal', story)
        self.assertIn('service.restart', story)
        answer = self.mend.json('call', AGENT, 'Guest', 'stop', 'name=two', 'intent=admin')
        self.assertEqual((answer['rc'], answer['state']), (0, 'stopped'))
        time.sleep(2)
        self.assertEqual(self.asked('two'), ['stop'])  # what somebody stopped stays stopped
        record = self.mend.agents()[AGENT]
        self.assertEqual((record['state'], record['hostname'], record['vm']), ('up', 'web', ID))
        self.assertTrue(record['boot_id'])

    def nobody_comes_in(self, words, **guest):
        self.site()
        self.bridge(**guest)
        wait_for(words, lambda: words in self.mend.log('bridge'), 30)
        wait_for('the agent', lambda: self.mend.agents()[AGENT]['state'] == 'up', 30)
        for name in ('one', 'two'):
            self.await_state(name, 'unknown')
        time.sleep(2)
        self.assertEqual(self.asked('one') + self.asked('two'), [])
        answer = self.mend.mend('call', AGENT, 'Guest', 'restart', 'name=one', check=False)
        self.assertIn('out of reach', answer.stdout + answer.stderr)

    def test_an_unknown_host_key_is_refused(self):
        self.server.start()
        self.nobody_comes_in('its host key is not known: compare', **{'known-hosts': self.server.write('empty', '')})

    def test_another_host_key_is_refused(self):
        self.server.start()
        with open(sshserver.key(self.server.path('other_key')) + '.pub') as public:
            other = self.server.write('others', '[127.0.0.1]:%d %s\n' % (self.server.port, ' '.join(public.read().split()[:2])))
        self.nobody_comes_in('its host key has changed', **{'known-hosts': other})

    def test_wrong_credentials(self):
        self.server.start()
        self.nobody_comes_in('it does not let root in with', identity=sshserver.key(self.server.path('wrong_key')))

    def test_a_shell_that_is_none(self):
        self.server.start('ForceCommand echo welcome')
        self.nobody_comes_in('the connection to web broke')

    def test_gone_for_a_while_is_no_failure(self):
        self.up()
        self.server.stop()
        for name in ('one', 'two'):
            self.await_state(name, 'unknown')
        self.remove('two')  # nobody sees it
        time.sleep(3)
        self.assertEqual(self.mend.agents()[AGENT]['state'], 'up')
        self.assertEqual(self.asked('one') + self.asked('two'), [])
        self.server.start()
        self.await_state('one', 'running')
        wait_for('the restart', lambda: os.path.exists(self.mend.path('two')), 60)
        self.await_state('two', 'running')
        self.assertEqual(self.asked('one'), [])
        self.assertEqual(self.asked('two'), ['stop', 'start'])

    def test_cut_in_mid_command_does_nothing_twice(self):
        self.up()
        self.touch('one.slow-start', '4')
        self.remove('one')
        wait_for('the start', lambda: 'start' in self.asked('one'), 60)
        self.server.cut()
        wait_for('what became of it', lambda: 'whether it was done is not known' in self.mend.log('bridge'), 30)
        wait_for('its end', lambda: os.path.exists(self.mend.path('one')), 30)  # the program there goes on
        self.await_state('one', 'running')
        time.sleep(2)
        self.assertIn(self.asked('one').count('start'), (1, 2))  # a second time only had it been seen not to run
        story = self.mend.mend('why', 'service/%s/one' % ID).stdout
        self.assertIn('whether it was done is not known', story)

    def test_a_slow_command_is_that_services_matter_only(self):
        self.server.start()
        self.site()
        self.touch('one.slow-monitor', '600')
        self.bridge(timeout='1s')
        self.await_state('two', 'running')
        self.remove('two')
        wait_for('the restart', lambda: os.path.exists(self.mend.path('two')), 30)
        self.await_state('two', 'running')
        self.assertNotEqual(self.state('one'), 'running')
        leftover = wait_for('no sleep left', lambda: not [pid for pid in os.listdir('/proc') if pid.isdigit() and self.is_old_sleep(pid)], 30, 0.5)
        self.assertTrue(leftover)

    def is_old_sleep(self, pid):
        """A sleep of a monitor whose time was over long ago."""
        try:
            with open('/proc/%s/cmdline' % pid) as line, open('/proc/%s/stat' % pid) as stat, open('/proc/uptime') as uptime:
                begun = int(stat.read().rpartition(')')[2].split()[19]) / os.sysconf('SC_CLK_TCK')
                return line.read() == 'sleep\x00600\x00' and float(uptime.read().split()[0]) - begun > 8
        except OSError:
            return False


if __name__ == '__main__':
    if os.geteuid() != 0 or not os.path.exists(sshserver.SSHD):
        print('skipped: needs root, and sshd (apt-get install openssh-server)')
        sys.exit(77)
    unittest.main()
