"""Guests with a real systemd for tests: systemd-nspawn over one cached Debian tree, each with its own overlay and identity.

    with rig.Rig() as guests:
        vm = guests.start('web-1')
        vm.run('systemctl', 'is-system-running', '--wait')
        killed_us = vm.kill_service('nginx')

A guest shares the machine's loopback, so it reaches a broker on 127.0.0.1; its own services listen on Guest.address. All
times are CLOCK_MONOTONIC microseconds, which guests share with the machine, so they compare with systemd's own timestamps.
Needs root and cgroups that systemd-nspawn can use: Unavailable says what is missing.
"""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid

SOURCE = os.environ.get('MEND_SOURCE_DIR') or os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
ADDRESSED = ('etc/nginx/sites-available/default', 'etc/redis/redis.conf', 'etc/memcached.conf')
BOOT_S = 60


class Unavailable(Exception):
    """Guests cannot run on this machine; the text says why."""


class Failed(Exception):
    """A command inside a guest did not end with 0."""


def now_us():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def missing():
    """What this machine lacks to run guests, or None."""
    if os.geteuid() != 0:
        return 'guests need root'
    for program in ('systemd-nspawn', 'debootstrap', 'nsenter', 'mount'):
        if shutil.which(program) is None:
            return '%s is not installed' % program
    return None


def skip_unless_available():
    """Boots one guest to see; ends this test program with 77 and the reason where that does not work."""
    try:
        with Rig() as guests:
            guests.start('probe')
    except Unavailable as why:
        print('skipped: %s' % why)
        sys.exit(77)


def cgroup_folders():
    """Where this process stands in the hierarchies that systemd uses."""
    own = {}
    with open('/proc/self/cgroup') as lines:
        for line in lines:
            _, controllers, path = line.strip().split(':', 2)
            own[controllers] = path
    folders = []
    with open('/proc/self/mountinfo') as lines:
        for line in lines:
            fields, _, rest = line.partition(' - ')
            kind, point = rest.split()[0], fields.split()[4]
            controllers = '' if kind == 'cgroup2' else 'name=systemd' if kind == 'cgroup' and 'name=systemd' in rest else None
            if controllers in own and point.startswith('/sys/fs/cgroup'):
                here = os.path.normpath(point + own[controllers])
                folders.append(here if os.path.isdir(here) else point)
    return folders


class Rig:
    """A set of guests that ends with the with-block, whatever happened in it."""

    def __init__(self, addresses=None):
        reason = missing()
        if reason:
            raise Unavailable(reason)
        made = subprocess.run([os.path.join(SOURCE, 'tests/rig/make-tree')], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        if made.returncode != 0:
            raise Unavailable('no tree for guests: ' + made.stderr.strip()[-500:])
        self.tree = made.stdout.strip()
        self.guests = []
        self.lock = threading.Lock()
        # 127.A.B.n: A and B from the process id, so that two rigs on one machine do not meet.
        self.network = addresses or '127.%d.%d' % (64 + (os.getpid() >> 8) % 128, os.getpid() % 256)
        self.folder = tempfile.mkdtemp(prefix='mend-rig-')
        mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=4g', 'mend-rig', self.folder], capture_output=True, text=True)
        if mounted.returncode != 0:
            os.rmdir(self.folder)
            raise Unavailable('cannot mount a tmpfs: ' + mounted.stderr.strip())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for guest in self.guests:
            guest.power_cut()
        for guest in self.guests:
            guest.clean()
        subprocess.run(['umount', '-l', self.folder], capture_output=True)
        with contextlib.suppress(OSError):
            os.rmdir(self.folder)

    def prepare(self, name):
        """A guest with its files in place, not started: write what it needs with Guest.write()."""
        with self.lock:
            guest = Guest(self, name, '%s.%d' % (self.network, len(self.guests) + 1))
            self.guests.append(guest)
        return guest

    def start(self, name):
        guest = self.prepare(name)
        guest.boot()
        return guest

    def boot_all(self, guests, at_once=4):
        """Boots prepared guests, a few at a time."""
        waiting, failures = list(guests), []

        def work():
            while True:
                with self.lock:
                    if not waiting or failures:
                        return
                    guest = waiting.pop(0)
                try:
                    guest.boot()
                except Exception as error:  # shown by the caller's thread
                    failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]


class Guest:
    def __init__(self, rig, name, address):
        self.name, self.address = name, address
        self.id = str(uuid.uuid4())
        self.folder = os.path.join(rig.folder, name)
        self.root = os.path.join(self.folder, 'root')
        self.console = os.path.join(self.folder, 'console')
        self.nspawn = self.leader = None
        self.binds = []
        # A control group of its own: systemd-nspawn puts its payload below where it stands, and two guests in one would count
        # each other's processes among their services'.
        self.cgroups = [os.path.join(folder, 'mend-rig-%d-%s' % (os.getpid(), name)) for folder in cgroup_folders()]
        for part in ('root', 'upper', 'work'):
            os.makedirs(os.path.join(self.folder, part))
        options = 'lowerdir=%s,upperdir=%s/upper,workdir=%s/work' % (rig.tree, self.folder, self.folder)
        mounted = subprocess.run(['mount', '-t', 'overlay', '-o', options, 'mend-guest', self.root], capture_output=True, text=True)
        if mounted.returncode != 0:
            raise Unavailable('cannot mount an overlay: ' + mounted.stderr.strip())
        self.write('etc/machine-id', self.id.replace('-', '') + '\n')
        self.write('etc/hostname', name + '\n')
        for path in ADDRESSED:
            with open(os.path.join(self.root, path)) as config:
                text = config.read()
            self.write(path, text.replace('@ADDRESS@', address))

    # Files

    def path(self, path):
        return os.path.join(self.root, path.lstrip('/'))

    def write(self, path, text, mode=None):
        """Writes a file of the guest, also while it runs (not under its /run or /tmp then: those are its own)."""
        target = self.path(path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, 'w') as out:
            out.write(text)
        if mode is not None:
            os.chmod(target, mode)

    def copy(self, source, path, mode=None):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        shutil.copy2(source, self.path(path))
        if mode is not None:
            os.chmod(self.path(path), mode)

    def enable(self, unit):
        """As systemctl enable, before the guest runs."""
        wants = self.path('etc/systemd/system/multi-user.target.wants/' + unit)
        os.makedirs(os.path.dirname(wants), exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.symlink('/etc/systemd/system/' + unit, wants)

    # Life

    def boot(self):
        """Starts the guest and waits until systemd calls itself up. Raises Unavailable with the console's end when it does not."""
        for cgroup in self.cgroups:
            os.makedirs(cgroup, exist_ok=True)
        enter = ''.join('echo $$ > %s/cgroup.procs; ' % cgroup for cgroup in self.cgroups)
        command = ['sh', '-c', enter + 'exec "$0" "$@"', 'systemd-nspawn', '-q', '-D', self.root, '--boot', '--register=no', '--keep-unit', '--hostname=' + self.name,
                   '--uuid=' + self.id.replace('-', ''), '--resolv-conf=off', '--timezone=off', '--console=pipe'] + self.binds
        with open(self.console, 'ab') as console:
            self.nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True)
        deadline = time.monotonic() + BOOT_S
        while time.monotonic() < deadline and self.nspawn.poll() is None:
            self.leader = self.leader or self.find_leader()
            if self.leader and self.run('systemctl', 'is-system-running', check=False).stdout.strip() in ('running', 'degraded'):
                return
            time.sleep(0.05)
        raise Unavailable('guest %s does not boot here: %s' % (self.name, self.console_text()[-1500:]))

    def find_leader(self):
        with contextlib.suppress(OSError):
            with open('/proc/%d/task/%d/children' % (self.nspawn.pid, self.nspawn.pid)) as children:
                for pid in children.read().split():
                    if os.path.basename(os.readlink('/proc/%s/exe' % pid)) == 'systemd':
                        return int(pid)
        return None

    def power_cut(self):
        """Everything in the guest is gone at once, as when the plug is pulled; boot() brings it back with its disk as it was."""
        leader, self.leader = self.leader or (self.nspawn and self.find_leader()), None
        if leader:
            with contextlib.suppress(ProcessLookupError):
                os.kill(leader, signal.SIGKILL)
        if self.nspawn:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.nspawn.wait(5)
            if self.nspawn.poll() is None:
                self.nspawn.kill()
                self.nspawn.wait()
            self.nspawn = None

    def clean(self):
        """After the power cut: what the guest leaves on this machine."""
        subprocess.run(['umount', '-l', self.root], capture_output=True)
        for cgroup in self.cgroups:
            for folder, _, _ in os.walk(cgroup, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)

    def console_text(self):
        with contextlib.suppress(OSError):
            with open(self.console, errors='replace') as console:
                return re.sub(r'\x1b\[[0-9;]*m', '', console.read())
        return ''

    # Inside

    def run(self, *command, check=True, timeout=30, stdin=None):
        """Runs a command inside, all namespaces and the root of the guest."""
        done = subprocess.run(['nsenter', '-t', str(self.leader), '-a', '-r', '-w', '--', *command], timeout=timeout, text=True,
                              stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if check and done.returncode != 0:
            raise Failed('%s: %s said %d: %s' % (self.name, ' '.join(command), done.returncode, done.stdout[-2000:]))
        return done

    def show(self, unit, *properties):
        """Properties of a unit as text: show('nginx', 'ActiveState') -> {'ActiveState': 'active'}."""
        said = self.run('systemctl', 'show', '-p', ','.join(properties), unit).stdout
        return dict(line.split('=', 1) for line in said.splitlines() if '=' in line)

    def main_pid(self, unit):
        return int(self.show(unit, 'MainPID')['MainPID'])

    def host_pid(self, pid):
        """The machine's number of the guest's process pid, or None."""
        space = os.readlink('/proc/%d/ns/pid' % self.leader)
        for entry in os.listdir('/proc'):
            if entry.isdigit():
                with contextlib.suppress(OSError):
                    if os.readlink('/proc/%s/ns/pid' % entry) != space:
                        continue
                    with open('/proc/%s/status' % entry) as status:
                        if int(re.search(r'^NSpid:.*\s(\d+)$', status.read(), re.M).group(1)) == pid:
                            return int(entry)
        return None

    def kill_service(self, unit, sig=signal.SIGKILL):
        """Kills the unit's main process; returns when, in us. None when it has no main process just now."""
        inner = self.main_pid(unit)
        outer = self.host_pid(inner) if inner else None
        if outer is None:
            return None
        killed_us = now_us()
        with contextlib.suppress(ProcessLookupError):
            os.kill(outer, sig)
            return killed_us
        return None

    def active_since_us(self, unit):
        """When the unit last became active, in us, or 0 when it is not active now."""
        said = self.show(unit, 'ActiveState', 'ActiveEnterTimestampMonotonic', 'MainPID')
        if said.get('ActiveState') != 'active' or said.get('MainPID') == '0':
            return 0
        return int(said['ActiveEnterTimestampMonotonic'])

    def wait_active(self, unit, after_us, timeout=30, step=0.03):
        """Waits until the unit became active after after_us; returns when, or None."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            since_us = self.active_since_us(unit)
            if since_us > after_us:
                return since_us
            time.sleep(step)
        return None

    def stop_service(self, unit):
        """As an administrator does."""
        self.run('systemctl', 'stop', unit)

    def start_service(self, unit):
        self.run('systemctl', 'start', unit)

    def journal(self, unit, lines=40):
        return self.run('journalctl', '-q', '--no-pager', '-o', 'short-precise', '-n', str(lines), '-u', unit, check=False).stdout
