"""A small world around the policy engine: the plugin's side of the bus (QMF answers, events) and one agent that runs a command id at most
once. Lives in a thread of its own, on python3-qpid-proton, a client nobody here wrote."""
import datetime
import json
import threading
import uuid

from proton import Message, Described, int32, symbol, ulong
from proton.handlers import MessagingHandler
from proton.reactor import ApplicationEvent, Container, EventInjector, ReceiverOption, SenderOption

BROKER_AGENT = 'matahariproject.org:mend-broker:world'
AGENT = 'matahariproject.org:mend-guest:7f761a52-0000-4000-8000-000000000001'
VM = '7f761a52-0000-4000-8000-000000000001'


class Binding(ReceiverOption):
    def __init__(self, kind, key):
        self.name, self.key = 'apache.org:legacy-amqp-%s-binding:string' % kind, key

    def apply(self, receiver):
        receiver.source.filter.put_dict({symbol(self.name): Described(symbol(self.name), self.key)})


class Topic(SenderOption):
    def apply(self, sender):
        sender.target.capabilities.put_object(symbol('topic'))


class World(MessagingHandler):
    """answer(command) -> (state, error, values) decides what the agent does; the default heals the service."""

    def __init__(self, url, answer=None):
        super().__init__(auto_accept=True)
        self.url, self.answer = url, answer or (lambda command: ('done', None, {'rc': int32(0), 'state': 'running'}))
        self.epoch, self.sequence = 0, 0
        self.runs, self.received, self.results = [], [], {}   # ids as run; (id, epoch) as received; id -> answer
        self.states = {}                                      # entity -> (state, sequence, data)
        self.claims, self.asked = 0, 0
        self.engine = ''                                      # who acts, for engines that ask before they claim
        self.lock = threading.Lock()
        self.injector = EventInjector()
        self.ready = threading.Event()
        self.error = None
        self.thread = threading.Thread(target=self.main, daemon=True)
        self.thread.start()
        assert self.ready.wait(10), self.error

    def main(self):
        try:
            Container(self).run()
        except Exception as error:                            # told by whoever waits
            self.error = error

    def on_start(self, event):
        container = event.container
        container.selectable(self.injector)
        self.connection = container.connect(self.url, reconnect=False)
        self.wanted = 0
        for make in (lambda: container.create_receiver(self.connection, 'qmf.default.topic', name='world-topic', options=Binding('topic', 'console.#')),
                     lambda: container.create_receiver(self.connection, 'qmf.default.direct', name='world-direct', options=Binding('direct', BROKER_AGENT)),
                     lambda: container.create_receiver(self.connection, 'mend.control.' + AGENT, name='world-control')):
            make()
            self.wanted += 1
        self.replies = container.create_sender(self.connection, None, name='world-replies')
        self.events = container.create_sender(self.connection, 'mend.events', name='world-events', options=Topic())
        self.result_sender = container.create_sender(self.connection, 'mend.results', name='world-results')
        self.wanted += 3

    def on_link_opened(self, event):
        self.wanted -= 1
        if self.wanted == 0:
            self.ready.set()

    def on_link_error(self, event):
        self.error = event.link.remote_condition

    # --- the plugin's side ---

    def reply(self, request, opcode, content, body):
        node, _, key = request.reply_to.partition('/')
        properties = {'qmf.opcode': opcode, 'qmf.agent': BROKER_AGENT, 'method': 'response', 'x-amqp-0-10.app-id': 'qmf2'}
        if content:
            properties['qmf.content'] = content
        self.replies.send(Message(address=node, subject=key or None, correlation_id=request.correlation_id, properties=properties, body=body))

    def on_request(self, request):
        opcode = request.properties.get('qmf.opcode')
        if opcode == '_agent_locate_request':
            self.reply(request, '_agent_locate_response', None, {'_values': {
                '_vendor': 'matahariproject.org', '_product': 'mend-broker', '_instance': 'world', '_name': BROKER_AGENT,
                '_epoch': 1, '_heartbeat_interval': 5}, '_agent_name': BROKER_AGENT})
        elif opcode == '_method_request' and b'watch' in bytes(request.body or b''):
            self.reply(request, '_method_response', None, {'_arguments': {}})
        elif opcode == '_method_request':
            self.epoch += 1
            self.claims += 1
            self.reply(request, '_method_response', None, {'_arguments': {'epoch': ulong(self.epoch)}})
        elif opcode == '_query_request' and b'Site' in bytes(request.body or b''):
            self.reply(request, '_query_response', '_data', [{'_object_id': {'_object_name': 'Site', '_agent_name': BROKER_AGENT},
                                                              '_values': {'engine': self.engine, 'sequence': ulong(self.sequence)}}])
        elif opcode == '_query_request':
            self.asked += 1
            objects = [{'_object_id': {'_object_name': entity, '_agent_name': BROKER_AGENT},
                        '_schema_id': {'_package_name': 'org.matahariproject.mend', '_class_name': 'Entity'},
                        '_values': {'kind': entity.split('/')[0], 'state': state, 'sequence': ulong(sequence), 'since_us': 0,
                                    'source': AGENT, 'data': data}}
                       for entity, (state, sequence, data) in self.states.items()]
            self.reply(request, '_query_response', '_data', objects)

    def publish(self, entity, state, intent='none', lose=False):
        """From any thread: the plugin holds it to be true and, unless it is to be lost, says so."""
        self.injector.trigger(ApplicationEvent('publish', subject=(entity, state, intent, lose)))

    def on_publish(self, event):
        entity, state, intent, lose = event.subject
        with self.lock:
            self.sequence += 1
            data = {'agent': AGENT, 'vm': VM, 'intent': intent, 'hostname': 'web', 'boot_id': 'boot-1', 'state': state}
            self.states[entity] = (state, self.sequence, data)
            sequence = self.sequence
        if lose:
            return
        now = datetime.datetime.now(datetime.timezone.utc).isoformat().replace('+00:00', 'Z')
        attributes = {'specversion': '1.0', 'id': str(uuid.uuid4()), 'type': 'org.matahariproject.mend.service.%s.v1' % state,
                      'source': AGENT, 'subject': entity, 'time': now, 'sequence': str(sequence), 'severity': '3', 'bootid': 'boot-1'}
        self.events.send(Message(subject='service.%s.%s.%s' % (state, VM, entity.split('/')[-1]), durable=True, inferred=True,
                                 content_type='application/json', body=json.dumps(data).encode(),
                                 properties={'cloudEvents_' + key: value for key, value in attributes.items()}))

    # --- the agent's side ---

    def on_command(self, message):
        command = dict(message.properties)
        identity = command['mend.command-id']
        with self.lock:
            self.received.append((identity, int(command['mend.epoch'])))
            again = identity in self.results
            if not again:
                self.runs.append(identity)
                self.results[identity] = self.answer(command)
        answer = self.results[identity]
        if answer is None:                                    # a silent agent
            return
        state, error, values = answer
        if not again and state == 'done':
            self.publish(command['mend.entity'], values.get('state', 'running'), 'command')
        properties = {'qmf.opcode': '_method_response' if state == 'done' else '_exception', 'qmf.agent': AGENT, 'method': 'response',
                      'mend.command-id': identity, 'mend.incident': command['mend.incident'], 'mend.entity': command['mend.entity'],
                      'mend.state': state}
        if error:
            properties['mend.error'] = error
        body = {'_arguments': values} if state == 'done' else {'_values': {'error_text': error or 'failed'}}
        self.result_sender.send(Message(correlation_id=identity, properties=properties, body=body, durable=True))

    def on_message(self, event):
        if event.receiver.name == 'world-control':
            self.on_command(event.message)
        else:
            self.on_request(event.message)

    def close(self):
        self.injector.trigger(ApplicationEvent('end'))
        self.thread.join(5)

    def on_end(self, event):
        self.injector.close()
        self.connection.close()
        event.container.stop()
