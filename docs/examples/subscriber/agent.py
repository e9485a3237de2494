#!/usr/bin/python3
"""An agent for one service: runs a program, says how it is, and starts and stops it when the policy says so.

    agent.py amqp://127.0.0.1:5672 --id ID web python3 -m http.server                  # a broker started with --lab
    agent.py amqps://broker:5672 --user agent-ID --password-file FILE --ca CA --id ID …   # after `mend enrol ID`

It is the least an agent can be (docs/subscribers.md): heartbeats, one event for each change of state, commands that run at most once.
Needs python3-qpid-proton, and nothing of Mend.
"""
import argparse
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time

from proton import Message, SSLDomain
from proton.handlers import MessagingHandler
from proton.reactor import Backoff, Container

HEARTBEAT_S, LOOK_S, STOP_S = 5, 0.1, 3
EVENT = {'_package_name': 'org.matahariproject.mend', '_class_name': 'service_state', '_type': '_event'}


class Refused(Exception):
    """error: a word from docs/subscribers.md; the text is for people."""

    def __init__(self, error, text):
        super().__init__(text)
        self.error = error


class Ledger:
    """Which commands ran here, on disk: a command may arrive twice, also after we were killed, and must not run twice."""

    def __init__(self, path):
        self.answers, self.epochs = {}, {} # the highest epoch of each shard; 0: of the site
        if os.path.exists(path):
            with open(path) as lines:
                for line in lines:
                    if line.endswith('\n'): # a power cut leaves half a line
                        self.take(json.loads(line))
        self.file = open(path, 'a')

    def take(self, record):
        shard = record.get('shard', 0)
        self.epochs[shard] = max(self.epochs.get(shard, 0), record['epoch'])
        self.answers[record['id']] = record.get('answer') or {
            'state': 'failed', 'error': 'interrupted', 'text': 'this agent was restarted while it ran', 'values': None}

    def write(self, **record):
        self.take(record)
        self.file.write(json.dumps(record) + '\n')
        self.file.flush()
        os.fsync(self.file.fileno())


class Service:
    def __init__(self, name, command):
        self.name, self.command = name, command
        self.process, self.state, self.reason = None, 'stopped', ''

    def start(self):
        if self.process is None:
            try:
                self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL)
            except OSError as error:
                self.state, self.reason = 'failed', str(error)
                return
        self.state, self.reason = 'running', ''

    def stop(self):
        """Waits a little, less than a heartbeat; who serves more than one service waits without standing still."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process, self.state, self.reason = None, 'stopped', ''

    def look(self):
        """True: it ended by itself."""
        if self.process is None or self.process.poll() is None:
            return False
        self.state, self.reason = 'failed', 'ended with status %d' % self.process.returncode
        self.process = None
        return True

    def pid(self):
        return self.process.pid if self.process else 0


class Agent(MessagingHandler):
    def __init__(self, options):
        super().__init__()
        self.options, self.id = options, options.id
        self.name = 'example.org:agent:' + options.id
        self.service = Service(options.name, options.command)
        self.ledger = Ledger(options.ledger)
        self.started, self.beats, self.told = int(time.time()), 0, 0
        self.unsaid = {} # command id -> answer the broker has not taken yet
        with open('/proc/sys/kernel/random/boot_id') as boot_id:
            self.boot_id = boot_id.read().strip()

    def on_start(self, event):
        options, more = self.options, {}
        if options.user:
            with open(options.password_file) as password:
                more = {'user': options.user, 'password': password.read().strip()}
        if options.ca:
            more['ssl_domain'] = SSLDomain(SSLDomain.MODE_CLIENT)
            more['ssl_domain'].set_trusted_ca_db(options.ca)
            more['ssl_domain'].set_peer_authentication(SSLDomain.VERIFY_PEER_NAME)
        self.container, self.control, self.next_beat = event.container, None, 0
        self.connection = self.container.connect(options.url, heartbeat=30, reconnect=Backoff(max_delay=5), **more)
        self.bus = self.container.create_sender(self.connection, 'qmf.default.topic')
        self.results = self.container.create_sender(self.connection, 'mend.results')
        self.service.start()
        self.container.schedule(LOOK_S, self)

    def on_link_opened(self, event):
        if event.link == self.bus:
            self.beat()
        elif event.link == self.results:
            for command, answer in self.unsaid.items():
                self.results.send(answer, tag=command)

    def on_timer_task(self, event):
        if self.service.look():
            self.tell('running', 'none')
        if time.monotonic() >= self.next_beat:
            self.beat()
        event.container.schedule(LOOK_S, self)

    # What we say: QMFv2 indications. Those that get lost do no harm: each heartbeat has the state of everything, too.

    def say(self, subject, opcode, body, **properties):
        if self.bus.credit > 0:
            self.bus.send(Message(subject=subject, body=body, properties=dict(
                {'x-amqp-0-10.app-id': 'qmf2', 'method': 'indication', 'qmf.opcode': opcode, 'qmf.agent': self.name}, **properties)))

    def beat(self):
        self.beats += 1
        self.next_beat = time.monotonic() + HEARTBEAT_S
        self.say('agent.ind.heartbeat.example_org.agent', '_agent_heartbeat_indication', {'_values': {
            '_vendor': 'example.org', '_product': 'agent', '_instance': self.id, '_name': self.name, '_epoch': self.started,
            '_heartbeat_interval': HEARTBEAT_S, '_timestamp': time.time_ns(),
            'hostname': socket.gethostname(), 'mend.vm': self.id, 'mend.boot_id': self.boot_id, 'mend.sequence': self.beats,
            'mend.next_due_ms': HEARTBEAT_S * 1000, 'mend.capabilities': ['control-queue', 'service-events', 'commands'],
            'mend.services': {self.service.name: self.service.state}, 'mend.event_sequence': self.told}})
        if self.control is None and self.bus.credit > 0: # its queue is there once the broker knows us
            self.control = self.container.create_receiver(self.connection, 'mend.control.' + self.name)

    def on_link_error(self, event):
        if event.link != self.control:
            raise SystemExit('the broker refuses %s: %s' % (event.link.name, event.link.remote_condition.description))
        self.control = None # we were too early
        self.next_beat = time.monotonic() + 1

    def tell(self, previous, intent):
        """intent: none (nobody wanted it: a failure) or command (Mend did)."""
        self.told += 1
        self.say('agent.ind.event.org.matahariproject.mend.service_state', '_data_indication', [{'_schema_id': EVENT, '_values': {
            'name': self.service.name, 'standard': 'process', 'provider': '', 'agent': self.service.command[0],
            'state': self.service.state, 'previous': previous, 'intent': intent, 'reason': self.service.reason,
            'rc': 0 if self.service.state == 'running' else 7, 'pid': self.service.pid(),
            'sequence': self.told, 'boot_id': self.boot_id, 'occurred_us': time.time_ns() // 1000}}], **{'qmf.content': '_event'})

    # What we are told: commands, on a queue of our own.

    def on_message(self, event):
        asked = event.message.properties
        identity, shard = asked['mend.command-id'], asked.get('mend.shard', 0)
        if identity in self.ledger.answers:
            self.answer(event.message, self.ledger.answers[identity])
            return
        try:
            method, arguments = self.check(event.message)
            self.ledger.write(id=identity, shard=shard, epoch=asked['mend.epoch'])
            answer = self.run(method, arguments)
        except Refused as refused:
            answer = {'state': 'refused', 'error': refused.error, 'text': str(refused), 'values': None}
        self.ledger.write(id=identity, shard=shard, epoch=min(asked['mend.epoch'], self.ledger.epochs.get(shard, 0)), answer=answer)
        self.answer(event.message, answer)

    def check(self, message):
        body = read_map(bytes(message.body))[0]
        method, arguments = body['_method_name'], body['_arguments']
        if message.properties['mend.epoch'] < self.ledger.epochs.get(message.properties.get('mend.shard', 0), 0):
            raise Refused('stale-epoch', 'another policy engine acts by now')
        if message.properties['mend.deadline'] < time.time() * 1000:
            raise Refused('deadline-passed', 'it came too late')
        if method not in ('start', 'stop', 'restart'):
            raise Refused('unknown-method', 'Unknown method: ' + method)
        if arguments.get('name') != self.service.name:
            raise Refused('not-found', 'no such service')
        return method, arguments

    def run(self, method, arguments):
        previous = self.service.state
        if method in ('stop', 'restart'):
            self.service.stop()
        if method in ('start', 'restart'):
            self.service.start()
        self.tell(previous, 'command')
        fine = self.service.state == ('stopped' if method == 'stop' else 'running')
        return {'state': 'done' if fine else 'failed', 'error': None if fine else 'failed', 'text': self.service.reason,
                'values': {'rc': 0 if fine else 1, 'state': self.service.state, 'pid': self.service.pid(), 'text': self.service.reason}}

    def answer(self, command, answer):
        asked = command.properties
        properties = {'x-amqp-0-10.app-id': 'qmf2', 'method': 'response', 'qmf.agent': self.name, 'mend.state': answer['state'],
                      'mend.command-id': asked['mend.command-id'], 'mend.entity': asked['mend.entity'],
                      'mend.incident': asked['mend.incident'],
                      'qmf.opcode': '_exception' if answer['values'] is None else '_method_response'}
        if answer['error']:
            properties.update({'mend.error': answer['error'], 'mend.text': answer['text']})
        body = {'_values': {'error_text': answer['text']}} if answer['values'] is None else {'_arguments': answer['values']}
        message = Message(correlation_id=command.correlation_id, body=body, properties=properties, durable=True)
        self.unsaid[asked['mend.command-id']] = message
        self.results.send(message, tag=asked['mend.command-id'])

    def on_settled(self, event):
        self.unsaid.pop(event.delivery.tag, None)


# Commands come in the encoding all QMF agents read, that of AMQP 0-10: maps of names to values, each with a type byte.

NUMBERS = {0x08: '?', 0x01: 'b', 0x02: 'B', 0x11: '>h', 0x12: '>H', 0x21: '>i', 0x22: '>I', 0x31: '>q', 0x32: '>Q', 0x23: '>f', 0x33: '>d'}
TEXTS = {0x85: '>B', 0x95: '>H', 0x80: '>B', 0x90: '>H', 0xa0: '>I'}


def read_map(data, at=0):
    """(map, where it ends)"""
    size, count = struct.unpack_from('>II', data, at)
    end, at, found = at + 4 + size, at + 8, {}
    for _ in range(count):
        n = data[at]
        name = data[at + 1:at + 1 + n].decode()
        found[name], at = read_value(data, at + 1 + n)
    return found, end


def read_value(data, at):
    kind, at = data[at], at + 1
    if kind in NUMBERS:
        return struct.unpack_from(NUMBERS[kind], data, at)[0], at + struct.calcsize(NUMBERS[kind])
    if kind in TEXTS:
        n, at = struct.unpack_from(TEXTS[kind], data, at)[0], at + struct.calcsize(TEXTS[kind])
        return data[at:at + n].decode(), at + n
    if kind == 0xa8:
        return read_map(data, at)
    if kind == 0xf0:
        return None, at
    raise Refused('bad-argument', 'a value of the type 0x%02x' % kind)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('url')
    parser.add_argument('--id', required=True, help='of the machine, as it was enrolled')
    parser.add_argument('--user')
    parser.add_argument('--password-file')
    parser.add_argument('--ca', metavar='FILE', help="the site's CA")
    parser.add_argument('--ledger', metavar='FILE', default='agent.ledger', help='where it is kept which commands ran [agent.ledger]')
    parser.add_argument('name', help='of the service')
    parser.add_argument('command', nargs=argparse.REMAINDER, help='what to run')
    agent = Agent(parser.parse_args())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        Container(agent).run()
    finally:
        agent.service.stop()


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        pass
