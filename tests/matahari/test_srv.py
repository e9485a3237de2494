#!/usr/bin/python3
"""Brokers found as Matahari's agents find them: SRV records of _matahari._tcp and _matahari._tls, and the MATAHARI_* environment.

Runs itself in namespaces of its own, where a name server of a few lines is the one that /etc/resolv.conf names.
"""
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(FOLDER, '..', 'lib'))
sys.path.insert(0, FOLDER)
import mendsite  # noqa: E402
from mendsite import BIN, Site, wait_for  # noqa: E402

INSIDE = 'MEND_TEST_SRV_INSIDE'
A, SRV, AAAA = 1, 33, 28


def name_of(data, at):
    labels = []
    while data[at]:
        labels.append(data[at + 1:at + 1 + data[at]].decode())
        at += 1 + data[at]
    return '.'.join(labels).lower(), at + 1


def packed(name):
    return b''.join(bytes([len(label)]) + label.encode() for label in name.split('.')) + b'\0'


class NameServer:
    """Answers SRV from .services (name -> [(priority, weight, port, target)]) and A with 127.0.0.1 for targets."""

    def __init__(self):
        self.services, self.asked = {}, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(('127.0.0.1', 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            data, peer = self.socket.recvfrom(4096)
            name, end = name_of(data, 12)
            kind = struct.unpack('>H', data[end:end + 2])[0]
            self.asked.append((name, kind))
            answers = []
            if kind == SRV:
                answers = [struct.pack('>HHH', priority, weight, port) + packed(target) for priority, weight, port, target in self.services.get(name, [])]
            elif kind == A and name.endswith('.example'):
                answers = [socket.inet_aton('127.0.0.1')]
            known = answers or name.endswith('.example') and kind in (A, AAAA)
            head = data[:2] + struct.pack('>HHHHH', 0x8580 if known else 0x8583, 1, len(answers), 0, 0) + data[12:end + 4]
            self.socket.sendto(head + b''.join(b'\xc0\x0c' + struct.pack('>HHIH', kind, 1, 1, len(each)) + each for each in answers), peer)


class Srv(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.names = NameServer()

    def setUp(self):
        self.mend = Site()
        self.addCleanup(lambda: self.mend.__exit__(AssertionError if mendsite.failed(self) else None, None, None))
        self.mend.broker('--anonymous')
        self.names.services = {}
        self.names.asked.clear()

    def guest(self, *options, **environment):
        os.environ.update(environment)
        self.addCleanup(lambda: [os.environ.pop(name, None) for name in environment])
        known = set(self.mend.agents())
        self.mend.start('guest', os.path.join(BIN, 'mend-guest'), '--data', self.mend.path('guest'), '--id', '6a1f0c3e-0000-4000-8000-000000000001', '--anonymous', *options)
        wait_for('the guest', lambda: set(self.mend.agents()) - known, 20)

    def test_the_brokers_of_a_domain_in_their_order(self):
        """The first of them is not there; the second is."""
        with socket.socket() as closed:
            closed.bind(('127.0.0.1', 0))
            self.names.services = {'_matahari._tcp.example': [(20, 0, self.mend.port, 'second.example'),
                                                              (10, 0, closed.getsockname()[1], 'first.example')]}
        self.guest('--broker', 'amqp+srv://example')
        asked = [name for name, kind in self.names.asked if kind in (A, SRV)]
        self.assertEqual(asked[0], '_matahari._tcp.example')
        self.assertLess(asked.index('first.example'), asked.index('second.example'))

    def test_with_tls_the_domain_is_who_it_must_be(self):
        """A name server cannot make another host the broker: the certificate is asked for the domain's name."""
        self.names.services = {'_matahari._tls.example': [(1, 0, self.mend.port, 'bus.example')]}
        refused = self.mend.mend('agents', '--broker', 'amqps+srv://example', check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn(('_matahari._tls.example', SRV), self.names.asked)
        told = self.mend.mend('agents', '--broker', 'amqps+srv://example?tls=localhost')
        self.assertIn('agent', told.stdout)

    def test_a_domain_without_brokers_is_a_clear_error(self):
        failed = self.mend.mend('agents', '--broker', 'amqp+srv://nothing.example', check=False)
        self.assertNotEqual(failed.returncode, 0)
        self.assertIn('nothing.example', failed.stderr)

    def test_the_environment_of_mataharis_tools(self):
        self.guest(MATAHARI_BROKER='bus.example', MATAHARI_PORT=str(self.mend.port))
        self.assertIn(('bus.example', A), self.names.asked)


if __name__ == '__main__':
    if INSIDE not in os.environ:
        try:
            able = os.geteuid() == 0 and subprocess.run(['unshare', '-m', '-n', 'true'], stderr=subprocess.DEVNULL).returncode == 0
        except OSError:
            able = False
        if not able:
            print('skipped: needs root and unshare(1)')
            sys.exit(77)
        with tempfile.NamedTemporaryFile('w', suffix='.resolv') as resolv:
            resolv.write('nameserver 127.0.0.1\noptions timeout:2 attempts:2\n')
            resolv.flush()
            script = 'ip link set lo up && ip addr add 192.0.2.1/32 dev lo && mount --bind %s /etc/resolv.conf && exec "$@"' % resolv.name
            sys.exit(subprocess.run(['unshare', '-m', '-n', 'sh', '-ec', script, 'sh', sys.executable, os.path.abspath(__file__), *sys.argv[1:]],
                                    env=dict(os.environ, **{INSIDE: '1'})).returncode)
    unittest.main()
