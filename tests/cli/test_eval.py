#!/usr/bin/python3
"""mend policy eval: what it prints, where errors go, and that a batch answers every line."""
import json
import os
import subprocess
import tempfile
import unittest

MEND = os.path.join(os.environ['MEND_BUILD_DIR'], 'bin', 'mend')


def run(*arguments, text=''):
    return subprocess.run([MEND, 'policy', 'eval', *arguments], input=text, capture_output=True, text=True, timeout=60, check=False)


class Eval(unittest.TestCase):
    def prints(self, expected, *arguments):
        done = run(*arguments)
        self.assertEqual((done.stdout, done.stderr, done.returncode), (expected + '\n', '', 0))

    def test_values_and_their_types(self):
        self.prints('3  int', '1 + 2')
        self.prints('3  uint', '1u + 2u')
        self.prints('2.0  double', '1.0 + 1.0')
        self.prints('["a", {"b": null}]  list', '["a", {"b": null}]')
        self.prints('"1970-01-01T00:00:00Z"  google.protobuf.Timestamp', 'timestamp(0)')
        self.prints('-2  int', '-5 + 3')
        self.prints('{"value": true, "type": "bool"}', 'true', '--json')
        self.prints('{"value": {"bytes": "AA=="}}', "b'\\000'", '--typed')

    def test_variables_come_from_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'vars.json')
            with open(path, 'w', encoding='utf-8') as file:
                json.dump({'x': 2, 'a.b': [1.5]}, file)
            self.prints('3.5  double', 'double(x) + a.b[0]', '--vars', path)
            with open(path, 'w', encoding='utf-8') as file:
                file.write('{"x": }')
            done = run('x', '--vars', path)
            self.assertEqual(done.returncode, 1)
            self.assertIn('vars.json:1:', done.stderr)
        done = run('x', '--vars', '/no/such/file')
        self.assertEqual(done.returncode, 1)
        self.assertIn('/no/such/file', done.stderr)

    def test_errors_show_the_place(self):
        done = run('"ä" + 1')
        self.assertEqual((done.stdout, done.returncode), ('', 1))
        self.assertEqual(done.stderr, 'mend policy eval: no matching overload: + applied to (string, int)\n  "ä" + 1\n      ^\n')
        done = run('1 +\n2 + * 3')
        self.assertTrue(done.stderr.endswith('\n  2 + * 3\n      ^\n'), done.stderr)

    def test_wrong_usage(self):
        for arguments in ((), ('1', '2'), ('1', '--batch')):
            self.assertEqual(run(*arguments).returncode, 2)

    def test_a_batch_answers_every_line(self):
        lines = ['{"expr": "x + 1", "vars": {"x": {"int": "41"}}}', 'no json', '', '[]', '{"expr": 1}', '{"expr": "x"}', '{"expr": "1 +"}',
                 '{"expr": "x", "vars": {"x": 1}}', '{"expr": "x", "vars": []}', '{"expr": "[" , "vars": {}}', '{"expr": "\\u0000"}',
                 '{"expr": "' + '(' * 100000 + '"}', '{"expr": "\'a\\u0000b\'"}', '{"expr": "\ud83d"}'.encode('utf-8', 'replace').decode(),
                 '{"expr": "true"}']
        done = run('--batch', '--typed', text='\n'.join(lines) + '\n')
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual((len(answers), done.returncode, done.stderr), (len(lines), 0, ''))
        self.assertEqual(answers[0], {'value': {'int': '42'}})
        self.assertEqual(answers[12], {'value': {'string': 'a\0b'}})
        self.assertEqual(answers[14], {'value': {'bool': True}})
        for answer in answers[1:12]:
            self.assertEqual(list(answer), ['error'])
            self.assertTrue(answer['error'])

    def test_a_last_line_without_its_end_is_answered(self):
        self.assertEqual(run('--batch', '--typed', text='{"expr": "1"}').stdout, '{"value": {"int": "1"}}\n')
        self.assertEqual(run('--batch', text='{"expr": "[1u]"}').stdout, '{"value": [1], "type": "list"}\n')


if __name__ == '__main__':
    unittest.main()
