#!/usr/bin/python3
"""Each breach of form is found, and what is allowed is not."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from check_style import check


class Style(unittest.TestCase):
    def problems(self, path, text):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(root, path), 'w', newline='') as source:
                source.write(text)
            return check(root)

    def refused(self, path, text, word):
        found = self.problems(path, text)
        self.assertEqual(len(found), 1, found)
        self.assertIn(word, found[0])

    def test_clean_file_passes(self):
        self.assertEqual(self.problems('lib/a.c', 'int f(void)\n{\n    return __builtin_expect(1, 1);\n}\n'), [])

    def test_blanks_and_ends(self):
        self.refused('lib/a.c', 'int a;\n\tint b;\n', 'tab')
        self.refused('lib/a.c', 'int a; \n', 'blank at the end')
        self.refused('lib/a.c', 'int a;\r\n', 'carriage return')
        self.refused('lib/a.c', 'int a;', 'no newline')
        self.refused('quickstart', 'x \n', 'blank at the end')

    def test_long_file(self):
        self.refused('lib/a.py', 'x = 1\n' * 800, 'at most 799')
        self.assertEqual(self.problems('lib/a.py', 'x = 1\n' * 799), [])

    def test_long_function(self):
        body = '    work();\n'
        self.refused('lib/a.c', 'static void long_one(int a)\n{\n%s}\n' % (body * 81), 'long_one has 81 lines')
        self.assertEqual(self.problems('lib/a.c', 'static void f(int a)\n{\n%s}\n' % (body * 80)), [])

    def test_dispatch_and_tables_may_be_long(self):
        self.assertEqual(self.problems('lib/a.c', 'void f(int a)\n{\n%s}\n' % ('    case 1: return one();\n' * 200)), [])
        self.assertEqual(self.problems('lib/a.c', 'static const int t[] = {\n%s};\n' % ('    1,\n' * 200)), [])

    def test_reserved_names(self):
        self.refused('lib/a.c', 'int __mine;\n', '__mine')
        self.assertEqual(self.problems('lib/a.c', '/* __mine */ const char *s = "__mine";\n'), [])

    def test_nothing_of_one_machine(self):
        self.refused('docs/a.md', 'see /wo' 'rk/main\n', 'machine')
        self.refused('docs/a.md', 'from deb.' 'debian.org\n', 'registry')


if __name__ == '__main__':
    unittest.main()
