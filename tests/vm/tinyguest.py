"""A guest of busybox and one kernel, up in a few seconds by emulation: for tests of what a host does with a VM, whatever is in it.

    tiny = tinyguest.Tiny(folder)                   # builds (or finds) kernel and initramfs
    xml = tiny.xml('web', folder + '/web.qcow2', write='vda')
    domain = connection.defineXML(xml); domain.create()
    tiny.wait('web', 'TINY-UP')

It says on its console (a file): `TINY-UP`, then `TICK n` five times a second, so a test sees whether its vCPU runs. With write=DISK it
writes block n (4 KiB, filled with the line `n`) to DISK one after the other, each on the disk before it says `WROTE n`; `FAILED n` when
it could not. With fill=DISK it fills DISK, MiB after MiB, five a second, and says `FILLED n` for each. With mount=DISK that ext4 is its file system /data, which the guest agent can freeze, and where it appends lines to `log`.
It has the QEMU guest agent and obeys its power button.
"""
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
import uuid as uuids

MODULES = ('virtio_pci', 'virtio_blk', 'virtio_console', 'virtio_balloon', 'virtio_rng', 'ext4', 'button', 'evdev', 'i6300esb', 'pvpanic-pci', 'pvpanic-mmio')

INIT = r'''#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs run /run
while read m; do insmod /modules/$m; done < /modules/order 2>/dev/null
exec > /dev/ttyS0 2>&1 < /dev/null
for word in $(cat /proc/cmdline); do
  case $word in tiny.write=*) write=/dev/${word#*=};; tiny.mount=*) mounted=/dev/${word#*=};; tiny.busy=*) busy=${word#*=};;
    tiny.fill=*) fill=/dev/${word#*=};;
    tiny.watchdog=*) (sleep 1; watchdog -T ${word#*=} -t 3600 -F /dev/watchdog) &;;
    tiny.panic=*) (sleep ${word#*=}; echo c > /proc/sysrq-trigger) &;;
    tiny.off=*) (sleep ${word#*=}; poweroff -f) &;;
    tiny.reboot=*) (sleep ${word#*=}; reboot -f) &;; esac
done
acpid -f -c /etc/acpi -l /dev/null &
[ -z "$mounted" ] || { mkdir -p /data; mount -t ext4 $mounted /data || echo MOUNT-FAILED; }
for name in /sys/class/virtio-ports/*/name; do
  if [ "$(cat $name 2>/dev/null)" = org.qemu.guest_agent.0 ]; then
    port=/dev/$(basename $(dirname $name)); (while :; do qemu-ga -m virtio-serial -p $port -t /run -f /run/qga.pid; sleep 0.2; done) &
  fi
done
[ -z "$busy" ] || (while :; do dd if=/dev/urandom of=/run/x bs=1M count=$busy 2>/dev/null; done) &
if [ -n "$fill" ]; then
  (n=0; while dd if=/dev/urandom of=$fill bs=1M seek=$n count=1 conv=notrunc oflag=direct 2>/dev/null; do echo "FILLED $n"; n=$((n+1)); sleep 0.2; done; echo FILL-END) &
fi
if [ -n "$write" ]; then
  (n=0; while :; do
    yes $n 2>/dev/null | head -c 4096 > /run/block
    if dd if=/run/block of=$write bs=4096 seek=$n count=1 conv=notrunc oflag=direct 2>/dev/null; then echo "WROTE $n"; else echo "FAILED $n"; sleep 1; fi
    n=$((n+1))
  done) &
fi
echo TINY-UP
n=0
while :; do
  echo "TICK $n"; n=$((n+1)); sleep 0.2
  [ -z "$mounted" ] || echo $n >> /data/log
done
'''

SHUTDOWN = r'''#!/bin/busybox sh
sync; case "$*" in *-r*) exec reboot -f;; *) exec poweroff -f;; esac
'''


def missing():
    """Why it cannot be built here; None when it can."""
    for program in ('busybox', 'qemu-ga', 'modprobe', 'cpio', 'qemu-img', 'mkfs.ext4'):
        if not shutil.which(program):
            return 'needs %s (packaging/debian-packages-test.txt has its package)' % program
    return None if kernel() else 'needs a kernel with its modules in /boot and /lib/modules (linux-image-amd64)'


def kernel():
    """(path, version) of the newest kernel that has its modules."""
    found = sorted(name[8:] for name in os.listdir('/boot') if name.startswith('vmlinuz-') and os.path.isdir('/lib/modules/' + name[8:]))
    return ('/boot/vmlinuz-' + found[-1], found[-1]) if found else None


class Tiny:
    def __init__(self, folder, cache='/var/tmp/mend-tinyguest'):
        self.folder = folder
        self.kernel, version = kernel()
        with open(__file__, 'rb') as own:
            made_of = hashlib.sha256(own.read() + version.encode()).hexdigest()[:16]
        self.initrd = os.path.join(cache, 'initrd-%s' % made_of)
        if not os.path.exists(self.initrd):
            os.makedirs(cache, exist_ok=True)
            build(self.initrd, version)

    def disk(self, name, size='64M', filesystem=False):
        """A new qcow2 in the folder; its path."""
        path = os.path.join(self.folder, name + '.qcow2')
        if filesystem:
            raw = path + '.raw'
            subprocess.run(['truncate', '-s', size, raw], check=True)
            subprocess.run(['mkfs.ext4', '-q', '-F', '-O', '^metadata_csum,^64bit', raw], check=True)
            subprocess.run(['qemu-img', 'convert', '-O', 'qcow2', raw, path], check=True)
            os.unlink(raw)
        else:
            subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', path, size], check=True)
        return path

    def xml(self, name, disk=None, memory_mib=160, write='', mount='', busy='', fill='', uuid=None, agent=True, disks='', devices='', video=False,
            on_crash='destroy', error_policy='stop', does=''):
        """Domain XML. @disk: path of vda or None; @disks, @devices: further XML. @does: what it does by itself: panic=SECONDS off=SECONDS
        reboot=SECONDS after it is up; watchdog=SECONDS, which it sets and does not feed."""
        words = ['console=ttyS0', 'quiet', 'mitigations=off', 'panic=0']
        words += ['tiny.%s=%s' % pair for pair in (('write', write), ('mount', mount), ('busy', busy), ('fill', fill)) if pair[1]]
        words += ['tiny.' + word for word in does.split()]
        if disk:
            disks = ("<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none' error_policy='%s'/>"
                     "<source file='%s'/><target dev='vda' bus='virtio'/></disk>" % (error_policy, disk)) + disks
        if agent:
            devices += "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
        if video:
            devices += "<video><model type='vga' vram='16384'/></video>"
        return '''<domain type='qemu'><name>%s</name><uuid>%s</uuid><memory unit='MiB'>%d</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>%s</kernel><initrd>%s</initrd><cmdline>%s</cmdline></os>
<features><acpi/></features><cpu mode='custom' match='exact' check='none'><model>qemu64</model></cpu>
<on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>%s</on_crash>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>%s
<serial type='file'><source path='%s' append='on'/><target port='0'/></serial>
<memballoon model='virtio'><stats period='1'/></memballoon><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>%s
</devices></domain>''' % (name, uuid or uuids.uuid4(), memory_mib, self.kernel, self.initrd, ' '.join(words), on_crash, disks,
                          self.console(name), devices)

    # ---- what it says

    def console(self, name):
        return os.path.join(self.folder, name + '.console')

    def said(self, name):
        try:
            with open(self.console(name), errors='replace') as f:
                return f.read()
        except OSError:
            return ''

    def count(self, name, word):
        """How often its console has @word at the start of a line."""
        return len(re.findall('^%s' % re.escape(word), self.said(name), re.M))

    def last(self, name, word):
        """n of its last line `WORD n`; -1 when there is none."""
        found = re.findall(r'^%s (\d+)\r?$' % word, self.said(name), re.M)
        return int(found[-1]) if found else -1

    def wait(self, name, word, times=1, timeout=90):
        deadline = time.monotonic() + timeout
        while self.count(name, word) < times:
            if time.monotonic() > deadline:
                raise AssertionError('%s did not say %s in %g s: %s' % (name, word, timeout, self.said(name)[-500:]))
            time.sleep(0.05)

    def wait_more(self, name, word, more=3, timeout=60):
        """Until it said `WORD n` for @more further n: it runs."""
        before = self.last(name, word)
        deadline = time.monotonic() + timeout
        while self.last(name, word) < before + more:
            if time.monotonic() > deadline:
                raise AssertionError('%s stands at %s %d' % (name, word, before))
            time.sleep(0.05)

    def stands(self, name, word='TICK', seconds=1.5):
        """It says nothing more."""
        before = self.last(name, word)
        time.sleep(seconds)
        return self.last(name, word) == before


def block(n):
    """What the writer puts into block @n."""
    line = b'%d\n' % n
    return (line * (4096 // len(line) + 1))[:4096]


def check_blocks(image, upto, scratch):
    """The image (not in use) holds blocks 0 to @upto as they were written."""
    raw = os.path.join(scratch, 'blocks.raw')
    subprocess.run(['qemu-img', 'convert', '-O', 'raw', image, raw], check=True)
    try:
        with open(raw, 'rb') as f:
            for n in range(upto + 1):
                if f.read(4096) != block(n):
                    raise AssertionError('%s: block %d of %d is not what the guest wrote' % (image, n, upto))
    finally:
        os.unlink(raw)


def build(path, version):
    """The initramfs, not compressed: an emulated CPU unpacks slower than it reads."""
    root = tempfile.mkdtemp(prefix='tiny-')
    for part in ('bin', 'sbin', 'dev', 'proc', 'sys', 'run', 'etc/acpi/PWRF', 'modules', 'usr/sbin', 'tmp', 'var/run', 'var/log'):
        os.makedirs(os.path.join(root, part), exist_ok=True)
    shutil.copy(shutil.which('busybox'), root + '/bin/busybox')
    copy_program(shutil.which('qemu-ga'), root)
    order = []
    for name in MODULES:
        answer = subprocess.run(['modprobe', '-S', version, '--show-depends', name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        order += [line.split()[1] for line in answer.stdout.splitlines() if line.startswith('insmod') and line.split()[1] not in order]
    for module in order:
        shutil.copy(module, root + '/modules')
    write(root + '/modules/order', ''.join(os.path.basename(module) + '\n' for module in order))
    write(root + '/init', INIT, 0o755)
    write(root + '/sbin/shutdown', SHUTDOWN, 0o755)
    write(root + '/etc/acpi/PWRF/00000080', '#!/bin/busybox sh\nexec poweroff -f\n', 0o755)
    write(root + '/etc/passwd', 'root::0:0:root:/:/bin/sh\n')
    half = '%s.%d' % (path, os.getpid())
    with open(half, 'wb') as f:
        names = subprocess.run(['find', '.'], cwd=root, stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(['cpio', '-o', '-H', 'newc', '--quiet'], cwd=root, input=names, stdout=f, check=True)
    os.rename(half, path)
    shutil.rmtree(root)


def write(path, text, mode=0o644):
    with open(path, 'w') as f:
        f.write(text)
    os.chmod(path, mode)


def copy_program(program, root):
    """@program with the libraries it needs."""
    shutil.copy(program, root + '/bin')
    for library in re.findall(r'(/\S+) \(0x', subprocess.run(['ldd', program], stdout=subprocess.PIPE, text=True, check=True).stdout):
        target = root + os.path.dirname(library)
        os.makedirs(target, exist_ok=True)
        shutil.copy(library, target)
