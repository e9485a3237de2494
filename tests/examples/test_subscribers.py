#!/usr/bin/python3
"""The subscribers of docs/examples/subscriber, in C, Python and JavaScript: each sees a real failure and its repair, comes back after a
restart of the broker, and misses nothing. The C one is compiled here with nothing but proton's headers."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

import mendsite
from exampleskit import FOLDER, PYTHON, SERVICE, Feeder, Site, program, wait_for

sys.path.insert(0, os.path.join(mendsite.SOURCE, 'tests', 'interop'))
import test_rhea  # noqa: E402

WEB = SERVICE % 'web'
WAIT = 40
built = None  # folder of the compiled one


def setUpModule():
    global built
    built = tempfile.mkdtemp(prefix='mend-examples-')
    flags = subprocess.run(['pkg-config', '--cflags', '--libs', 'libqpid-proton'], check=True, capture_output=True, text=True).stdout.split()
    subprocess.run(['cc', '-std=gnu11', '-g', '-O1', '-Wall', '-Wextra', '-Werror', '-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-o',
                    os.path.join(built, 'subscriber'), program('subscriber.c'), *flags], check=True)


def tearDownModule():
    shutil.rmtree(built, ignore_errors=True)


class Subscribers:
    """The same for each language; command(…) makes its command line."""

    def start(self, site, name, scheme='amqps', user='observer', **more):
        login = {'user': user, 'password-file': more.pop('password', None) or site.password_file(user), 'ca': site.ca()} if scheme == 'amqps' else {}
        return site.start(name, *self.command(site.url(scheme), dict(login, **more)))

    def newest(self, site):
        return [line[2] for line in site.lines('all') if line[2].startswith('service.') and line[3] == WEB][-1]

    def test_a_failure_and_its_repair_are_told_also_after_a_restart_of_the_broker(self):
        with Site() as site:
            site.broker()
            site.enrol()
            site.policy()
            self.start(site, 'all')
            self.start(site, 'failed', kind='service', state='failed')
            site.agent('web', 'sleep', '1000')
            wait_for('the agent', lambda: site.told('all', 'service.running', WEB), WAIT)
            site.kill_child()
            wait_for('the failure', lambda: site.told('all', 'service.failed', WEB), WAIT)
            wait_for('the repair', lambda: self.newest(site) == 'service.running', WAIT)
            wait_for('the failure, alone', lambda: site.told('failed', 'service.failed', WEB), WAIT)

            self.assertEqual(site.stop('broker'), 0)
            site.kill_child() # while nobody hears
            site.broker()
            wait_for('the second repair', site.child, WAIT)
            wait_for('word of it', lambda: self.newest(site) == 'service.running', WAIT)
            before = [len(site.told(name, 'service.failed', WEB)) for name in ('all', 'failed')]
            site.kill_child()
            wait_for('the third failure', lambda: len(site.told('all', 'service.failed', WEB)) > before[0], WAIT)
            wait_for('the third failure, alone', lambda: len(site.told('failed', 'service.failed', WEB)) > before[1], WAIT)
            wait_for('its repair', lambda: self.newest(site) == 'service.running', WAIT)

            self.assertEqual(len(site.lines('all')), len({(line[1], line[2], line[3]) for line in site.lines('all')}), 'something was told twice')
            self.assertEqual({line[2] for line in site.lines('failed')}, {'service.failed'})
            for name in 'all', 'failed', 'agent':
                self.assertIsNone(site.running[name].poll(), site.log(name))

    def test_what_was_lost_on_the_way_is_asked_for(self):
        with Site() as site:
            site.broker('--lab', '--subscription-messages', '100') # answers have to fit, too
            feeder = Feeder(site)
            feeder.beat()
            feeder.tell('first', 'running')
            subscriber = self.start(site, 'all', 'amqp')
            wait_for('what was true before', lambda: site.told('all', 'service.running', SERVICE % 'first'), WAIT)
            feeder.tell('second', 'running')
            wait_for('an event', lambda: [line[0] for line in site.told('all', 'service.running', SERVICE % 'second')] == ['event'], WAIT)

            subscriber.send_signal(signal.SIGSTOP) # its queue overflows
            names = ['s%03d' % n for n in range(400)]
            for name in names:
                feeder.tell(name, 'failed')
            wait_for('all of it to be true', lambda: sum(each['state'] == 'failed' for each in site.entities().values()) == 400, WAIT)
            subscriber.send_signal(signal.SIGCONT)

            def failed():
                return [line for line in site.lines('all') if line[2] == 'service.failed']

            wait_for('all of it to be told', lambda: {line[3] for line in failed()} == {SERVICE % name for name in names}, WAIT)
            self.assertEqual(len(failed()), 400)
            self.assertGreater(sum(line[0] == 'state' for line in failed()), 100)
            feeder.close()

    def test_what_the_broker_keeps_is_told_by_the_next_life(self):
        with Site() as site:
            site.broker('--lab')
            feeder = Feeder(site)
            feeder.beat()
            self.start(site, 'first', 'amqp', keep='audit')
            feeder.tell('a', 'running')
            wait_for('the first', lambda: site.told('first', 'service.running', SERVICE % 'a'), WAIT)
            site.stop('first')
            for state in 'failed', 'running', 'stopped': # each told before the next, or the last would stand for all
                feeder.tell('a', state)
                wait_for('%s to be true' % state, lambda: site.entities()[SERVICE % 'a']['state'] == state, WAIT)
            self.start(site, 'second', 'amqp', keep='audit')
            wait_for('every one', lambda: [line[2] for line in site.lines('second') if line[0] == 'event' and line[3] == SERVICE % 'a'] ==
                     ['service.failed', 'service.running', 'service.stopped'], WAIT)
            feeder.close()

    def test_a_wrong_password_ends_it_with_a_word(self):
        with Site() as site:
            site.broker()
            wrong = site.write('wrong', 'guess')
            subscriber = self.start(site, 'wrong', password=wrong)
            self.assertEqual(subscriber.wait(WAIT), 1, site.log('wrong'))
            self.assertNotEqual(site.log('wrong').strip(), '')
            self.assertNotIn('Traceback', site.log('wrong'))


class InPython(Subscribers, unittest.TestCase):
    def command(self, url, options):
        return [PYTHON, '-u', program('subscriber.py'), url, *(word for name, value in options.items() for word in ('--' + name, value))]


class InC(Subscribers, unittest.TestCase):
    SHORT = {'user': '-u', 'password-file': '-p', 'ca': '-c', 'kind': '-k', 'state': '-s', 'keep': '-n'}

    def command(self, url, options):
        return [os.path.join(built, 'subscriber'), *(word for name, value in options.items() for word in (self.SHORT[name], value)), url]


class InJavaScript(Subscribers, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which('node') or not shutil.which('npm'):
            raise unittest.SkipTest('node and npm are not installed')
        try:
            test_rhea.install()
        except SystemExit: # it says why
            raise unittest.SkipTest('rhea cannot be had') from None
        os.environ['NODE_PATH'] = os.path.join(test_rhea.FOLDER, 'node_modules')

    def command(self, url, options):
        return ['node', program('subscriber.js'), url, *(word for name, value in options.items() for word in ('--' + name, value))]


if __name__ == '__main__':
    unittest.main(verbosity=2)
