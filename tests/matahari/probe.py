"""An engine and an asker on python3-qpid-proton: a client nobody here wrote, so that tests do not trust only our own."""
import os
import time
import uuid

from proton import Described, Message, SSLDomain, symbol, ulong
from proton.reactor import Filter
from proton.utils import BlockingConnection

from wire import I32, Reader, map_010


def connect(mend, user):
    """Debian's proton has no SCRAM, so the password goes in the clear, inside TLS."""
    domain = SSLDomain(SSLDomain.MODE_CLIENT)
    domain.set_trusted_ca_db(os.path.join(mend.data, 'tls', 'ca.pem'))
    domain.set_peer_authentication(SSLDomain.VERIFY_PEER, os.path.join(mend.data, 'tls', 'ca.pem'))
    return BlockingConnection('amqps://127.0.0.1:%d' % mend.port, timeout=10, user=user, password=mend.password(user), allowed_mechs='PLAIN',
                              ssl_domain=domain)


def request(agent, target, method, arguments, **more):
    body = {'_method_name': method, '_arguments': {key: I32(value) if isinstance(value, int) else value for key, value in arguments.items()},
            '_object_id': {'_agent_name': agent, '_object_name': target}}
    message = Message(body=map_010(body), content_type=symbol('amqp/map'), **more)
    message.inferred = True
    message.properties = dict(message.properties or {}, **{'method': 'request', 'qmf.opcode': '_method_request',
                                                           'x-amqp-0-10.app-id': 'qmf2'})
    return message


def take(receiver, timeout):
    message = receiver.receive(timeout)
    if receiver.fetcher.unsettled:  # topics deliver settled unless asked not to
        receiver.accept()
    return message


def body_of(message):
    return Reader(bytes(message.body)).map_010() if isinstance(message.body, (bytes, memoryview)) else message.body


def ask(mend, agent, reply_to):
    """A method request whose answer goes where nobody is."""
    connection = connect(mend, 'operator')
    sender = connection.create_sender('qmf.default.direct')
    sender.send(request(agent, 'Services', 'list', {}, subject=agent, reply_to=reply_to, correlation_id='1'))
    connection.close()


class Engine:
    """The acting engine: claims the site, then sends commands and reads their results."""

    def __init__(self, mend):
        self.connection = connect(mend, 'engine')
        self.results = self.connection.create_receiver('mend.results', credit=10)
        self.epoch = self.claim()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def claim(self):
        key = 'direct-console.%s' % uuid.uuid4()
        answers = self.connection.create_receiver('qmf.default.topic', credit=10, options=Filter(
            {symbol('subject-filter'): Described(ulong(0x468C00000000), key)}))
        sender = self.connection.create_sender('qmf.default.topic')
        locate = Message(body=b'\0\0\0\4\0\0\0\0', subject='console.request.agent_locate', reply_to='qmf.default.topic/' + key,
                         content_type=symbol('amqp/list'), correlation_id='0', properties={
                             'method': 'request', 'qmf.opcode': '_agent_locate_request', 'x-amqp-0-10.app-id': 'qmf2'})
        locate.inferred = True
        sender.send(locate)
        while True:
            name = take(answers, 10).properties['qmf.agent']
            if ':mend-broker:' in name:
                break
        direct = self.connection.create_sender('qmf.default.direct')
        direct.send(request(name, 'Site', 'claim', {'engine': 'test'}, subject=name, reply_to='qmf.default.topic/' + key, correlation_id='1'))
        while True:
            answer = take(answers, 10)
            if answer.correlation_id == '1':
                return body_of(answer)['_arguments']['epoch']

    def command(self, agent, target, method, arguments, lasts_s=20):
        number = str(uuid.uuid4())
        message = request(agent, target, method, arguments, correlation_id=number, reply_to='mend.results')
        message.ttl = lasts_s
        message.properties = dict(message.properties, **{
            'mend.command-id': number, 'mend.epoch': ulong(self.epoch), 'mend.deadline': int((time.time() + lasts_s) * 1000),
            'mend.incident': str(uuid.uuid4()), 'mend.entity': 'service/test/' + str(arguments.get('name'))})
        sender = self.connection.create_sender('mend.control.' + agent)
        sender.send(message)
        sender.close()
        while True:
            answer = take(self.results, lasts_s)
            if answer.correlation_id == number:
                return dict(answer.properties, body=body_of(answer))
