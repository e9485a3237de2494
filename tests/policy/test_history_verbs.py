#!/usr/bin/python3
"""mend journal, mend replay and mend policy diff as a person meets them: what they print, how they end, what they say when it goes wrong."""
import json
import os
import pty
import re
import shutil
import sqlite3
import subprocess
import tempfile
import unittest

SOURCE = os.environ.get('MEND_SOURCE_DIR') or os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
BIN = os.path.join(os.environ.get('MEND_BUILD_DIR') or os.path.join(SOURCE, 'build'), 'bin')
STARTS = '''mend: 1
rules:
  - {name: starts, on: service.failed, where: event.intent == "none", ladder: [{do: service.start}, {do: notify, to: oncall}]}
'''


class Verbs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix='mend-verbs-')
        cls.journal = os.path.join(cls.folder.name, 'day.journal')
        subprocess.run([os.path.join(BIN, 'mend-history'), cls.journal, '4000', '200'], check=True, stdout=subprocess.DEVNULL)
        cls.policy = cls.path('starts.yaml')
        with open(cls.policy, 'w') as out:
            out.write(STARTS)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder.name, name)

    def mend(self, *words, status=0, stdin=None):
        done = subprocess.run([os.path.join(BIN, 'mend'), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                              input=stdin)
        self.assertEqual(done.returncode, status, done.stdout[-2000:] + done.stderr)
        return done

    def test_verify(self):
        said = self.mend('journal', 'verify', self.folder.name).stdout
        self.assertRegex(said, r'^%s: whole, [\d,]+ records from 2026-01-01T00:00:00.000000Z to 2026-01-01T23:' % re.escape(self.journal))
        report = json.loads(self.mend('journal', 'verify', self.journal, '--json').stdout)['journals'][0]
        self.assertTrue(report['fine'])
        self.assertEqual(report['records'], report['last'])

    def test_verify_names_the_record(self):
        os.makedirs(self.path('broken'))
        copy = self.path('broken/copy.journal')
        shutil.copy(self.journal, copy)
        db = sqlite3.connect(copy)
        db.execute('UPDATE record SET body = CAST(substr(body, 1, length(body) - 1) || x\'7f\' AS BLOB) WHERE number = 1234')
        db.commit()
        db.close()
        for words in ((copy,), (self.path('broken'),)):
            self.assertIn('record 1234 was changed after it was written', self.mend('journal', 'verify', *words, status=1).stderr)
        report = json.loads(self.mend('journal', 'verify', copy, '--json', status=1).stdout)['journals'][0]
        self.assertFalse(report['fine'])
        self.assertIn('record 1234', report['error'])

    def test_there_and_back(self):
        lines, again = self.path('day.jsonl'), self.path('again')
        text = self.mend('journal', 'export', self.journal).stdout
        with open(lines, 'w') as out:
            out.write(text)
        self.assertIn('the chain of hashes is that of the export', self.mend('journal', 'import', lines, again).stdout)
        self.assertEqual(self.mend('journal', 'export', again).stdout, text)
        self.assertIn('is there already', self.mend('journal', 'import', lines, again, status=1).stderr)
        self.mend('journal', 'import', '-', self.path('from-stdin'), stdin=text)
        self.assertIn('bit-identical', self.mend('replay', lines).stdout)
        for line in text.splitlines():
            json.loads(line)

    def test_excerpt(self):
        text = self.mend('journal', 'export', self.journal, '--since', '2026-01-01T12:00:00Z', '--until', '2026-01-01T13:00:00Z').stdout
        times = [line['time'] for line in map(json.loads, text.splitlines()) if 'time' in line]
        self.assertTrue(times[0] >= '2026-01-01T12:00:00' and times[-1] < '2026-01-01T13:00:00' and len(times) > 50)
        self.mend('journal', 'import', '-', self.path('hour'), stdin=text)
        self.assertIn('an excerpt', self.mend('journal', 'verify', self.path('hour')).stdout)
        self.assertIn('bit-identical', self.mend('replay', self.path('hour')).stdout)

    def test_replay(self):
        said = self.mend('replay', self.journal)
        self.assertRegex(said.stdout, r'^4,0\d\d inputs in [\d.]+ s, [\d,]+ inputs/s\nbit-identical: all [\d,]+ decisions')
        self.assertEqual(said.stderr, '')                      # no terminal: no progress
        report = json.loads(self.mend('replay', self.journal, '--json').stdout)
        self.assertTrue(report['identical'])
        self.assertGreater(report['said'], 100)

    def test_replay_under_another_policy(self):
        report = json.loads(self.mend('replay', self.journal, '--policy', self.policy, '--json').stdout)
        self.assertGreater(report['commands']['gone'], 20)
        self.assertEqual(report['commands']['gone'], report['commands']['new'])
        first = report['differences'][0]
        self.assertEqual([deed['do'] for deed in first['gone']], ['service.restart'])
        self.assertEqual([deed['do'] for deed in first['new']], ['service.start'])
        said = self.mend('replay', self.journal, '--policy', self.policy).stdout
        self.assertIn('    -  service.restart at +0.0 s\n    +  service.start at +0.0 s\n', said)
        self.assertIn('(--all shows them)', said)
        self.assertNotIn('(--all shows them)', self.mend('replay', self.journal, '--policy', self.policy, '--all').stdout)
        same = json.loads(self.mend('replay', self.journal, '--policy', 'default', '--json').stdout)
        self.assertEqual(same['differences'], [])

    def test_policy_diff(self):
        said = self.mend('policy', 'diff', 'default', self.policy, '--history', self.journal).stdout
        self.assertIn('--- default\n+++ %s\n@@ ' % self.policy, said)
        self.assertRegex(said, r'\n-.*service.restart')
        self.assertRegex(said, r'\n\+.*service.start')
        self.assertIn('  old   healed, rule heal-services, commands: 1\n  new   healed, rule starts, commands: 1\n', said)
        self.assertEqual(self.mend('policy', 'diff', self.policy, self.policy).stdout, 'the policies mean the same\n')

    def test_progress_on_a_terminal(self):
        big = self.path('big')
        subprocess.run([os.path.join(BIN, 'mend-history'), big, '250000'], check=True, stdout=subprocess.DEVNULL)
        master, slave = pty.openpty()
        done = subprocess.Popen([os.path.join(BIN, 'mend'), 'replay', big], stdout=subprocess.PIPE, stderr=slave, env=dict(os.environ, TERM='xterm'))
        os.close(slave)
        shown = b''
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        said = done.communicate(timeout=60)[0].decode()
        os.close(master)
        os.unlink(big)
        self.assertIn('bit-identical', said)
        self.assertRegex(shown.decode(), r'replay  \[#*\.*\] +\d+ %  [\d,]+ of [\d,]+, [\d,]+/s')
        self.assertTrue(shown.endswith(b'\r\033[K'))           # and takes its line away

    def test_what_is_wrong_is_said(self):
        text = self.path('text')
        with open(text, 'w') as out:
            out.write('something else, long enough to be looked at')
        for words, status, message in (
                (('journal', 'verify', self.path('none')), 1, 'No such file'), (('journal', 'verify', text), 1, 'is not a journal'),
                (('journal', 'export', text), 1, 'is not a journal'), (('journal', 'import', text, self.path('x')), 1, 'text:1: it is not a line of JSON'),
                (('journal', 'import', self.path('none'), self.path('x')), 1, 'No such file'), (('journal', 'sell'), 2, 'usage: mend journal'),
                (('journal', 'export', self.journal, '--since', 'noon'), 2, 'a time like'), (('replay',), 2, 'usage: mend replay'),
                (('replay', text), 1, 'is not a journal'), (('replay', self.journal, '--policy', self.path('none')), 1, 'none'),
                (('policy', 'diff', 'default'), 2, 'usage: mend policy diff'), (('policy', 'diff', 'default', text), 1, text)):
            self.assertIn(message, self.mend(*words, status=status).stderr, words)
            self.assertFalse(os.path.exists(self.path('x')))


if __name__ == '__main__':
    unittest.main(verbosity=2)
