#!/usr/bin/python3
"""mend-bridge ssh when things go wrong in ways that are easily taken for others: nobody is called failed for it, nothing is done twice."""
import contextlib
import os
import signal
import sys
import time
import unittest

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(FOLDER, '..', 'lib'))
import sshserver  # noqa: E402
from mendsite import wait_for  # noqa: E402
from sshsite import AGENT, ID, Case  # noqa: E402

# Runs what follows, unless there is a file that forbids it.
BECOME = """#!/bin/sh
if [ -e %s ]; then echo 'sudo: a password is required' >&2; exit 1; fi
exec "$@"
"""

LSB = """#!/bin/sh
f=%s/init
echo "$1" >>"$f.log"
case $1 in
start) touch "$f" ;;
stop) rm -f "$f" ;;
status) [ -e "$f" ] && exit 0; exit 3 ;;
esac
"""


class Faults(Case):
    def changes(self):
        """The acts that were asked for, of both."""
        return self.asked('one') + self.asked('two')

    def never_failed(self, name, after=0):
        self.assertEqual(self.mend.log('bridge').count('%s: failed' % name), after)

    def test_a_machine_that_stands_still_has_not_failed(self):
        self.up(timeout='1s', options=('--alive', '60s'))  # so that ssh itself does not see it
        still = [self.mend.running['sshd'].pid, *self.server.sessions()]
        for pid in still:
            os.kill(pid, signal.SIGSTOP)
        try:
            for name in ('one', 'two'):
                self.await_state(name, 'unknown')
            wait_for('a word on it', lambda: 'answers nothing any more' in self.mend.log('bridge'), 30)
            self.assertEqual(self.mend.agents()[AGENT]['state'], 'up')
        finally:
            for pid in still:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        for name in ('one', 'two'):
            self.await_state(name, 'running')
            self.never_failed(name)
        self.assertEqual(self.changes(), [])

    def test_a_daemon_that_keeps_the_pipes_is_no_timeout(self):
        self.up()
        self.touch('one.daemon')
        begun = time.monotonic()
        self.remove('one')
        wait_for('the start', lambda: os.path.exists(self.mend.path('one')), 60)
        self.await_state('one', 'running')
        with open(self.mend.path('one.daemon')) as pid:
            os.kill(int(pid.read()), signal.SIGKILL)
        self.assertEqual(self.asked('one'), ['stop', 'start'])
        self.assertLess(time.monotonic() - begun, 19)  # start_timeout is 20 s
        self.assertNotIn('timed out', self.mend.log('bridge'))

    def test_fewer_sessions_than_thought(self):
        self.touch('one.slow-monitor', '1')
        self.touch('two.slow-monitor', '1')
        self.up('MaxSessions 1')
        wait_for('a word on it', lambda: 'no more than 1 sessions' in self.mend.log('bridge'), 60)
        self.remove('two')
        wait_for('the restart', lambda: os.path.exists(self.mend.path('two')), 60)
        self.await_state('two', 'running')
        self.assertEqual(self.asked('one'), [])
        self.never_failed('one')

    def test_others_slowness_is_not_ones_failure(self):
        self.up(timeout='2s', options=('--sessions', '1'))
        self.touch('one.slow-monitor', '600')
        wait_for('one seen to be slow', lambda: self.state('one') != 'running', 60)
        time.sleep(6)
        self.never_failed('two')
        self.assertEqual(self.asked('two'), [])

    def test_sudo_refuses(self):
        forbidden = self.mend.path('forbidden')
        become = self.mend.write('become', BECOME % forbidden)
        os.chmod(become, 0o755)
        self.touch('forbidden')
        self.server.start()
        self.site()
        self.bridge(become=become)
        wait_for('a word on it', lambda: 'sudo: a password is required' in self.mend.log('bridge'), 30)
        os.unlink(forbidden)
        for name in ('one', 'two'):
            self.await_state(name, 'running')
        self.touch('forbidden')
        for name in ('one', 'two'):
            self.await_state(name, 'unknown')
        os.unlink(forbidden)
        for name in ('one', 'two'):
            self.await_state(name, 'running')
            self.never_failed(name)
        self.assertEqual(self.changes(), [])

    def test_more_output_than_anybody_wants(self):
        self.touch('one.flood')
        self.up()
        self.remove('one')
        wait_for('the start', lambda: os.path.exists(self.mend.path('one')), 60)
        self.await_state('one', 'running')
        self.assertEqual(self.asked('one'), ['stop', 'start'])

    def test_an_interrupted_stop_is_healed_by_policy(self):
        self.up()
        self.touch('two.slow-stop', '3')
        self.remove('two')
        wait_for('the stop', lambda: 'stop' in self.asked('two'), 60)
        self.server.stop()
        wait_for('its end', lambda: 'whether it was done is not known' in self.mend.log('bridge'), 30)
        self.assertEqual(self.asked('two'), ['stop'])
        self.remove('two.slow-stop')
        self.server.start()
        wait_for('the start', lambda: os.path.exists(self.mend.path('two')), 60)
        self.await_state('two', 'running')
        self.assertEqual(self.asked('two'), ['stop', 'stop', 'start'])  # the second only once the first could be at work no more
        self.never_failed('two', after=2)
        self.assertEqual(self.asked('one'), [])
        self.assertIn('whether it was done is not known', self.mend.mend('why', 'service/%s/two' % ID).stdout)

    def test_a_bridge_killed_in_mid_command_does_nothing_twice(self):
        self.up()
        self.touch('one.slow-start', '6')
        self.remove('one')
        wait_for('the start', lambda: 'start' in self.asked('one'), 60)
        self.mend.stop('bridge', signal.SIGKILL)
        self.assertFalse(os.path.exists(self.mend.path('one')))
        self.bridge()
        self.await_state('one', 'unknown')
        self.await_state('one', 'running')
        self.never_failed('one', after=1)
        time.sleep(2)
        self.assertEqual(self.asked('one'), ['stop', 'start'])
        self.assertEqual(self.asked('two'), [])

    def test_lsb_and_exec(self):
        os.makedirs(self.mend.path('init.d'))
        script = self.mend.write('init.d/three', LSB % self.mend.folder)
        os.chmod(script, 0o755)
        self.touch('init')
        self.touch('four')
        self.server.start()
        self.site()
        self.bridge(services='      - {name: three, standard: lsb, agent: three, interval: 300ms}\n'
                             '      - {name: four, standard: exec, start: "/usr/bin/touch %(f)s", stop: "/bin/rm -f %(f)s", '
                             'monitor: "/usr/bin/test -e %(f)s", interval: 300ms}\n' % {'f': self.mend.path('four')})
        for name in ('three', 'four'):
            self.await_state(name, 'running')
        for name in ('three', 'four'):
            answer = self.mend.json('call', AGENT, 'Guest', 'stop', 'name=' + name, 'intent=admin')
            self.assertEqual((answer['rc'], answer['state']), (0, 'stopped'), answer)
            answer = self.mend.json('call', AGENT, 'Guest', 'start', 'name=' + name)
            self.assertEqual((answer['rc'], answer['state']), (0, 'running'), answer)
        self.assertTrue(os.path.exists(self.mend.path('init')) and os.path.exists(self.mend.path('four')))

    def test_a_key_is_put_right(self):
        with open(self.server.path('authorized_keys')) as keys:
            right = keys.read()
        self.server.write('authorized_keys', '')
        self.server.start()
        self.site()
        bridge = self.bridge()
        wait_for('a word on it', lambda: 'it does not let root in with' in self.mend.log('bridge'), 30)
        self.server.write('authorized_keys', right)
        os.kill(bridge.pid, signal.SIGHUP)
        for name in ('one', 'two'):
            self.await_state(name, 'running', 30)

    def reload(self, bridge, name, old, new):
        with open(self.mend.path('guests.yaml')) as file:
            text = file.read()
        self.mend.write('guests.yaml', text.replace(old, new))
        os.kill(bridge.pid, signal.SIGHUP)
        wait_for(name, lambda: name in self.mend.log('bridge'), 30)

    def test_the_file_is_read_again(self):
        self.server.start()
        self.site()
        bridge = self.bridge()
        self.await_state('two', 'running')
        self.reload(bridge, "'hostt'", 'host: ', 'hostt: ')
        self.reload(bridge, 'speaks for 1', 'hostt: ', 'host: ')
        self.assertEqual(self.mend.log('bridge').count('connected to'), 1)  # as before: untouched
        self.touch('five')
        self.reload(bridge, 'has changed', '    services:\n', '    services:\n      - {name: five, standard: ocf, provider: test, agent: Svc, interval: 300ms}\n')
        self.await_state('five', 'running')
        self.remove('five')
        wait_for('the service', lambda: self.state('five') == 'failed' or self.asked('five'), 30)
        time.sleep(3)
        self.reload(bridge, 'is no longer in the file', ID, ID[:-1] + '2')
        wait_for('the other', lambda: self.mend.agents().get(AGENT[:-1] + '2', {}).get('state') == 'up', 30)
        self.assertEqual(self.changes(), [])

    def test_nothing_runs_on_the_bridges_own_machine(self):
        self.up()
        for arguments in (['standard=process', 'parameters={"command": "/usr/bin/touch %s"}' % self.mend.path('here')],
                          ['standard=tcp', 'agent=127.0.0.1:1']):
            answer = self.mend.mend('call', AGENT, 'Guest', 'monitor', 'name=six', *arguments, check=False)
            self.assertRegex(answer.stdout + answer.stderr, "not allowed here|would be that one")
        self.assertIsNone(self.state('six'))
        self.assertFalse(os.path.exists(self.mend.path('here')))


if __name__ == '__main__':
    if os.geteuid() != 0 or not os.path.exists(sshserver.SSHD):
        print('skipped: needs root, and sshd (apt-get install openssh-server)')
        sys.exit(77)
    unittest.main()
