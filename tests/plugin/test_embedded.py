#!/usr/bin/python3
"""The Mend plugin inside the real broker, met by a client nobody here wrote (python3-qpid-proton).

A guest's heartbeat and events come out as CloudEvents; an engine claims the seat and its command reaches the guest's own queue;
a command nobody may give is refused; the guest's death is told within 50 ms; identity and epoch survive the broker."""
import atexit
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid

from proton import Delivery, Described, Message, int32, symbol, uint, ulong
from proton.utils import BlockingConnection
from proton.reactor import ReceiverOption

MEND = os.path.join(os.environ['MEND_BUILD_DIR'], 'bin', 'mend')
ID = '00000000-0000-4000-8000-000000000001'
AGENT = 'matahariproject.org:mend-guest:' + ID


class Broker:
    def __init__(self, data):
        self.process = subprocess.Popen([MEND, 'broker', '--lab', '--listen', '127.0.0.1:0', '--data', data],
                                        stdout=subprocess.PIPE, text=True)
        atexit.register(self.process.kill)
        line = self.process.stdout.readline()
        assert 'listening on' in line, line
        self.url = 'amqp://' + line.split('listening on ')[1].split()[0]

    def connect(self):
        return BlockingConnection(self.url, timeout=10, allowed_mechs='ANONYMOUS')

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        assert self.process.wait(20) in (0, -how), self.process.returncode


class Subject(ReceiverOption):
    def __init__(self, key):
        self.key = key

    def apply(self, receiver):
        receiver.source.filter.put_dict({symbol('subject-filter'): Described(symbol('apache.org:legacy-amqp-topic-binding:string'), self.key)})


def qmf(opcode, body, subject, content=None, agent=None, **more):
    properties = {'x-amqp-0-10.app-id': 'qmf2', 'qmf.opcode': opcode, 'method': 'indication'}
    if content:
        properties['qmf.content'] = content
    if agent:
        properties['qmf.agent'] = agent
    properties.update(more.pop('properties', {}))
    return Message(body=body, subject=subject, properties=properties, content_type='amqp/map' if isinstance(body, dict) else 'amqp/list', **more)


def heartbeat(number, services=None, events=0, boot='b0070000-0000-4000-8000-000000000001'):
    attributes = {'_vendor': 'matahariproject.org', '_product': 'mend-guest', '_instance': ID, '_name': AGENT, '_epoch': uint(1),
                  'hostname': 'guest-1', 'mend.vm': ID, 'mend.boot_id': boot, 'mend.sequence': ulong(number),
                  'mend.next_due_ms': uint(5000), 'mend.capabilities': ['control-queue', 'commands'],
                  'mend.event_sequence': ulong(events), 'mend.services': services or {}}
    return qmf('_agent_heartbeat_indication', {'_values': attributes}, 'agent.ind.heartbeat.matahariproject.org.mend-guest', agent=AGENT)


def service(name, state, number):
    now = int(time.time() * 1e6)
    event = {'_schema_id': {'_package_name': 'org.matahariproject.mend', '_class_name': 'service_state', '_type': '_event'},
             '_severity': int32(5), '_timestamp': ulong(now * 1000),
             '_values': {'name': name, 'standard': 'systemd', 'state': state, 'intent': 'none', 'sequence': ulong(number), 'occurred_us': now}}
    return qmf('_data_indication', [event], 'agent.ind.event.org.matahariproject.mend.service_state', '_event', AGENT)


def accept(receiver):
    if receiver.fetcher.unsettled:  # pre-settled ones need nothing
        receiver.accept()


def wait_for(condition, what, timeout=10):
    end = time.time() + timeout
    while not condition():
        assert time.time() < end, 'no ' + what
        time.sleep(0.02)


def take(receiver, kind, timeout=5):
    """The next event of that kind; its data, with the CloudEvents attributes under '@'."""
    end = time.time() + timeout
    while time.time() < end:
        message = receiver.receive(timeout=max(0.1, end - time.time()))
        accept(receiver)
        if message.properties['cloudEvents_type'] == 'org.matahariproject.mend.%s.v1' % kind:
            data = json.loads(bytes(message.body))
            data['@'] = message.properties
            return data
    raise AssertionError('no ' + kind)


def site_name(connection):
    """Found as any QMF console finds it: by a locate request."""
    key = 'direct-console.' + str(uuid.uuid4())
    receiver = connection.create_receiver('qmf.default.topic', options=Subject(key))
    sender = connection.create_sender('qmf.default.topic')
    sender.send(qmf('_agent_locate_request', {}, 'console.request.agent_locate', reply_to='qmf.default.topic/' + key, correlation_id='1'))
    name = None
    while name is None or ':mend-broker:' not in name:
        message = receiver.receive(timeout=5)
        accept(receiver)
        name = message.properties['qmf.agent']
    receiver.close()
    sender.close()
    return name


def call(connection, name, method, arguments):
    key = 'direct-console.' + str(uuid.uuid4())
    receiver = connection.create_receiver('qmf.default.topic', options=Subject(key))
    sender = connection.create_sender('qmf.default.direct')
    body = {'_object_id': {'_agent_name': name, '_object_name': 'Site'}, '_method_name': method, '_arguments': arguments}
    sender.send(qmf('_method_request', body, name, reply_to='qmf.default.topic/' + key, correlation_id='7'))
    message = receiver.receive(timeout=5)
    accept(receiver)
    assert message.correlation_id == '7'
    receiver.close()
    sender.close()
    return message.properties['qmf.opcode'], bytes(message.body)


def number_in(body, name):
    """The integer after a name in an AMQP 0-10 map; enough for the answers here."""
    at = body.index(name.encode()) + len(name)
    width = {0x02: 1, 0x12: 2, 0x22: 4, 0x32: 8, 0x01: 1, 0x11: 2, 0x21: 4, 0x31: 8}[body[at]]
    return int.from_bytes(body[at + 1:at + 1 + width], 'big')


def command(epoch, method='restart', ident=None, deadline_s=30):
    ident = ident or str(uuid.uuid4())
    body = {'_object_id': {'_agent_name': AGENT, '_object_name': 'Guest'}, '_method_name': method, '_arguments': {'name': 'nginx', 'timeout_ms': uint(5000)}}
    return qmf('_method_request', body, AGENT, reply_to='mend.results', correlation_id=ident, durable=True,
               properties={'mend.command-id': ident, 'mend.epoch': ulong(epoch), 'mend.deadline': int((time.time() + deadline_s) * 1000),
                           'mend.incident': str(uuid.uuid4()), 'mend.entity': 'service/%s/nginx' % ID})


def refused(sender, message):
    delivery = sender.link.send(message)
    sender.connection.wait(lambda: delivery.remote_state, timeout=5)
    state, text = delivery.remote_state, str(delivery.remote.condition)
    delivery.settle()
    assert state == Delivery.REJECTED, state
    return text


def first_life(data):
    broker = Broker(data)
    watcher, guest, engine = broker.connect(), broker.connect(), broker.connect()
    events = watcher.create_receiver('mend.events', options=Subject('#'), credit=100)
    talk = guest.create_sender('qmf.default.topic')

    talk.send(heartbeat(1))
    up = take(events, 'agent.up')
    assert up['@']['cloudEvents_subject'] == 'agent/' + AGENT and up['hostname'] == 'guest-1', up
    talk.send(service('nginx', 'running', 1))
    take(events, 'service.running')
    began = time.time()
    talk.send(service('nginx', 'failed', 2))
    failed = take(events, 'service.failed')
    print('event in -> event out: %.2f ms' % ((time.time() - began) * 1000))
    assert failed['@']['cloudEvents_subject'] == 'service/%s/nginx' % ID and failed['vm'] == ID, failed

    name = site_name(engine)
    opcode, answer = call(engine, name, 'claim', {'engine': 'test'})
    assert opcode == '_method_response', answer
    epoch = number_in(answer, 'epoch')
    assert epoch == 1, epoch
    commands = engine.create_sender('mend.control.' + AGENT)
    print('stale epoch:', refused(commands, command(epoch + 1)))
    print('past deadline:', refused(commands, command(epoch, deadline_s=-1)))
    ident = str(uuid.uuid4())
    commands.send(command(epoch, ident=ident))
    own = guest.create_receiver('mend.control.' + AGENT)
    got = own.receive(timeout=5)
    accept(own)
    assert got.correlation_id == ident and got.properties['mend.epoch'] == 1, got
    results = guest.create_sender('mend.results')
    results.send(qmf('_method_response', {'_arguments': {'rc': int32(0)}}, None, agent=AGENT, correlation_id=ident,
                     properties={'mend.command-id': ident, 'mend.state': 'done'}))
    done = take(events, 'command.done')
    assert done['command'] == ident and done['@']['cloudEvents_subject'] == 'service/%s/nginx' % ID, done

    began = time.time()
    guest.close()
    closed = take(events, 'agent.closed')
    took = (time.time() - began) * 1000
    print('connection ended -> agent.closed: %.2f ms' % took)
    assert took < 50 or os.environ.get('MEND_SLOW_MACHINE'), took
    wait_for(lambda: glob.glob(os.path.join(data, 'plugin', 'registry.[0-9][0-9]')), 'the registry on disk')
    broker.stop(signal.SIGKILL)
    return name, int(closed['@']['cloudEvents_sequence'])


def second_life(data, name, newest):
    broker = Broker(data)
    watcher, guest, engine = broker.connect(), broker.connect(), broker.connect()
    events = watcher.create_receiver('mend.events', options=Subject('#'), credit=100)
    assert site_name(engine) == name
    assert number_in(call(engine, name, 'claim', {'engine': 'test'})[1], 'epoch') == 2
    talk = guest.create_sender('qmf.default.topic')
    talk.send(heartbeat(9, {'nginx': 'failed'}, events=2, boot='b0070000-0000-4000-8000-000000000002'))
    rebooted = take(events, 'vm.rebooted')
    assert rebooted['previous'].endswith('1') and rebooted['boot_id'].endswith('2'), rebooted
    assert int(rebooted['@']['cloudEvents_sequence']) > newest
    failed = take(events, 'service.failed')
    assert failed['repaired'] is True, failed
    broker.stop()


def main():
    with tempfile.TemporaryDirectory() as data:
        name, newest = first_life(data)
        second_life(data, name, newest)
    for arguments, wanted in ((['--plugin', '/nonexistent.so'], 'no such file'), (['--plugin-config', '{"rate_per_s": 0}'], 'rate_per_s'),
                              (['--plugin-config', '{'], '--plugin-config:1:')):
        failed = subprocess.run([MEND, 'broker', '--lab', '--listen', '127.0.0.1:0'] + arguments, capture_output=True, text=True, timeout=20)
        assert failed.returncode != 0 and wanted in failed.stderr, failed
    return 0


sys.exit(main())
