#!/usr/bin/python3
"""A guest with no agent, behind a real sshd: its services are seen, healed by policy and explained; and everything that can go wrong on the
way is said for what it is, is nobody's death, and does nothing twice."""
import os
import sys
import time
import unittest

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(FOLDER, '..', 'lib'))
import sshserver  # noqa: E402
from sshsite import AGENT, ID, Case  # noqa: E402
from mendsite import wait_for  # noqa: E402


class Ssh(Case):
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

    def test_an_unknown_host_key_is_refused(self):
        self.server.start()
        self.nobody_comes_in('its host key is not known (SHA256:', **{'known-hosts': self.server.write('empty', '')})

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
        self.nobody_comes_in("answers something else than asked ('welcome')")

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
