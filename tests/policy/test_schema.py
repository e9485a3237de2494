#!/usr/bin/python3
"""schemas/policy.schema.json takes what the reader takes, and finds the mistakes an editor can find while they are typed."""
import glob
import json
import os
import subprocess
import sys
import unittest

try:
    import jsonschema
    from ruamel.yaml import YAML
except ImportError as error:
    print('skipped: %s (packages python3-jsonschema, python3-ruamel.yaml)' % error)
    sys.exit(77)

SOURCE = os.environ.get('MEND_SOURCE_DIR') or os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
MEND = os.path.join(os.environ.get('MEND_BUILD_DIR') or os.path.join(SOURCE, 'build'), 'bin', 'mend')
BAD = os.path.join(SOURCE, 'tests', 'policy', 'bad')
# What can be seen without knowing what words mean together.
FOUND = '''a-budget-of-an-unknown-scope a-budget-that-never-grants a-count-in-quotes a-count-that-is-a-word a-count-that-is-not-whole a-date-is-no-time
a-duration-with-another-unit a-duration-without-unit a-factor-below-one a-ladder-without-end a-list-at-the-top a-match-by-an-unknown-key
a-mistake-in-the-defaults a-percentage-without-percent a-rule-without-ladder a-rule-without-name a-section-nobody-knows a-silence-without-author
a-silence-without-comment a-target-of-another-kind a-target-that-is-a-word a-text-for-a-list an-application-without-vms an-empty-file
an-empty-ladder an-unknown-action an-unknown-event an-unknown-key-in-a-step an-unknown-section an-unknown-standard an-unknown-state
an-unused-ladder-is-read-too another-version evidence-of-one-channel memory-in-gigabytes memory-without-unit no-attempts-at-all
no-budgets-by-mistake no-version rules-no-list several-mistakes yes-is-a-text'''.split()


def load(text):
    yaml = YAML(typ='safe', pure=True)
    constructors = yaml.constructor.yaml_constructors  # a time is a text
    constructors['tag:yaml.org,2002:timestamp'] = constructors['tag:yaml.org,2002:str']
    return yaml.load(text)


def read(path):
    with open(path, encoding='utf-8') as source:
        return source.read()


class Schema(unittest.TestCase):
    def setUp(self):
        schema = json.loads(read(os.path.join(SOURCE, 'schemas', 'policy.schema.json')))
        jsonschema.Draft202012Validator.check_schema(schema)
        self.validator = jsonschema.Draft202012Validator(schema)

    def mistakes(self, text):
        return ['%s: %s' % (list(e.absolute_path), e.message) for e in self.validator.iter_errors(load(text))]

    def test_what_is_good_is_taken(self):
        examples = glob.glob(os.path.join(SOURCE, 'docs', 'examples', 'policy', '*.yaml'))
        cases = glob.glob(os.path.join(SOURCE, 'tests', 'policy', 'cases', '*', '*.yaml'))
        self.assertGreater(len(examples), 2)
        self.assertGreater(len(cases), 10)
        for path in examples + cases:
            with self.subTest(path):
                self.assertEqual(self.mistakes(read(path)), [])
        for path in examples:
            self.assertIn('yaml-language-server: $schema=../../../schemas/policy.schema.json', read(path).splitlines()[0])

    def test_what_is_shown_is_taken(self):
        for path in [None] + glob.glob(os.path.join(SOURCE, 'docs', 'examples', 'policy', '*.yaml')):
            with self.subTest(path):
                done = subprocess.run([MEND, 'policy', 'show'] + ([path] if path else []), stdout=subprocess.PIPE, text=True, check=True)
                self.assertEqual(self.mistakes(done.stdout), [])
                done = subprocess.run([MEND, 'policy', 'show', '--json'] + ([path] if path else []), stdout=subprocess.PIPE, text=True, check=True)
                self.assertEqual(list(self.validator.iter_errors(json.loads(done.stdout))), [])

    def test_what_is_wrong_is_found(self):
        for name in FOUND:
            with self.subTest(name):
                self.assertNotEqual(self.mistakes(read(os.path.join(BAD, name + '.yaml'))), [])


if __name__ == '__main__':
    unittest.main()
