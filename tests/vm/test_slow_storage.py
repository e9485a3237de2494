#!/usr/bin/python3
"""Storage that becomes slow under a running Debian guest, on a real host: seen by its probe, and left by a live copy to its failover, while
the guest writes."""
import os
import subprocess
import unittest

import cloud
import guest
import mendsite

POLICY = '''mend: 1
applications:
  - {name: shop, vms: [{name: web, match: {name: web}, ha: true}]}
rules:
  - name: leave-degraded-storage
    on: vm.storage-degraded
    where: entity.ha
    ladder: [{do: vm.block-copy, attempts: 1, timeout: 5m}, {do: notify, to: oncall}]
notify: {oncall: log}
'''
THROTTLE = '/sys/fs/cgroup/blkio/blkio.throttle.write_iops_device'
DISK = ("<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/>"
        "<source file='%s/data.qcow2'/><target dev='vdc' bus='virtio'/></disk>")
WRITE = 'i=0; while [ ! -e /run/enough ]; do echo "line $i" > /run/line; dd if=/run/line of=/dev/vdc bs=4k seek=$i conv=sync oflag=direct || exit 1; i=$((i+1)); done; echo $i'


class SlowStorage(cloud.Case):
    POLICY = POLICY

    def setUp(self):
        self.slow, self.good = self.site.path('san1'), self.site.path('san2')
        os.mkdir(self.slow)
        os.mkdir(self.good)
        image = self.site.path('san1.img')
        with open(image, 'wb') as file:
            file.truncate(512 << 20)
        subprocess.run(['mke2fs', '-q', '-t', 'ext4', image], check=True)
        self.loop = subprocess.run(['losetup', '-f', '--show', image], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        self.addCleanup(subprocess.run, ['losetup', '-d', self.loop])
        subprocess.run(['mount', self.loop, self.slow], check=True)
        self.addCleanup(subprocess.run, ['umount', '-l', self.slow])
        self.addCleanup(self.throttle, 0)
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', self.slow + '/data.qcow2', '64M'], check=True)

    def begin(self, *options):
        """A guest that writes to storage which has become slow; what it writes ends with the file /run/enough."""
        self.a = self.site.hypervisor('a', 11, '--storage', 'san1=%s,failover=san2' % self.slow, '--storage', 'san2=' + self.good,
                                      '--storage-interval', '500ms', '--storage-slow', '300ms', *options)
        self.web = self.site.guest('web', '10.99.0.50')
        self.vm = 'vm/' + self.web.uuid
        self.domain = self.site.boot(self.web, self.a, disks=DISK % self.slow)
        self.site.wait_state(self.vm, 'running')
        self.process = self.a.qemu_pid(self.web.uuid)
        self.in_guest('dd if=/dev/urandom of=/dev/vdc bs=1M seek=32 count=4 oflag=direct 2>/dev/null')
        self.writer = guest.begin(self.domain, '/bin/sh', '-c', WRITE)
        self.throttle(4)
        self.site.wait_why(self.vm, 'storage-degraded', 60)
        self.site.wait_why(self.vm, 'command      vm.block-copy', 60)

    def throttle(self, writes_per_s):
        number = os.stat(self.loop).st_rdev
        with open(THROTTLE, 'w') as file:
            file.write('%d:%d %d\n' % (os.major(number), os.minor(number), writes_per_s))

    def in_guest(self, script):
        code, text = guest.run(self.domain, '/bin/sh', '-c', script, timeout=120)
        self.assertEqual(code, 0, text)
        return text

    def check_what_was_written(self):
        mendsite.wait_for('enough is written', lambda: int((self.in_guest('cat /run/line').split() or ['line', 0])[1]) > 30, 60)
        self.in_guest('touch /run/enough')
        code, text = guest.result(self.domain, self.writer)
        self.assertEqual(code, 0, text)
        written = int(text)
        self.assertGreater(written, 10)
        wanted = self.in_guest('i=0; while [ $i -lt %d ]; do echo "line $i" > /run/l; dd if=/run/l bs=4k conv=sync 2>/dev/null; i=$((i+1)); done | md5sum' % written)
        read = self.in_guest('dd if=/dev/vdc bs=4k count=%d iflag=direct 2>/dev/null | md5sum' % written)
        self.assertEqual(read, wanted)
        print('%d blocks written, all of them there' % written)

    def test_left_by_a_live_copy(self):
        self.begin()
        self.site.wait_why(self.vm, 'healed', 240)
        xml = self.domain.XMLDesc()
        self.assertIn("file='%s/" % self.good, xml)
        self.assertNotIn('%s/data.qcow2' % self.slow, xml)
        self.assertEqual(self.a.qemu_pid(self.web.uuid), self.process)
        self.check_what_was_written()

    def test_a_copy_that_is_ended_leaves_the_source(self):
        self.begin('--copy-bandwidth', '50000')
        mendsite.wait_for('it copies', lambda: '<mirror' in self.domain.XMLDesc(), 60)
        self.domain.blockJobAbort('vdc')  # as virsh blockjob --abort does
        self.site.wait_why(self.vm, 'needs a human', 120)
        self.site.wait_why(self.vm, 'it was ended by somebody else', 10)
        xml = self.domain.XMLDesc()
        self.assertIn("file='%s/data.qcow2'" % self.slow, xml)
        self.assertNotIn('<mirror', xml)
        self.assertEqual([name for name in os.listdir(self.good) if name.endswith('.qcow2')], [])
        self.assertEqual(self.a.qemu_pid(self.web.uuid), self.process)
        self.throttle(0)
        self.check_what_was_written()
        self.domain.destroy()
        subprocess.run(['qemu-img', 'check', '-q', self.slow + '/data.qcow2'], check=True)


def missing():
    if not os.path.exists(THROTTLE):
        return 'no cgroup (v1) that slows a device down here'
    return None if os.path.exists('/dev/loop-control') else 'no loop devices here'


if __name__ == '__main__':
    cloud.skip_unless_available(['losetup', 'mke2fs'])
    if missing():
        print('skipped: ' + missing())
        raise SystemExit(77)
    unittest.main(verbosity=2)
