"""A host's management controller: OpenIPMI's ipmi_sim, whose power switch is a pair of Python functions.

    with bmc.Bmc(off=host.power_cut, on=host.start, is_on=lambda: host.is_on) as b:
        b.address, b.port, b.user, b.password     # for fence_ipmilan (lanplus) and ipmitool
        b.calls                                   # what it was told: ['off', 'on', …]
        b.delay = 2                               # seconds before each answer about its power
        b.stuck = True                            # it says yes and does nothing
        b.kill(); b.start()                       # it is dead; it is there again

Without functions it only remembers. @popen: Lan.popen of lvhost.py puts it into that network, with @address one of it. The functions run
in a thread of the test. It ends with the test, also when that is killed. `bmc.missing()` says why it cannot run here, for exit 77.
"""
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time

LAN = '''name "mend"
set_working_mc 0x20
  startlan 1
    addr %(address)s %(port)d
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "%(folder)s/chassis"
  user 2 true "%(user)s" "%(password)s" admin 10 none md2 md5 straight
'''

EMULATION = '''mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
'''

# ipmi_sim calls it with: get|set|check WORD [VALUE] …
CHASSIS = '''#!/usr/bin/python3 -S
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(%r)
s.sendall('\\n'.join(sys.argv[1:]).encode() + b'\\0')
sys.stdout.write(s.makefile().read())
'''


def missing():
    """Why it cannot run here; None when it can."""
    for program, package in (('ipmi_sim', 'openipmi'), ('ipmitool', 'ipmitool'), ('fence_ipmilan', 'fence-agents')):
        if not shutil.which(program, path=os.environ.get('PATH', '') + ':/usr/sbin'):
            return 'needs %s (Debian package %s)' % (program, package)
    return None


def free_port(address='127.0.0.1'):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((address, 0))
        return s.getsockname()[1]


class Bmc:
    def __init__(self, off=None, on=None, is_on=None, user='mend', password='c0rrect-horse', address='127.0.0.1', port=None, popen=subprocess.Popen):
        self.off, self.on, self.is_on = off, on, is_on
        self.user, self.password, self.address = user, password, address
        self.port = port or free_port()
        self.popen = popen
        self.power, self.stuck, self.delay, self.calls = True, False, 0, []
        self.process = None
        self.folder = tempfile.mkdtemp(prefix='mend-bmc-')
        self._write('lan.conf', LAN % vars(self))
        self._write('emulation', EMULATION)
        self._write('chassis', CHASSIS % self._path('power'))
        os.chmod(self._path('chassis'), 0o700)
        os.mkdir(self._path('state'))
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(self._path('power'))
        self.server.listen(16)
        threading.Thread(target=self._serve, daemon=True).start()
        self.start()

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _write(self, name, text):
        with open(self._path(name), 'w') as out:
            out.write(text)

    # ---- its power

    def _is_on(self):
        return bool(self.is_on()) if self.is_on else self.power

    def _set(self, on):
        self.calls.append('on' if on else 'off')
        if self.stuck or on == self._is_on():
            return
        self.power = on
        act = self.on if on else self.off
        if act:
            act()

    def _answer(self, words):
        if words[:1] == ['get']:
            time.sleep(self.delay)
            return ''.join('%s:%d\n' % (word, word == 'power' and self._is_on()) for word in words[1:])
        if words[:1] == ['set']:
            for name, value in zip(words[1::2], words[2::2]):
                if name == 'power':
                    self._set(value == '1')
                elif name == 'reset':
                    self._set(False)
                    self._set(True)
        return ''

    def _one(self, peer):
        with peer:
            said = b''
            while not said.endswith(b'\0'):
                more = peer.recv(4096)
                if not more:
                    return
                said += more
            peer.sendall(self._answer(said[:-1].decode().split('\n')).encode())

    def _serve(self):
        while True:
            try:
                peer = self.server.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._one, args=(peer,), daemon=True).start()

    # ---- its life

    def start(self):
        """Returns when it answers."""
        log = open(self._path('log'), 'ab')
        self.process = self.popen(['setpriv', '--pdeathsig', 'KILL', 'ipmi_sim', '-n', '-c', self._path('lan.conf'), '-f', self._path('emulation'),
                                   '-s', self._path('state')], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        time.sleep(0.3)
        if self.process.poll() is not None:
            with open(self._path('log'), errors='replace') as said:
                raise RuntimeError('ipmi_sim: ' + said.read())

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def close(self):
        self.kill()
        self.server.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
