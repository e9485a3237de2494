#!/usr/bin/python3
"""Whatever is wrong with what a person gives Mend: a clear error that names the place, an exit status, and nothing half-started."""
import os
import re
import socket
import subprocess
import time
import unittest

from mendsite import BIN, Site

MEND, GUEST = os.path.join(BIN, 'mend'), os.path.join(BIN, 'mend-guest')


class BadInput(unittest.TestCase):
    def setUp(self):
        self.mend = Site()
        self.addCleanup(self.mend.__exit__, None, None, None)

    def refused(self, words, *command, limit=15):
        """It ends by itself, with a status that is no signal, and says each of the words (regular expressions) in a few lines."""
        started = time.monotonic()
        said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit, env=self.mend.environment())
        self.assertGreater(said.returncode, 0, 'exit %d: %s' % (said.returncode, said.stderr + said.stdout))
        self.assertLess(len(said.stderr.splitlines()), 25, said.stderr)
        for word in words:
            self.assertRegex(said.stderr, word)
        self.assertNotRegex(said.stderr, r'(?i)assert|traceback|critical \*\*')
        return time.monotonic() - started

    def broker(self, *options):
        return (MEND, 'broker', '--listen', '127.0.0.1:0', '--data', self.mend.data) + options

    # The command line

    def test_no_verb_and_unknown_verb(self):
        self.refused(['up', 'broker', 'status'], MEND)
        self.refused(['nonsense'], MEND, 'nonsense')
        self.refused(['statsu', 'status'], MEND, 'statsu')

    def test_unknown_option_is_named_with_the_nearest(self):
        self.refused(['listne', 'listen'], MEND, 'broker', '--listne', '127.0.0.1:0')

    def test_help_is_no_error(self):
        for verb in ('up', 'broker', 'policy', 'status', 'events', 'why', 'agents', 'call', 'enrol', 'schema'):
            said = subprocess.run([MEND, verb, '--help'], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10)
            self.assertEqual(said.returncode, 0, verb + said.stderr)
            self.assertIn('mend ' + verb, said.stdout)

    # Files

    def test_settings_file(self):
        path = self.mend.write('settings.yaml', 'listen: 127.0.0.1:0\nmax-quuees: 3\n')
        self.refused([re.escape(path) + ':2:1', 'max-quuees', 'max-queues'], *self.broker('--settings', path))
        path = self.mend.write('settings.yaml', 'idle-timeout: soon\n')
        self.refused([re.escape(path) + ':1:15', 'soon'], *self.broker('--settings', path))
        path = self.mend.write('settings.yaml', 'listen: [\n')
        self.refused([re.escape(path) + r':\d+:\d+'], *self.broker('--settings', path))
        self.refused(['nowhere.yaml'], *self.broker('--settings', self.mend.path('nowhere.yaml')))
        self.assertFalse(os.path.exists(os.path.join(self.mend.data, 'run', 'broker.url')))

    def test_policy_file(self):
        self.mend.broker()
        policy = (MEND, 'policy', 'run', '--data', self.mend.data, '--policy')
        for text, place, words in (
                ('mend: 1\nrules:\n  - name: a\n    on: service.failed\n    lader: []\n', ':5:5', ['lader', 'ladder']),
                ('mend: 1\nrules:\n  - {name: a, on: service.failed, ladder: [{do: service.restart, attempts: many}]}\n', r':3:\d+', ['attempts']),
                ('mend: 1\nrules: [\n', r':\d+:\d+', []),
                ('mend: 99\n', ':1:7', ['version 1'])):
            path = self.mend.write('policy.yaml', text)
            self.refused([re.escape(path) + place] + words, *policy, path)
        self.refused(['nowhere.yaml'], *policy, self.mend.path('nowhere.yaml'))

    def test_schema_file(self):
        path = self.mend.write('odd.xml', '<schema package="a">\n  <class name="B">\n    <property name="c" type="unit32"/>\n  </class>\n</schema>\n')
        self.refused([re.escape(path) + r':3:\d+', 'unit32', 'uint32'], MEND, 'schema', 'check', path)
        self.refused(['nowhere.xml'], MEND, 'schema', 'check', self.mend.path('nowhere.xml'))
        self.refused(['usage'], MEND, 'schema', 'chekc')

    def test_what_is_damaged_in_the_site_is_named_and_left_alone(self):
        self.mend.broker()
        self.mend.stop('broker')
        users = os.path.join(self.mend.data, 'users')
        with open(users) as text:
            whole = text.read()
        with open(users, 'w') as text:
            text.write('engine:nonsense\n')
        self.refused([re.escape(users), '1'], *self.broker())
        with open(users) as text:
            self.assertIn('engine:nonsense\n', text.read())
        with open(users, 'w') as text:
            text.write(whole)
        self.mend.broker()

    def test_everywhere_means_loopback_too(self):
        """Listening on all addresses, the parts of one `mend up` still reach each other, without TLS over loopback."""
        self.mend.start('up', MEND, 'up', '--listen', '0.0.0.0:0', '--data', self.mend.data)
        deadline = time.monotonic() + 15
        while 'main, acts' not in self.mend.mend('status', check=False).stdout:
            self.assertLess(time.monotonic(), deadline, self.mend.log('up'))
            time.sleep(0.1)

    def test_services_file_of_the_guest(self):
        path = self.mend.write('services.yaml', 'services:\n  - {name: web, standard: systemd, intervall: 3s}\n')
        self.refused([re.escape(path) + r':2:\d+', 'intervall', 'interval'], GUEST, '--services', path, '--data', self.mend.path('guest'))

    def test_services_are_read_before_anything_starts(self):
        up = (MEND, 'up', '--listen', '127.0.0.1:0', '--data', self.mend.data)
        self.refused(['web', 'STANDARD:NAME', 'nothing was started'], *up, '--service', 'web')
        path = self.mend.write('services.yaml', 'services:\n  - {name: web, standard: systemd, intervall: 3s}\n')
        self.refused([re.escape(path) + r':2:\d+', 'intervall'], *up, '--services', path)
        self.assertFalse(os.path.exists(self.mend.data))

    # The broker's start

    def test_port_in_use(self):
        with socket.create_server(('127.0.0.1', 0)) as taken:
            address = '127.0.0.1:%d' % taken.getsockname()[1]
            self.refused([address, 'in use'], MEND, 'broker', '--listen', address, '--data', self.mend.data)
        self.assertFalse(os.path.exists(os.path.join(self.mend.data, 'run', 'broker.url')))

    def test_data_folder_in_use_by_another_broker(self):
        self.mend.broker()
        self.refused([re.escape(self.mend.data)], *self.broker())
        self.assertEqual(self.mend.mend('status').returncode, 0)

    def test_data_folder_that_cannot_be(self):
        path = self.mend.write('file', '')
        self.refused([re.escape(path)], MEND, 'broker', '--listen', '127.0.0.1:0', '--data', path + '/data')

    def test_lab_is_for_loopback_only(self):
        self.refused(['0.0.0.0', 'loopback'], MEND, 'broker', '--listen', '0.0.0.0:0', '--data', self.mend.data, '--lab')

    def test_missing_plugin(self):
        self.refused(['nowhere.so'], *self.broker('--plugin', self.mend.path('nowhere.so')))

    # Without a broker, without rights

    def test_broker_absent(self):
        for verb in (('status',), ('agents',), ('why', 'vm/x'), ('events',)):
            taken = self.refused(['broker'], MEND, verb[0], '--data', self.mend.data, *verb[1:])
            self.assertLess(taken, 8, verb)

    def test_wrong_password(self):
        self.mend.broker()
        with open(os.path.join(self.mend.data, 'credentials', 'operator'), 'w') as wrong:
            wrong.write('wrong\n')
        self.refused(['(?i)operator|password|authenti'], MEND, 'status', '--data', self.mend.data)

    def test_agent_and_entity_that_are_not_there(self):
        self.mend.broker()
        self.refused(['nobody'], MEND, 'call', '--data', self.mend.data, 'nobody:at:all', 'Host', 'identify', '--timeout', '1s')


if __name__ == '__main__':
    unittest.main()
