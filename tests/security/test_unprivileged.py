#!/usr/bin/python3
"""A local user without rights can neither command an agent nor pose as one: everything below is tried as `nobody`."""
import os
import pwd
import sys
import traceback
import unittest

try:
    import proton  # noqa: F401
except ImportError:
    print('python3-qpid-proton is not installed')
    sys.exit(77)
if os.geteuid() != 0:
    print('needs root, to become nobody')
    sys.exit(77)
from proton import ConnectionException, Described, Message, SSLDomain, Timeout, symbol
from proton.reactor import Filter
from proton.utils import BlockingConnection, LinkDetached, SendException

import mendsite

# What a class needs later is loaded now: as nobody the source folder may be out of reach.
import encodings.idna  # noqa: F401

NOBODY = pwd.getpwnam('nobody')
ID = '11111111-2222-3333-4444-555555555555'


def as_nobody(work):
    """Runs @work in a child that is nobody; its exception text, or None when it went through."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY.pw_gid, NOBODY.pw_gid, NOBODY.pw_gid)
            os.setresuid(NOBODY.pw_uid, NOBODY.pw_uid, NOBODY.pw_uid)
            work()
            os.write(write, b'went through')
        except BaseException as error:  # the child must not go on with the tests
            os.write(write, ('%s: %s\n%s' % (type(error).__name__, error, traceback.format_exc()[-500:])).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return None if said == 'went through' else said


class Unprivileged(unittest.TestCase):
    options = ()

    @classmethod
    def setUpClass(cls):
        cls.site = mendsite.Site()
        os.chmod(cls.site.folder, 0o755)  # only the data folder itself protects what is in it
        cls.site.broker(*cls.options)
        cls.agent = next((u for u in os.listdir(os.path.join(cls.site.data, 'credentials')) if u.startswith('agent-')), None)

    @classmethod
    def tearDownClass(cls):
        cls.site.__exit__(None)

    def refused(self, work, *names):
        said = as_nobody(work)
        self.assertIsNotNone(said, 'it went through')
        self.assertTrue(said.startswith(names), said)

    def connect(self, **more):
        return BlockingConnection('amqp://127.0.0.1:%d' % self.site.port, timeout=10, **more)

    def log_in(self, user):
        domain = SSLDomain(SSLDomain.MODE_CLIENT)
        domain.set_trusted_ca_db(os.path.join(self.site.data, 'tls', 'ca.pem'))
        domain.set_peer_authentication(SSLDomain.VERIFY_PEER_NAME)
        return BlockingConnection('amqps://localhost:%d' % self.site.port, timeout=10, user=user, password=self.site.password(user), ssl_domain=domain)


class Files(Unprivileged):
    def test_no_file_of_the_site_can_be_read_or_changed(self):
        self.assertIsNone(as_nobody(lambda: open('/etc/passwd').close()), 'the test itself does not work')
        paths = [self.site.data]
        for folder, folders, names in os.walk(self.site.data):
            paths += [os.path.join(folder, name) for name in folders + names]
        self.assertGreater(len(paths), 10)
        for path in paths:
            self.refused(lambda: os.listdir(path) if os.path.isdir(path) else open(path).read(), 'PermissionError', 'NotADirectoryError')
            self.refused(lambda: open(path, 'a'), 'PermissionError', 'IsADirectoryError')
            self.refused(lambda: os.rename(path, path + '.mine'), 'PermissionError')

    def test_the_operators_verbs_say_what_is_missing(self):
        import subprocess
        read = os.path.join(mendsite.BIN, 'mend')
        if as_nobody(lambda: open(read).close()) is not None:
            self.skipTest('the programs lie where nobody cannot reach them')

        def ask():
            done = subprocess.run([read, 'status', '--data', self.site.data], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
            assert done.returncode != 0, 'it answered: ' + done.stdout
            raise PermissionError(done.stderr)
        self.refused(ask, 'PermissionError')


class Closed(Unprivileged):
    """The default: who has no password has no business here."""

    def test_nobody_gets_in(self):
        self.refused(lambda: self.connect(allowed_mechs='ANONYMOUS'), 'ConnectionException')
        self.refused(lambda: self.connect(sasl_enabled=False), 'ConnectionException', 'ConnectionClosed')
        for user in ('operator', 'engine', 'observer', 'root', self.agent or 'agent-x'):
            self.refused(lambda: self.connect(user=user, password='', allowed_mechs='PLAIN', allow_insecure_mechs=True), 'ConnectionException')


class Anonymous(Unprivileged):
    """With --anonymous such a user may be an agent of its own, and nothing more."""
    options = ('--anonymous',)

    def anonymous(self):
        return self.connect(allowed_mechs='ANONYMOUS')

    def send(self, address, **properties):
        self.anonymous().create_sender(address).send(
            Message(subject='org:x:' + ID, body='do it', properties=dict({'x-amqp-0-10.app-id': 'qmf2'}, **properties)))

    def test_it_gets_in_as_itself(self):
        self.assertIsNone(as_nobody(lambda: self.send('qmf.default.topic', **{'qmf.opcode': '_agent_heartbeat_indication', 'qmf.agent': 'org:mine:1'})))

    def test_it_commands_no_agent(self):
        call = {'qmf.opcode': '_method_request'}
        self.refused(lambda: self.send('qmf.default.direct', **call), 'SendException')
        self.refused(lambda: self.send('qmf.default.topic', **call), 'SendException')
        self.refused(lambda: self.send('qmf.default.direct', **dict(call, **{'qmf.agent': 'org:mine:1'})), 'SendException')
        self.refused(lambda: self.send('mend.control.org:x:' + ID, **call), 'LinkDetached')

        def relayed():
            sender = self.anonymous().create_sender(None)
            sender.send(Message(address='mend.control.org:x:' + ID, body='do it', properties=call))
        self.refused(relayed, 'SendException')

    def test_it_poses_as_nobody_else(self):
        if self.agent is None:
            self.skipTest('this machine has no UUID, so no agent is enrolled')
        name = 'matahariproject.org:mend-guest:' + self.agent[len('agent-'):]
        says = {'qmf.opcode': '_data_indication', 'qmf.agent': name}
        exact = Filter({symbol('subject-filter'): Described(symbol('apache.org:legacy-amqp-direct-binding:string'), name)})
        self.refused(lambda: self.send('qmf.default.topic', **says), 'SendException')
        self.refused(lambda: self.send('mend.results', **dict(says, **{'qmf.opcode': '_method_response'})), 'SendException', 'LinkDetached')
        self.refused(lambda: self.anonymous().create_receiver('qmf.default.direct', options=exact), 'LinkDetached')
        self.refused(lambda: self.anonymous().create_receiver('mend.control.' + name), 'LinkDetached')

    def test_it_reads_nothing(self):
        for address in ('mend.events', 'mend.results', 'mend.deadletter', 'qmf.default.topic', 'qmf.default.direct', 'amq.direct', 'anything'):
            self.refused(lambda: self.anonymous().create_receiver(address), 'LinkDetached')
        self.refused(lambda: self.anonymous().create_receiver(None, dynamic=True), 'LinkDetached')

    def test_what_it_tries_is_in_the_log(self):
        self.refused(lambda: self.send('mend.control.org:x:' + ID), 'LinkDetached')
        self.assertIn('denied: anonymous', self.site.log('broker'))

    def test_the_agent_hears_the_operator_and_not_the_intruder(self):
        if self.agent is None:
            self.skipTest('this machine has no UUID, so no agent is enrolled')
        name = 'org:x:' + self.agent[len('agent-'):]
        exact = Filter({symbol('subject-filter'): Described(symbol('apache.org:legacy-amqp-direct-binding:string'), name)})
        agent = self.log_in(self.agent)
        receiver = agent.create_receiver('qmf.default.direct', credit=10, options=exact)

        def intrude():
            self.anonymous().create_sender('qmf.default.direct').send(
                Message(subject=name, body='intruder', properties={'qmf.opcode': '_method_request', 'x-amqp-0-10.app-id': 'qmf2'}))
        self.refused(intrude, 'SendException')
        operator = self.log_in('operator')
        operator.create_sender('qmf.default.direct').send(
            Message(subject=name, body='operator', properties={'qmf.opcode': '_method_request', 'x-amqp-0-10.app-id': 'qmf2'}))
        self.assertEqual(receiver.receive(timeout=10).body, 'operator')
        with self.assertRaises(Timeout):
            receiver.receive(timeout=0.2)
        agent.close()
        operator.close()


if __name__ == '__main__':
    assert ConnectionException and LinkDetached and SendException  # loaded before anybody is nobody
    unittest.main(verbosity=2)
