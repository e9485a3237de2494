#!/usr/bin/python3
"""docs/subscribers.md lists every type of event there is, with its severity and whether it is a state, and docs/wire.md names each."""
import os
import re
import unittest

SOURCE = os.environ.get('MEND_SOURCE_DIR') or os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))


def read(*path):
    with open(os.path.join(SOURCE, *path)) as text:
        return text.read()


class Types(unittest.TestCase):
    def setUp(self):
        rows = re.findall(r'\{ "([a-z]+\.[a-z-]+)", (\d), (true|false)', read('broker-plugin', 'events', 'fact.c'))
        self.told = {kind: (severity, 'state' if lasting == 'true' else 'happened') for kind, severity, lasting in rows}
        self.assertGreater(len(self.told), 40)

    def test_the_table_is_the_code(self):
        rows = re.findall(r'^\| `([a-z]+\.[a-z-]+)` \| (\d) \| (\w+) \|', read('docs', 'subscribers.md'), re.M)
        self.assertEqual(len(rows), len(set(rows)))
        self.assertEqual({kind: (severity, what) for kind, severity, what in rows}, self.told)

    def test_the_wire_names_each(self):
        wire = read('docs', 'wire.md')
        table = wire[wire.index('| kind.state |'):wire.index('Waiting events about one entity')]
        named = set()
        for cell in re.findall(r'^\| (`.*?) \| ', table, re.M):
            for group in re.findall(r'`([a-z]+\.[a-zA-Z -]+)`', cell): # "vm.running starting"
                kind, _, states = group.partition('.')
                named.update('%s.%s' % (kind, state) for state in states.split())
        states = re.search(r'- `state`: (.*)', wire).group(1)
        named.update('service.' + state for state in re.findall(r'`(\w+)`', states))
        named.discard('service.STATE')
        self.assertEqual(named, set(self.told))


if __name__ == '__main__':
    unittest.main(verbosity=2)
