"""Hosts with their own libvirt on one machine: each has its own PID, network, mount and UTS namespace and its own libvirtd (QEMU by
emulation), reached over a UNIX socket from outside and over TCP from the other hosts. A file of this machine is shared storage.

    with lvhost.Lan() as lan:                       # a switch, 10.99.0.1/24, in a network namespace of its own
        a, b = lan.host('a', 11), lan.host('b', 12) # 10.99.0.11, 10.99.0.12
        a.start(); b.start()
        connection = a.connect()                    # a.uri; a.tcp_uri for the other hosts
        a.popen([BIN + '/mend-host', …])            # a process of that host; a.run() waits for it and gives its output
        lan.popen([BIN + '/mend', 'broker', …])     # one beside the hosts, they reach it as 10.99.0.1
        a.unplug(); a.plug()                        # its network cable
        a.power_cut()                               # everything on it is dead when this returns
        a.start()                                   # another life of it: new boot id, its definitions are still there

Everything ends with the test, also when that is killed: each namespace lives as long as a pipe from here is open. Nothing is seen
from outside, so tests may run side by side. Needs root. `lvhost.missing()` says why it cannot run here, for exit 77.
"""
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid

NET = '10.99.0'

# First process of a namespace: reaps every orphan at once (libvirt takes a QEMU that nobody reaped for alive), ends with its stdin.
INIT = r'''
import os, select, signal
r, w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
signal.signal(signal.SIGCHLD, lambda *a: None)
signal.set_wakeup_fd(w, warn_on_full_buffer=False)
for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(s, signal.SIG_IGN)
print('up', flush=True)
while True:
    ready = select.select([0, r], [], [])[0]
    if 0 in ready and not os.read(0, 4096):
        os._exit(0)
    if r in ready:
        os.read(r, 4096)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
'''


def missing(programs=()):
    """Why hosts cannot be made here; None when they can."""
    if os.geteuid() != 0:
        return 'needs root: namespaces and libvirtd'
    for program in ('ip', 'unshare', 'nsenter', 'libvirtd', 'qemu-system-x86_64', 'qemu-img') + tuple(programs):
        if not shutil.which(program):
            return 'needs %s (packaging/debian-packages-test.txt has its package)' % program
    try:
        import libvirt  # noqa: F401
    except ImportError:
        return 'needs python3-libvirt'
    if subprocess.run(['unshare', '-m', '-u', '-n', '-p', '-f', 'mount', '-t', 'proc', 'proc', '/proc'], stderr=subprocess.PIPE).returncode:
        return 'may not make namespaces here'
    return None


def network_missing():
    """Why no switch can be made here; None when it can."""
    answer = subprocess.run(['unshare', '-n', 'sh', '-c', 'ip link add br0 type bridge && ip link add v0 type veth peer name v1'],
                            stderr=subprocess.PIPE, text=True)
    return 'no bridge and veth here: ' + answer.stderr.strip() if answer.returncode else None


def cgroup_missing(controller):
    """Why VMs cannot be limited by this cgroup controller here; None when they can."""
    return None if os.path.isdir('/sys/fs/cgroup/' + controller) else 'no cgroup (v1) controller for %s here' % controller


class Namespace:
    """Namespaces kept by a process of ours. @flags of unshare(1); @script runs first, in them."""

    def __init__(self, flags, script=''):
        self.keeper = subprocess.Popen(['unshare', *flags, '--fork', '--kill-child=KILL', 'bash', '-ec',
                                        script + '\nexec /usr/bin/python3 -S -c "$0"', INIT],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        if self.keeper.stdout.readline() != b'up\n':
            raise RuntimeError('namespace: ' + self.keeper.stderr.read().decode())
        with open('/proc/%d/task/%d/children' % (self.keeper.pid, self.keeper.pid)) as children:
            self.pid = int(children.read().split()[0])
        self.enter = ['nsenter', '-t', str(self.pid)] + [flag for flag in flags if flag in ('-m', '-n', '-u', '-p')] + ['--']

    def run(self, argv, check=True, **more):
        more.setdefault('stdout', subprocess.PIPE)
        more.setdefault('stderr', subprocess.PIPE)
        answer = subprocess.run(self.enter + list(argv), text=True, **more)
        if check and answer.returncode:
            raise RuntimeError('%s: %s' % (' '.join(argv), (answer.stderr or answer.stdout or '').strip()))
        return answer

    def popen(self, argv, **more):
        return subprocess.Popen(self.enter + list(argv), **more)

    def kill(self):
        """Returns when every process in it is gone."""
        if self.keeper.poll() is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.keeper.wait()
        for stream in (self.keeper.stdin, self.keeper.stdout, self.keeper.stderr):
            stream.close()


class Lan:
    """The switch between hosts, and whatever stands beside them (broker, storage server, BMCs)."""

    def __init__(self, folder=None):
        self.folder = folder or tempfile.mkdtemp(prefix='mend-lan-')
        self.own_folder = folder is None
        self.hosts = {}
        self.hosts_file = os.path.join(self.folder, 'hosts')
        with open(self.hosts_file, 'w') as f:
            f.write('127.0.0.1 localhost\n%s.1 lan\n' % NET)
        self.space = Namespace(['-n', '-m'], 'mount --bind %s /etc/hosts' % self.hosts_file)
        for words in ('link set lo up', 'link add br0 type bridge', 'link set br0 up', 'addr add %s.1/24 dev br0' % NET):
            self.run(['ip'] + words.split())
        self.address = NET + '.1'

    def host(self, name, index, controllers=()):
        """@controllers: of cgroups that its libvirt shall use ('cpu'); their groups are this machine's, see cgroup_missing()."""
        host = self.hosts[name] = Host(self, name, index, controllers)
        with open(self.hosts_file, 'a') as f:
            f.write('%s %s\n' % (host.address, name))
        return host

    def run(self, argv, **more):
        return self.space.run(argv, **more)

    def popen(self, argv, **more):
        return self.space.popen(argv, **more)

    def close(self):
        for host in self.hosts.values():
            host.power_cut()
        self.space.kill()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


class Host:
    def __init__(self, lan, name, index, controllers=()):
        self.lan, self.name = lan, name
        self.folder = os.path.join(lan.folder, name)
        self.address = '%s.%d' % (NET, index)
        self.uuid = 'f00dcafe-0000-4000-8000-%012d' % index
        self.boot_id = None
        self.space = self.libvirtd = None
        self.uri = 'qemu+unix:///system?socket=%s/run/libvirt-sock' % self.folder
        self.local_uri = 'qemu:///system'                         # for processes of the host itself
        self.tcp_uri = 'qemu+tcp://%s/system' % self.address      # for those of the other hosts and of the lan
        for part in ('run', 'etc/qemu', 'lib/qemu', 'cache', 'log', 'proc'):
            os.makedirs(os.path.join(self.folder, part), exist_ok=True)
        self._write('etc/libvirt.conf', '')
        self._write('etc/libvirtd.conf', LIBVIRTD_CONF % {'address': self.address, 'uuid': self.uuid})
        self.controllers = controllers
        self._write('etc/qemu.conf', QEMU_CONF % {'address': self.address, 'controllers': ', '.join('"%s"' % one for one in controllers)})

    def _write(self, name, text):
        with open(os.path.join(self.folder, name), 'w') as f:
            f.write(text)

    # ---- its life

    def start(self, libvirtd=True):
        """Switches it on; with libvirtd answering when this returns."""
        self.boot_id = str(uuid.uuid4())
        self._write('proc/boot_id', self.boot_id + '\n')
        self._write('proc/product_uuid', self.uuid + '\n')
        self._write('proc/machine_id', self.uuid.replace('-', '') + '\n')
        shutil.rmtree(os.path.join(self.folder, 'run'))
        os.makedirs(os.path.join(self.folder, 'run'))
        mounts = HOST_MOUNTS % {'folder': self.folder, 'name': self.name, 'hosts': self.lan.hosts_file}
        if self.controllers:
            mounts += '\nif mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi'  # libvirt would look nowhere else
        self.space = Namespace(['-m', '-u', '-n', '-p', '--propagation', 'slave'], mounts)
        port = 'v-' + self.name
        self.lan.run(['ip', 'link', 'del', port], check=False)
        for words in ('link add %s type veth peer name eth0 netns %d' % (port, self.space.pid), 'link set %s master br0 up' % port):
            self.lan.run(['ip'] + words.split())
        for words in ('link set lo up', 'link add br0 type bridge', 'link set br0 up', 'link set eth0 master br0 up',
                      'addr add %s/24 dev br0' % self.address):
            self.run(['ip'] + words.split())
        if libvirtd:
            self.start_libvirtd()
        return self

    def power_cut(self):
        """Everything on it is dead when this returns; what it had written is still there."""
        if self.space is not None:
            self.space.kill()
            self.space = None
        if self.libvirtd is not None:
            self.libvirtd.wait()
            self.libvirtd = None
        for controller in self.controllers:
            remove_groups('/sys/fs/cgroup/%s/machine' % controller)

    def unplug(self):
        self.lan.run(['ip', 'link', 'set', 'v-' + self.name, 'down'])

    def plug(self):
        self.lan.run(['ip', 'link', 'set', 'v-' + self.name, 'up'])

    @property
    def is_on(self):
        return self.space is not None and self.space.keeper.poll() is None

    # ---- processes on it

    def run(self, argv, **more):
        return self.space.run(argv, **more)

    def popen(self, argv, **more):
        return self.space.popen(argv, **more)

    def pids(self):
        """Of all its processes, as this machine sees them."""
        own = os.readlink('/proc/%d/ns/pid' % self.space.pid)
        found = []
        for word in filter(str.isdigit, os.listdir('/proc')):
            try:
                if os.readlink('/proc/%s/ns/pid' % word) == own:
                    found.append(int(word))
            except OSError:
                pass
        return found

    def qemu_pid(self, vm):
        """Process of the VM with this name or UUID, as this machine sees it; None when there is none."""
        for pid in self.pids():
            try:
                with open('/proc/%d/cmdline' % pid) as f:
                    words = f.read().split('\0')
            except OSError:
                continue
            if 'qemu-system' in words[0] and (vm in words or any(word.startswith('guest=%s,' % vm) for word in words)):
                return pid
        return None

    # ---- libvirt

    def start_libvirtd(self, timeout=60):
        log = open(os.path.join(self.folder, 'log', 'libvirtd.out'), 'ab')
        self.libvirtd = self.popen(['libvirtd', '-l', '-f', '/etc/libvirt/libvirtd.conf', '-p', '/run/libvirt/libvirtd.pid'],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        log.close()
        import libvirt
        libvirt.registerErrorHandler(lambda *unused: None, None)
        deadline = time.monotonic() + timeout
        while True:
            try:
                if os.path.exists(self.folder + '/run/libvirt-sock'):
                    libvirt.open(self.uri).close()
                    return
            except libvirt.libvirtError:
                pass
            if self.libvirtd.poll() is not None or time.monotonic() > deadline:
                with open(os.path.join(self.folder, 'log', 'libvirtd.out')) as f:
                    raise RuntimeError('libvirtd of %s does not answer: %s' % (self.name, f.read()[-1000:]))
            time.sleep(0.05)

    def libvirtd_pid(self):
        """As this machine sees it."""
        for pid in self.pids():
            try:
                with open('/proc/%d/comm' % pid) as f:
                    if f.read().strip() == 'libvirtd':
                        return pid
            except OSError:
                continue
        return None

    def stop_libvirtd(self, with_signal=signal.SIGTERM):
        """VMs live on. start_libvirtd() brings it back."""
        pid = self.libvirtd_pid()
        if pid is not None:
            os.kill(pid, with_signal)
        self.libvirtd.wait()
        self.libvirtd = None

    def connect(self):
        import libvirt
        libvirt.registerErrorHandler(lambda *unused: None, None)
        return libvirt.open(self.uri)


def remove_groups(folder):
    """What libvirt left of them; those in use stay."""
    for where, folders, unused in os.walk(folder, topdown=False):
        try:
            os.rmdir(where)
        except OSError:
            pass


LIBVIRTD_CONF = '''listen_tls = 0
listen_tcp = 1
listen_addr = "%(address)s"
tcp_port = "16509"
auth_tcp = "none"
auth_unix_rw = "none"
unix_sock_dir = "/run/libvirt"
host_uuid = "%(uuid)s"
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
keepalive_interval = 2
keepalive_count = 3
'''

QEMU_CONF = '''user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = [ %(controllers)s ]
namespaces = [ ]
stdio_handler = "file"
remember_owner = 0
dynamic_ownership = 0
migration_address = "%(address)s"
keepalive_interval = 2
keepalive_count = 3
'''

HOST_MOUNTS = '''mkdir -p /run/libvirt /etc/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt
mount -t proc proc /proc
for pair in run:/run/libvirt etc:/etc/libvirt lib:/var/lib/libvirt cache:/var/cache/libvirt log:/var/log/libvirt; do
  mount --bind %(folder)s/${pair%%%%:*} ${pair#*:}
done
mount --bind %(hosts)s /etc/hosts
mount --bind %(folder)s/proc/boot_id /proc/sys/kernel/random/boot_id
for pair in product_uuid:/sys/class/dmi/id/product_uuid machine_id:/etc/machine-id; do
  if [ -e ${pair#*:} ]; then mount --bind %(folder)s/proc/${pair%%%%:*} ${pair#*:}; fi
done
hostname %(name)s'''
