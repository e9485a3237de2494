#!/usr/bin/python3
"""A disk that grows on storage that gets full, under a Debian guest on a real host: no failure of storage, nothing is moved or started anew; there
is made more room, before it stands or when it does, and it goes on where it was."""
import os
import unittest

import cloud
import guest
import mendsite

POLICY = 'mend: 1\napplications:\n  - {name: shop, vms: [{name: web, match: {name: web}, ha: true}]}\n'
FOLDER = '/run/thin'
DISK = ("<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none' error_policy='enospace'/>"
        "<source file='" + FOLDER + "/growing.qcow2'/><target dev='vdc' bus='virtio'/></disk>")
HOOK = '''#!/bin/sh
echo "$MEND_REASON $2" >> %(said)s
[ -e %(allowed)s ] && mount -o remount,size=128m ''' + FOLDER + '\n'
WRITE = 'i=0; while [ $i -lt 40 ]; do dd if=/dev/urandom of=/dev/vdc bs=1M count=1 seek=$i oflag=direct; i=$((i+1)); sleep 0.1; done'


class FullDisk(cloud.Case):
    POLICY = POLICY

    def setUp(self):
        self.allowed, self.said = self.site.path('allowed'), self.site.path('said')
        hook = self.site.write('hook', HOOK % {'said': self.said, 'allowed': self.allowed})
        os.chmod(hook, 0o755)
        self.a = self.site.hypervisor('a', 11, '--extend-hook', hook, '--extend-low', '6MiB')
        self.web = self.site.guest('web', '10.99.0.50')
        self.vm = 'vm/' + self.web.uuid
        self.a.run(['mkdir', '-p', FOLDER])
        self.a.run(['mount', '-t', 'tmpfs', '-o', 'size=16m', 'thin', FOLDER])
        self.a.run(['qemu-img', 'create', '-q', '-f', 'qcow2', FOLDER + '/growing.qcow2', '256M'])

    def boot_writing(self):
        self.domain = self.site.boot(self.web, self.a, disks=DISK)
        self.site.wait_state(self.vm, 'running')
        self.process = self.a.qemu_pid(self.web.uuid)
        self.writer = guest.ask(self.domain, 'guest-exec', {'path': '/bin/sh', 'arg': ['-c', WRITE]})['pid']

    def has_written(self):
        with_status = guest.ask(self.domain, 'guest-exec-status', {'pid': self.writer})
        return with_status['exited'] and with_status['exitcode'] == 0

    def reasons(self):
        if not os.path.exists(self.said):
            return []
        with open(self.said) as lines:
            return lines.read().split('\n')[:-1]

    def test_more_room_before_it_is_full(self):
        open(self.allowed, 'w').close()
        self.boot_writing()
        mendsite.wait_for('all is written', self.has_written, 120)
        self.assertEqual(self.reasons()[0], 'threshold vdc')
        self.assertEqual(self.a.qemu_pid(self.web.uuid), self.process)
        self.assertNotIn('vm.paused', self.site.why(self.vm))

    def test_full_is_no_failure_and_goes_on_with_more_room(self):
        self.boot_writing()
        self.site.wait_state(self.vm, 'paused', 120)
        self.site.wait_why(self.vm, 'enospc')
        open(self.allowed, 'w').close()
        self.site.wait_state(self.vm, 'running', 60)
        mendsite.wait_for('all is written', self.has_written, 120)
        self.assertIn('enospc vdc', self.reasons())
        self.assertEqual(self.a.qemu_pid(self.web.uuid), self.process)
        why = self.site.why(self.vm)
        for never in ('vm.migrate', 'vm.start', 'vm.relocate', 'vm.reset'):
            self.assertNotIn('command      ' + never, why)


if __name__ == '__main__':
    cloud.skip_unless_available()
    unittest.main(verbosity=2)
