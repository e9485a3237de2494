#!/usr/bin/python3
"""The guests are what tests take them for: own identity, real systemd, services that can be killed, stopped and cut off."""
import os
import unittest

import rig


class Guests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rig = rig.Rig()
        cls.addClassCleanup(cls.rig.close)
        cls.one, cls.two = cls.rig.prepare('one'), cls.rig.prepare('two')
        cls.rig.boot_all([cls.one, cls.two])

    def test_each_has_its_own_identity(self):
        for guest in (self.one, self.two):
            self.assertEqual(guest.run('cat', '/etc/machine-id').stdout.strip(), guest.id.replace('-', ''))
            self.assertEqual(guest.run('hostname').stdout.strip(), guest.name)
        boots = [guest.run('cat', '/proc/sys/kernel/random/boot_id').stdout for guest in (self.one, self.two)]
        self.assertNotEqual(*boots)

    def test_all_services_run_side_by_side(self):
        for guest in (self.one, self.two):
            for unit in ('nginx', 'redis-server', 'memcached', 'cron', 'ticker', 'dbus'):
                self.assertEqual(guest.show(unit, 'ActiveState')['ActiveState'], 'active', '%s: %s' % (unit, guest.journal(unit)))

    def test_killed_service_stays_down_without_mend(self):
        self.assertIsNotNone(self.one.kill_service('nginx'))
        self.assertIsNone(self.one.wait_active('nginx', rig.now_us(), timeout=1))
        self.assertEqual(self.one.show('nginx', 'ActiveState')['ActiveState'], 'failed')
        restarted = self.one.run('systemctl', 'restart', 'nginx', check=False)
        self.assertEqual(restarted.returncode, 0, self.one.journal('nginx'))
        self.assertEqual(self.two.show('nginx', 'ActiveState')['ActiveState'], 'active')

    def test_systemd_alone_restarts_the_yardstick(self):
        killed_us = self.one.kill_service('yardstick')
        back_us = self.one.wait_active('yardstick', killed_us)
        self.assertIsNotNone(back_us)
        self.assertLess(back_us - killed_us, 5_000_000)

    def test_admin_stop_is_no_failure(self):
        self.two.stop_service('memcached')
        self.assertEqual(self.two.show('memcached', 'ActiveState')['ActiveState'], 'inactive')
        self.two.start_service('memcached')

    def test_power_cut_and_boot(self):
        before = self.two.run('cat', '/proc/sys/kernel/random/boot_id').stdout
        self.two.write('etc/marker', 'kept\n')
        leader = self.two.leader
        self.two.power_cut()
        self.assertIsNone(self.two.leader)
        with self.assertRaises(ProcessLookupError):
            os.kill(leader, 0)
        self.two.boot()
        self.assertEqual(self.two.run('cat', '/etc/marker').stdout, 'kept\n')
        self.assertNotEqual(self.two.run('cat', '/proc/sys/kernel/random/boot_id').stdout, before)


if __name__ == '__main__':
    rig.skip_unless_available()
    unittest.main()
