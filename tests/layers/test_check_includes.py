#!/usr/bin/python3
"""Each wrong include is found, and each right one is not."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from check_includes import check


class Includes(unittest.TestCase):
    def problems(self, tree):
        """What check() says of a tree: path -> text."""
        with tempfile.TemporaryDirectory() as root:
            for path, text in tree.items():
                os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(root, path), 'w') as source:
                    source.write(text)
            return check(root)

    def refused(self, path, target, word):
        found = self.problems(tree={path: '#include "%s"\n' % target})
        self.assertEqual(len(found), 1, found)
        self.assertIn(word, found[0])
        self.assertIn('%s:1:' % path, found[0])

    def allowed(self, path, target):
        self.assertEqual(self.problems(tree={path: '#include "%s"\n' % target}), [])

    def test_lower_layer_may_not_look_up(self):
        self.refused('lib/base/log.c', 'lib/model/event.h', 'lower layer')
        self.refused('lib/model/event.h', 'lib/amqp/client.h', 'lower layer')
        self.refused('lib/amqp/client.c', 'lib/qmf/agent.h', 'lower layer')
        self.refused('lib/qmf/agent.c', 'broker-plugin/plugin.h', 'lower layer')
        self.refused('agents/guest/main.c', 'mend/up.h', 'lower layer')

    def test_looking_down_is_right(self):
        self.allowed('lib/model/event.h', 'lib/base/base.h')
        self.allowed('lib/qmf/agent.h', 'lib/amqp/client.h')
        self.allowed('agents/guest/guest.c', 'lib/qmf/agent.h')
        self.allowed('mend/up.c', 'broker-plugin/plugin.h')

    def test_groups_meet_on_the_wire_only(self):
        self.refused('agents/guest/guest.c', 'broker-plugin/plugin.h', 'wire')
        self.refused('consumers/policy/policyd.c', 'agents/common/agent.h', 'wire')
        self.refused('broker-plugin/plugin.c', 'consumers/policy/policyd.h', 'wire')

    def test_stages_do_not_know_each_other(self):
        self.refused('broker-plugin/registry/registry.c', 'broker-plugin/ingress/ingress.h', 'know each other')
        self.refused('broker-plugin/control/gate.c', 'broker-plugin/hosts/embedded/broker.h', 'know each other')
        self.refused('agents/host/host.c', 'agents/guest/services.h', 'know each other')
        self.refused('consumers/policy/policyd.c', 'consumers/gateway/rest.h', 'know each other')
        self.allowed('broker-plugin/plugin.c', 'broker-plugin/ingress/ingress.h')
        self.allowed('broker-plugin/ingress/ingress.c', 'broker-plugin/plugin.h')
        self.allowed('agents/guest/guest.c', 'agents/common/agent.h')

    def test_engine_is_pure(self):
        for header in ('<stdio.h>', '<time.h>', '<sqlite3.h>', '<gio/gio.h>', '"lib/base/clock.h"', '"lib/amqp/client.h"'):
            found = self.problems(tree={'consumers/policy/engine/engine.c': '#include %s\n' % header})
            self.assertTrue(any('pure' in problem for problem in found), (header, found))
        self.assertEqual(self.problems(tree={'consumers/policy/engine/engine.c': '#include <glib.h>\n#include "lib/model/event.h"\n'}), [])

    def test_engine_is_pure_through_a_header(self):
        found = self.problems(tree={'consumers/policy/engine/engine.c': '#include "lib/model/event.h"\n',
                                    'lib/model/event.h': '#include "lib/base/clock.h"\n', 'lib/base/clock.h': ''})
        self.assertEqual(len(found), 1, found)
        self.assertIn('through lib/model/event.h', found[0])

    def test_paths_start_at_the_root(self):
        self.refused('lib/base/log.c', '../model/event.h', 'root of the tree')
        found = self.problems(tree={'lib/base/log.c': '#include "log.h"\n', 'lib/base/log.h': ''})
        self.assertIn('root of the tree', found[0])

    def test_tests_are_free_but_nobody_includes_them(self):
        self.allowed('tests/lib/x.c', 'agents/guest/guest.h')
        self.allowed('broker-plugin/test_plugin.c', 'broker-plugin/hosts/embedded/broker.h')
        self.refused('lib/base/log.c', 'tests/lib/x.h', 'only tests')


if __name__ == '__main__':
    unittest.main()
