#!/usr/bin/python3
"""mend.service as a package would install it, on a machine of its own: everything in one unit, for the services of that machine."""
import os
import unittest

import rig
from mendsite import BIN, BUILD, SOURCE, wait_for


class Unit(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rig = rig.Rig()
        cls.addClassCleanup(cls.rig.close)
        cls.vm = cls.rig.prepare('vm')
        for program in ('mend', 'mend-guest'):
            cls.vm.copy(os.path.join(BIN, program), 'usr/bin/' + program, 0o755)
        cls.vm.copy(os.path.join(BUILD, 'lib/mend/plugins/mend-plugin.so'), 'usr/lib/mend/plugins/mend-plugin.so')
        cls.vm.copy(os.path.join(SOURCE, 'packaging/mend.service'), 'etc/systemd/system/mend.service')
        # The guests share this machine's loopback: a free port, not the usual one.
        cls.vm.write('etc/default/mend', 'MEND_OPTIONS=--service systemd:nginx --service systemd:ticker --listen 127.0.0.1:0\n')
        cls.vm.enable('mend.service')
        cls.vm.boot()
        wait_for('all services', lambda: cls.states().get('nginx') == cls.states().get('ticker') == 'running', 20)

    @classmethod
    def states(cls):
        said = cls.vm.run('mend', 'events', check=False).stdout.splitlines()
        rows = [line.split() for line in said if line.startswith('service/')]
        return {row[0].rpartition('/')[2]: row[1] for row in rows}

    def heals(self, unit):
        killed_us = self.vm.kill_service(unit)
        self.assertIsNotNone(self.vm.wait_active(unit, killed_us, 20), self.vm.journal('mend'))

    def test_killed_service_is_healed_and_the_story_told(self):
        self.heals('nginx')
        wait_for('the end of the story', lambda: 'verified' in self.vm.run('mend', 'why', 'nginx').stdout, 15, 0.2)
        self.assertRegex(self.vm.run('mend', 'status').stdout, r'[1-9]\d* healed, 0 left to a human')

    def test_restart_of_mend_leaves_services_alone_and_heals_after_it(self):
        before = self.vm.main_pid('ticker')
        self.vm.run('systemctl', 'restart', 'mend')
        self.assertEqual(self.vm.main_pid('ticker'), before)
        wait_for('all services again', lambda: self.states().get('ticker') == 'running', 20)
        self.heals('ticker')

    def test_what_an_admin_stopped_stays_stopped(self):
        self.vm.stop_service('nginx')
        wait_for('the event', lambda: self.states().get('nginx') == 'stopped', 10)
        self.assertIsNone(self.vm.wait_active('nginx', rig.now_us(), 2))
        self.vm.start_service('nginx')

    def test_kill_of_the_whole_of_mend(self):
        self.vm.run('systemctl', 'kill', '-s', 'KILL', '--kill-whom=all', 'mend')
        self.heals('ticker')


if __name__ == '__main__':
    rig.skip_unless_available()
    unittest.main()
