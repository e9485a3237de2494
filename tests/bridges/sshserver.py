"""A real sshd for one test: on loopback, with host key, users' keys and configuration of its own."""
import os
import shutil
import socket
import subprocess

import mendsite

SSHD = shutil.which('sshd') or '/usr/sbin/sshd'


def free_port():
    with socket.socket() as each:
        each.bind(('127.0.0.1', 0))
        return each.getsockname()[1]


def key(path):
    subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', path], check=True)
    return path


class Server:
    """port, client_key, known_hosts: what a bridge needs to come in as root."""

    def __init__(self, mend, name='sshd'):
        self.mend, self.name, self.port = mend, name, free_port()
        self.folder = mend.path(name)
        os.makedirs(self.folder)
        os.makedirs('/run/sshd', exist_ok=True)
        self.host_key = key(self.path('host_key'))
        self.client_key = key(self.path('client_key'))
        shutil.copy(self.client_key + '.pub', self.path('authorized_keys'))
        with open(self.host_key + '.pub') as public:
            self.known_hosts = self.write('known_hosts', '[127.0.0.1]:%d %s\n' % (self.port, ' '.join(public.read().split()[:2])))

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), 'w') as out:
            out.write(text)
        return self.path(name)

    def start(self, *more):
        config = self.write('sshd_config', '\n'.join([
            'Port %d' % self.port, 'ListenAddress 127.0.0.1', 'HostKey ' + self.host_key, 'AuthorizedKeysFile ' + self.path('authorized_keys'),
            'PidFile none', 'StrictModes no', 'UsePAM no', 'PasswordAuthentication no', 'PermitRootLogin yes', 'LogLevel VERBOSE', *more]) + '\n')
        self.mend.start(self.name, SSHD, '-D', '-e', '-f', config)
        mendsite.wait_for('sshd', lambda: socket.create_connection(('127.0.0.1', self.port), 1).close() or True, 20)

    def sessions(self):
        """Processes of its connections: children of the listener that is, or was."""
        children = subprocess.run(['ps', '-e', '-o', 'pid=,args='], capture_output=True, text=True).stdout.splitlines()
        return [int(line.split()[0]) for line in children if 'sshd: root' in line and self.belongs(int(line.split()[0]))]

    def belongs(self, pid):
        """One of ours: its standard error goes to our log."""
        try:
            return os.path.realpath('/proc/%d/fd/2' % pid) == os.path.realpath(self.mend.path(self.name + '.log')) or self.parent_is_ours(pid)
        except OSError:
            return False

    def parent_is_ours(self, pid):
        with open('/proc/%d/stat' % pid) as stat:
            parent = int(stat.read().rpartition(')')[2].split()[1])
        process = self.mend.running.get(self.name)
        return process is not None and parent == process.pid

    def cut(self):
        """Every connection ends now; the listener stays."""
        for pid in self.sessions():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass

    def stop(self):
        self.cut()
        self.mend.stop(self.name, 9)
