"""Virtual machines with a real Debian inside: systemd, nginx and other services, mend-guest and the QEMU guest agent; for libvirt hosts
of lvhost.py. The tree is that of tests/rig, made into a disk once; each VM has an overlay of it and a small disk of its own with the
mend-guest that was built, its credentials and options.

    debian = guest.Debian(folder)                        # on shared storage: a folder of this machine
    vm = debian.vm('shop-web', address='10.99.0.50')     # address None: no network card at all
    vm.write('credentials', text); vm.options = ['--broker', 'amqp://10.99.0.1:5672', '--service', 'systemd:nginx']
    a.connect().defineXML(vm.xml()).create()
    vm.wait('GUEST-UP')                                  # multi-user.target is reached
    guest.run(domain, 'systemctl', 'kill', '-s', 'KILL', 'nginx')   # by the guest agent

`guest.kind()` is 'kvm' where a kernel truly boots under it, else 'qemu' (emulation, about ten times slower).
"""
import base64
import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import uuid as uuids

import tinyguest

SOURCE = os.environ.get('MEND_SOURCE_DIR') or os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
BUILD = os.environ.get('MEND_BUILD_DIR') or os.path.join(SOURCE, 'build')
CACHE = os.environ.get('MEND_RIG_CACHE') or os.path.join(os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'), 'mend-rig')
MODULES = ('virtio_pci', 'virtio_blk', 'virtio_net', 'virtio_console', 'virtio_balloon', 'virtio_rng', 'ext4', 'button', 'evdev', 'i6300esb',
           'pvpanic-mmio', 'pvpanic-pci', 'vmw_vsock_virtio_transport')

INIT = r'''#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys
while read m; do insmod /modules/$m; done < /modules/order 2>/dev/null
for word in $(cat /proc/cmdline); do
  case $word in vm.name=*) name=${word#*=};; vm.address=*) address=${word#*=};; vm.id=*) id=${word#*=};; esac
done
i=0; while [ ! -e /dev/vdb -a $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done
mount -t ext4 /dev/vda /root && mount -t ext4 /dev/vdb /root/opt/mend || { echo NO-DISK > /dev/ttyS0; sleep 1000; }
hostname $name; echo $name > /root/etc/hostname; echo $id | tr -d - > /root/etc/machine-id
ip link set lo up
if [ -n "$address" ]; then ip addr add $address/24 dev eth0; ip link set eth0 up; fi
mkdir -p /dev/virtio-ports
for port in /sys/class/virtio-ports/*; do
  [ ! -s $port/name ] || ln -sf ../$(basename $port) /dev/virtio-ports/$(cat $port/name)
done
for part in dev proc sys; do mount -o move /$part /root/$part; done
exec switch_root /root /lib/systemd/systemd
'''

UNITS = {
    'mend-guest': '''[Unit]
Description=Mend's guest agent
[Service]
ExecStart=/opt/mend/start
Restart=always
RestartSec=1
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
[Install]
WantedBy=multi-user.target
''',
    'qemu-ga': '''[Unit]
Description=QEMU guest agent
ConditionPathExists=/dev/virtio-ports/org.qemu.guest_agent.0
[Service]
ExecStart=/usr/sbin/qemu-ga -m virtio-serial -p /dev/virtio-ports/org.qemu.guest_agent.0 -t /run
Restart=always
RestartSec=0
[Install]
WantedBy=multi-user.target
''',
    'guest-up': '''[Unit]
Description=tells the console that all is up
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo GUEST-UP > /dev/ttyS0'
[Install]
WantedBy=multi-user.target
'''}


def missing():
    """Why it cannot be built here; None when it can."""
    for program in ('debootstrap', 'mke2fs', 'qemu-ga', 'busybox', 'modprobe', 'cpio', 'qemu-img'):
        if not shutil.which(program):
            return 'needs %s (packaging/debian-packages-test.txt has its package)' % program
    return None if tinyguest.kernel() else 'needs a kernel with its modules in /boot and /lib/modules (linux-image-amd64)'


@functools.lru_cache(maxsize=1)
def kind():
    """A /dev/kvm that can be opened proves nothing: the guest must get past its firmware."""
    if not os.access('/dev/kvm', os.R_OK | os.W_OK):
        return 'qemu'
    try:
        said = subprocess.run(['qemu-system-x86_64', '-machine', 'q35,accel=kvm', '-m', '128', '-nographic', '-no-reboot', '-kernel', tinyguest.kernel()[0],
                               '-append', 'console=ttyS0 panic=-1'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              timeout=6).stdout
    except subprocess.TimeoutExpired:
        return 'qemu'
    return 'kvm' if b'Linux version' in said else 'qemu'


# ---- the disk all start from

def build_initrd(path, version):
    root = tempfile.mkdtemp(prefix='vm-')
    for part in ('bin', 'dev', 'proc', 'sys', 'root', 'modules'):
        os.makedirs(os.path.join(root, part))
    shutil.copy(shutil.which('busybox'), root + '/bin/busybox')
    order = []
    for name in MODULES:
        answer = subprocess.run(['modprobe', '-S', version, '--show-depends', name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        order += [line.split()[1] for line in answer.stdout.splitlines() if line.startswith('insmod') and line.split()[1] not in order]
    for module in order:
        shutil.copy(module, root + '/modules')
    tinyguest.write(root + '/modules/order', ''.join(os.path.basename(module) + '\n' for module in order))
    tinyguest.write(root + '/init', INIT, 0o755)
    names = subprocess.run(['find', '.'], cwd=root, stdout=subprocess.PIPE, check=True).stdout
    with open(path + '.half', 'wb') as f:
        subprocess.run(['cpio', '-o', '-H', 'newc', '--quiet'], cwd=root, input=names, stdout=f, check=True)
    os.rename(path + '.half', path)
    shutil.rmtree(root)


def build_disk(path, tree):
    root = tempfile.mkdtemp(prefix='vm-', dir=CACHE)
    subprocess.run(['cp', '-a', '--reflink=auto', tree + '/.', root], check=True)
    for name in ('etc/nginx/sites-available/default', 'etc/redis/redis.conf', 'etc/memcached.conf'):
        with open(os.path.join(root, name)) as f:
            text = f.read()
        with open(os.path.join(root, name), 'w') as f:
            f.write(text.replace('@ADDRESS@', '0.0.0.0'))
    os.makedirs(root + '/opt/mend', exist_ok=True)
    shutil.copy('/usr/sbin/qemu-ga', root + '/usr/sbin/')
    for library in re.findall(r'(/\S+) \(0x', subprocess.run(['ldd', '/usr/sbin/qemu-ga'], stdout=subprocess.PIPE, text=True, check=True).stdout):
        if not os.path.exists(root + library):
            os.makedirs(root + os.path.dirname(library), exist_ok=True)
            shutil.copy(library, root + library)
    units = root + '/etc/systemd/system/'
    for name, text in UNITS.items():
        tinyguest.write(units + name + '.service', text)
        os.symlink('/etc/systemd/system/%s.service' % name, units + 'multi-user.target.wants/%s.service' % name)
    for unit in ('systemd-udevd', 'systemd-udev-trigger', 'systemd-tmpfiles-setup-dev', 'yardstick', 'redis-server', 'memcached', 'getty@tty1', 'serial-getty@ttyS0',
                 'e2scrub_reap', 'systemd-random-seed', 'systemd-machine-id-commit'):
        if os.path.lexists(units + unit + '.service'):
            os.unlink(units + unit + '.service')
        os.symlink('/dev/null', units + unit + '.service')
    subprocess.run(['truncate', '-s', '1500M', path + '.half'], check=True)
    subprocess.run(['mke2fs', '-q', '-t', 'ext4', '-O', '^metadata_csum', '-d', root, path + '.half'], check=True)
    os.rename(path + '.half', path)
    shutil.rmtree(root)


class Debian:
    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        tree = subprocess.run([os.path.join(SOURCE, 'tests/rig/make-tree')], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                              check=True).stdout.strip()
        self.kernel, version = tinyguest.kernel()
        with open(__file__, 'rb') as f:
            made_of = hashlib.sha256(f.read() + tree.encode() + version.encode()).hexdigest()[:12]
        self.disk, self.initrd = ('%s/%s-%s' % (CACHE, what, made_of) for what in ('vm-disk', 'vm-initrd'))
        with open(CACHE + '/vm-lock', 'w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(self.disk) or not os.path.exists(self.initrd):
                for name in os.listdir(CACHE):
                    if name.startswith(('vm-disk', 'vm-initrd')):
                        os.unlink(os.path.join(CACHE, name))
                build_initrd(self.initrd, version)
                build_disk(self.disk, tree)

    def vm(self, name, address=None, uuid=None):
        return Vm(self, name, address, uuid or str(uuids.uuid4()))


class Vm:
    def __init__(self, debian, name, address, uuid):
        self.debian, self.name, self.address, self.uuid = debian, name, address, uuid
        self.options = []
        self.image = os.path.join(debian.folder, name + '.qcow2')
        self.console = os.path.join(debian.folder, name + '.console')
        self.files = os.path.join(debian.folder, name + '.files')
        os.makedirs(self.files)
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', debian.disk, self.image], check=True)

    def write(self, name, text, mode=0o600):
        """Becomes /opt/mend/NAME in the guest; before xml()."""
        tinyguest.write(os.path.join(self.files, name), text, mode)

    def own_disk(self):
        path = self.image + '.mend'
        if not os.path.exists(path):
            shutil.copy(os.path.join(BUILD, 'bin/mend-guest'), self.files)
            self.write('start', '#!/bin/sh\nexec /opt/mend/mend-guest --data /var/lib/mend-guest %s\n' % ' '.join("'%s'" % word for word in self.options), 0o755)
            subprocess.run(['truncate', '-s', '16M', path], check=True)
            subprocess.run(['mke2fs', '-q', '-t', 'ext4', '-O', '^metadata_csum', '-d', self.files, path], check=True)
        return path

    def xml(self, memory_mib=256, devices='', disks='', on_crash='destroy', error_policy='stop', kind_of=None):
        words = ['console=ttyS0', 'quiet', 'mitigations=off', 'panic=0', 'net.ifnames=0', 'vm.name=' + self.name, 'vm.id=' + self.uuid,
                 'systemd.show_status=0', 'systemd.gpt_auto=0', 'audit=0', 'selinux=0', 'apparmor=0']
        if self.address:
            words.append('vm.address=' + self.address)
            devices += "<interface type='bridge'><source bridge='br0'/><model type='virtio'/></interface>"
        drive = ("<disk type='file' device='disk'><driver name='qemu' type='%s' cache='none' error_policy='%s'/><source file='%s'/>"
                 "<target dev='%s' bus='virtio'/></disk>")
        disks = drive % ('qcow2', error_policy, self.image, 'vda') + drive % ('raw', 'stop', self.own_disk(), 'vdb') + disks
        return '''<domain type='%s'><name>%s</name><uuid>%s</uuid><memory unit='MiB'>%d</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>%s</kernel><initrd>%s</initrd><cmdline>%s</cmdline></os>
<features><acpi/></features><cpu mode='custom' match='exact' check='none'><model>qemu64</model></cpu>
<on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>%s</on_crash>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>%s
<serial type='file'><source path='%s' append='on'/><target port='0'/></serial>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
<panic model='isa'/><memballoon model='virtio'><stats period='1'/></memballoon><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>%s
</devices></domain>''' % (kind_of or kind(), self.name, self.uuid, memory_mib, self.debian.kernel, self.debian.initrd, ' '.join(words), on_crash,
                          disks, self.console, devices)

    def said(self):
        try:
            with open(self.console, errors='replace') as f:
                return f.read()
        except OSError:
            return ''

    def wait(self, word, times=1, timeout=120):
        deadline = time.monotonic() + timeout
        while self.said().count(word) < times:
            if time.monotonic() > deadline:
                raise AssertionError('%s did not say %s %d times in %g s: %s' % (self.name, word, times, timeout, self.said()[-1500:]))
            time.sleep(0.05)


# ---- inside, by the QEMU guest agent

def ask(domain, command, arguments=None, timeout=10):
    import libvirt_qemu
    question = {'execute': command}
    if arguments is not None:
        question['arguments'] = arguments
    return json.loads(libvirt_qemu.qemuAgentCommand(domain, json.dumps(question), timeout, 0))['return']


def begin(domain, *argv):
    """Number of the process, for result()."""
    return ask(domain, 'guest-exec', {'path': argv[0], 'arg': list(argv[1:]), 'capture-output': True})['pid']


def result(domain, process, timeout=30):
    """(exit code, what it printed), once it has ended."""
    deadline = time.monotonic() + timeout
    while True:
        status = ask(domain, 'guest-exec-status', {'pid': process})
        if status['exited']:
            return status.get('exitcode', -1), base64.b64decode(status.get('out-data', '')).decode()
        if time.monotonic() > deadline:
            raise AssertionError('process %d of the guest does not end' % process)
        time.sleep(0.02)


def run(domain, *argv, timeout=30):
    return result(domain, begin(domain, *argv), timeout)
