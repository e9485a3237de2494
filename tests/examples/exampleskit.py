"""The programs of docs/examples/subscriber beside a site: started, fed, and looked at."""
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid

from proton import Message
from proton.utils import BlockingConnection

import mendsite
from mendsite import wait_for

FOLDER = os.path.join(mendsite.SOURCE, 'docs', 'examples', 'subscriber')
sys.path.insert(0, FOLDER)
ID = '6a1f0c3e-0000-4000-8000-000000000001'
AGENT = 'example.org:agent:' + ID
SERVICE = 'service/%s/%%s' % ID
PYTHON = '/usr/bin/python3'


def program(name):
    return os.path.join(FOLDER, name)


class Site(mendsite.Site):
    def up(self):
        """The whole of it in one process, without agents of its own."""
        announced = os.path.join(self.data, 'run', 'broker.url')
        process = self.start('up', os.path.join(mendsite.BIN, 'mend'), 'up', '--listen', '127.0.0.1:0', '--data', self.data, '--no-agent', '--no-host-agent')
        wait_for('mend up', lambda: 'this engine acts' in self.log('up') or process.poll() is not None, 40)
        with open(announced) as text:
            self.port = int(text.read().strip().rstrip('/').rpartition(':')[2])

    def json(self, *arguments, **more):
        """Nothing while the broker is too busy to answer: who waits asks again."""
        done = self.mend(*arguments, '--json', check=False, **more)
        return json.loads(done.stdout) if done.returncode == 0 else []

    def url(self, scheme='amqps'):
        return '%s://%s:%d' % (scheme, 'localhost' if scheme == 'amqps' else '127.0.0.1', self.port)

    def password_file(self, user):
        return os.path.join(self.data, 'credentials', user)

    def ca(self):
        return os.path.join(self.data, 'tls', 'ca.pem')

    def enrol(self):
        """Path of the agent's password."""
        return self.write('agent.password', re.search(r'^password: "?([^"\n]+)', self.mend('enrol', ID).stdout, re.M).group(1))

    def agent(self, *service, lab=False):
        login = [] if lab else ['--user', 'agent-' + ID, '--password-file', self.path('agent.password'), '--ca', self.ca()]
        return self.start('agent', PYTHON, '-u', program('agent.py'), self.url('amqp' if lab else 'amqps'), '--id', ID, '--ledger', self.path('ledger'),
                          *login, *service)

    def child(self):
        """Process id of the service the agent runs; 0: none."""
        agent = self.running['agent'].pid
        with open('/proc/%d/task/%d/children' % (agent, agent)) as children:
            found = children.read().split()
        return int(found[0]) if found else 0

    def kill_child(self):
        """kill -9 of the service, once it is there."""
        child = wait_for('the service', self.child, 40)
        os.kill(child, signal.SIGKILL)
        wait_for('its end', lambda: self.child() != child, 40)

    def lines(self, name):
        """What a subscriber printed: (event or state, time, type without prefix and version, subject, data)."""
        found = [line.split(' ', 4) for line in self.log(name).splitlines() if line.startswith(('event ', 'state '))]
        return [(word, time, re.fullmatch(r'org\.matahariproject\.mend\.(.*)\.v1', kind).group(1), subject, data)
                for word, time, kind, subject, data in found]

    def told(self, name, kind, subject):
        return [line for line in self.lines(name) if line[2:4] == (kind, subject)]


class Feeder:
    """An agent that says whatever a test wants; a lab's broker."""

    def __init__(self, site):
        self.connection = BlockingConnection(site.url('amqp'), timeout=20)
        self.bus = self.connection.create_sender('qmf.default.topic')
        self.sequence = 0

    def say(self, subject, opcode, body, **properties):
        self.bus.send(Message(subject=subject, body=body, properties=dict(
            {'x-amqp-0-10.app-id': 'qmf2', 'qmf.opcode': opcode, 'qmf.agent': AGENT}, **properties)))

    def beat(self):
        self.say('agent.ind.heartbeat.example_org.agent', '_agent_heartbeat_indication', {'_values': {
            '_name': AGENT, '_vendor': 'example.org', '_product': 'agent', '_instance': ID, '_epoch': 1, '_heartbeat_interval': 60,
            'mend.vm': ID, 'mend.capabilities': ['control-queue', 'service-events', 'commands']}})

    def tell(self, name, state):
        self.sequence += 1
        self.say('agent.ind.event.org.matahariproject.mend.service_state', '_data_indication', [{
            '_schema_id': {'_package_name': 'org.matahariproject.mend', '_class_name': 'service_state', '_type': '_event'},
            '_values': {'name': name, 'standard': 'process', 'state': state, 'intent': 'none', 'sequence': self.sequence,
                        'occurred_us': time.time_ns() // 1000}}], **{'qmf.content': '_event'})

    def close(self):
        self.connection.close()


class Asker:
    """A console that also commands, in a lab."""

    def __init__(self, site):
        import why
        self.connection = BlockingConnection(site.url('amqp'), timeout=20)
        self.console = why.Console(self.connection)
        self.broker = self.console.locate('mend-broker')

    def claim(self):
        return self.console.call(self.broker, 'Site', 'claim', engine='test')['epoch']

    def close(self):
        self.connection.close()


def new_id():
    return str(uuid.uuid4())


__all__ = ['AGENT', 'Asker', 'Feeder', 'FOLDER', 'ID', 'PYTHON', 'SERVICE', 'Site', 'new_id', 'program', 'wait_for']
