#!/usr/bin/python3
"""Storage that answers late, with errors, or not at all, under a real host's probe: told as degraded or failed, and well again after. There is
no device-mapper everywhere, so the device is a file that nbdkit serves by our rules, as a loop device."""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))

import cloud     # noqa: E402
import lvhost    # noqa: E402
import mendsite  # noqa: E402

UUID = '5c8f4d1e-3b0a-4a52-9c1d-7e6f50a1b2c3'
SIZE = 32 << 20
READ = 'dd if=%(back)s bs=64k iflag=skip_bytes,count_bytes skip=$4 count=$3 status=none'
WRITE = '''while [ -e %(folder)s/stuck ]; do sleep 0.1; done
[ -e %(folder)s/slow ] && sleep 0.4
if [ -e %(folder)s/one ]; then rm %(folder)s/one; echo EIO once >&2; exit 1; fi
if [ -e %(folder)s/broken ]; then echo EIO broken >&2; exit 1; fi
dd of=%(back)s bs=64k oflag=seek_bytes conv=notrunc seek=$4 status=none'''


class Device:
    """A loop device on FUSE on NBD; say() and unsay() what is wrong with its writes: slow, broken, one (the next one only), stuck."""

    def __init__(self, folder):
        self.folder, self.back = folder, os.path.join(folder, 'back')
        self.file, self.socket, self.loop, self.programs = os.path.join(folder, 'file'), os.path.join(folder, 'socket'), None, []
        for path in self.back, self.file:
            with open(path, 'wb') as file:
                file.truncate(SIZE)
        subprocess.run(['mke2fs', '-q', '-t', 'ext2', self.back], check=True)

    def start(self):
        names = {'folder': self.folder, 'back': self.back}
        self.program('nbdkit', '-f', '-U', self.socket, 'eval', 'get_size=echo %d' % SIZE, 'pread=' + READ % names, 'pwrite=' + WRITE % names,
                     'can_write=exit 0', 'can_flush=exit 0', 'flush=exit 0')
        mendsite.wait_for('nbdkit', lambda: os.path.exists(self.socket))
        self.program('qemu-storage-daemon', '--blockdev', 'node-name=d,driver=nbd,server.type=unix,server.path=' + self.socket,
                     '--export', 'type=fuse,id=e,node-name=d,writable=on,mountpoint=' + self.file)
        mendsite.wait_for('the file of FUSE', lambda: os.path.ismount(self.file))
        self.loop = subprocess.run(['losetup', '-f', '--show', self.file], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def program(self, *command):
        self.programs.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))

    def say(self, what):
        open(os.path.join(self.folder, what), 'w').close()

    def unsay(self, what=None):
        for name in (what,) if what else ('slow', 'broken', 'one', 'stuck'):
            if os.path.exists(os.path.join(self.folder, name)):
                os.unlink(os.path.join(self.folder, name))

    def end(self):
        self.unsay()
        if self.loop:
            subprocess.run(['losetup', '-d', self.loop])
        subprocess.run(['umount', '-l', self.file], stderr=subprocess.DEVNULL)
        for program in reversed(self.programs):
            program.kill()
            program.wait()


class BadStorage(cloud.Case):
    POLICY = 'mend: 1\nnotify: {oncall: log}\n'

    def setUp(self):
        os.mkdir(self.site.path('device'))
        self.device, self.mount = Device(self.site.path('device')), self.site.path('lun')
        self.addCleanup(self.device.end)
        self.device.start()
        os.mkdir(self.mount)
        subprocess.run(['mount', '-t', 'ext2', '-o', 'errors=continue', self.device.loop, self.mount], check=True)
        self.addCleanup(subprocess.run, ['umount', '-l', self.mount])
        self.addCleanup(self.device.unsay)
        self.site.hypervisor('a', 11, '--storage', 'lun=%s,uuid=%s' % (self.mount, UUID), '--storage-interval', '100ms', '--storage-slow', '300ms',
                             '--storage-silent', '4s')
        self.becomes('well')

    def becomes(self, state):
        self.site.wait_state('storage/' + UUID, state, 90)

    def said(self):
        log = self.site.log('mend-host-a')
        return [line.split('storage lun: ', 1)[1] for line in log.split('\n') if 'storage lun: ' in line]

    def test_slow_is_degraded(self):
        self.device.say('slow')
        self.becomes('degraded')
        self.assertTrue(any('takes longer than' in line for line in self.said()), self.said())
        self.assertFalse(any(line.startswith('failed') for line in self.said()), self.said())
        self.device.unsay('slow')
        self.becomes('well')

    def test_errors_are_a_failure_and_one_is_none(self):
        self.device.say('one')
        mendsite.wait_for('one error', lambda: not os.path.exists(self.site.path('device/one')), 30)
        self.device.say('broken')
        self.becomes('failed')
        self.assertTrue(any('Input/output error' in line for line in self.said()), self.said())
        incidents = self.site.mend('incidents').stdout
        self.assertIn('storage/', incidents)
        self.device.unsay('broken')
        self.becomes('well')

    def test_no_answer_is_a_failure(self):
        self.device.say('stuck')
        self.becomes('failed')
        self.assertTrue(any('no answer for' in line for line in self.said()), self.said())
        self.device.unsay('stuck')
        self.becomes('well')


def missing():
    why = lvhost.missing(('nbdkit', 'qemu-storage-daemon', 'losetup', 'mke2fs')) or lvhost.network_missing()
    if why:
        return why
    for path in '/dev/fuse', '/dev/loop-control':
        if not os.path.exists(path):
            return 'no ' + path + ' here'
    return None


if __name__ == '__main__':
    if missing():
        print('skipped: ' + missing())
        raise SystemExit(77)
    unittest.main(verbosity=2)
