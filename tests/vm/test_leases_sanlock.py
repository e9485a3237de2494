#!/usr/bin/python3
"""Leases by sanlock with real libvirt and QEMU: a daemon on each host, without a watchdog."""
import os
import subprocess
import sys
import time
import unittest

import cloud
import mendsite
import test_leases_vm
import tinyguest
from test_leases_vm import VALID, WEB


class Sanlock(test_leases_vm.LeaseCase):
    OPTIONS = ('--lease-backend', 'sanlock')

    def setUp(self):
        os.environ['SANLOCK_RUN_DIR'] = '/run/libvirt/sanlock'  # /run/libvirt is each host's own
        os.environ['SANLOCK_PRIVILEGED'] = '0'
        super().setUp()
        for host in (self.a, self.b):
            os.makedirs(os.path.join(host.folder, 'run', 'sanlock'))
            with open(self.site.path('sanlock-%s.log' % host.name), 'ab') as log:
                daemon = host.popen(['sanlock', 'daemon', '-D', '-w', '0', '-h', '0', '-l', '0', '-U', 'root', '-G', 'root', '-e', host.uuid],
                                    stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self.addCleanup(daemon.wait)
            self.addCleanup(daemon.kill)

    def test_moves_with_its_vm(self):
        self.start(self.a)  # which waits until the host has joined the lockspace
        mendsite.wait_for('word of its lease', lambda: self.data().get('lease') is True, 30)
        mendsite.wait_for('b in the lockspace', lambda: 'add_lockspace done' in self.site.log('sanlock-b'), 90)
        time.sleep(VALID / 2)
        rc, text = self.call(self.b, 'vm_start', 'host=' + self.b.uuid, 'definition=' + self.xml)
        self.assertEqual(rc, 1, text)
        self.assertIn('lease', text)
        rc, text = self.call(self.a, 'vm_migrate', 'to=' + self.b.uuid, 'uri=' + self.b.tcp_uri)
        self.assertEqual(rc, 0, text)
        mendsite.wait_for('word of its lease on b', lambda: self.data()['host'] == self.b.uuid and self.data().get('lease') is True, 60)
        began = time.monotonic()
        while time.monotonic() < began + 2.5 * VALID:
            self.tiny.wait_more('web', 'TICK')
            time.sleep(1)
        self.assertEqual(self.runs_on(), ['b'])
        self.assertEqual(self.tiny.count('web', 'TINY-UP'), 1)

    def test_agent_is_gone(self):
        self.start(self.a)
        mendsite.wait_for('b in the lockspace', lambda: 'add_lockspace done' in self.site.log('sanlock-b'), 90)
        self.kill_agent(self.a)
        self.ends_up_on_b(150)

    def test_dead_host_that_nobody_can_fence(self):
        self.start(self.a)
        began = time.monotonic()
        self.a.space.kill()
        self.ends_up_on_b(240)
        self.assertGreater(self.watcher.when(self.watcher.hosts, ('b',)) - began, VALID + 50)  # its watchdog's time, and a renewal before that


if __name__ == '__main__':
    cloud.skip_unless_available(('sanlock',))
    why = tinyguest.missing()
    if why:
        print('skipped: ' + why)
        sys.exit(77)
    help_text = subprocess.run([os.path.join(mendsite.BIN, 'mend-host'), 'lease-free'] + ['/', WEB, '/', '16000000', '1', 'sanlock', WEB], stderr=subprocess.PIPE,
                               text=True, env=dict(os.environ, SANLOCK_RUN_DIR='/nowhere')).stderr
    if 'built without' in help_text:
        print('skipped: mend-host was built without sanlock')
        sys.exit(77)
    unittest.main(verbosity=2)
