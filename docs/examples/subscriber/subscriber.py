#!/usr/bin/python3
"""Prints what Mend says, one line for each event, and misses nothing: what was lost on the way is asked for.

    subscriber.py amqp://127.0.0.1:5672                                              # a broker started with --lab
    subscriber.py amqps://broker:5672 --user observer --password-file FILE --ca CA   # any other

A line is: event, time, type, subject, data. It begins with "state" instead when the event itself never came and this is what was
true when we asked. Needs python3-qpid-proton, and nothing of Mend.
"""
import argparse
import json
import uuid
from datetime import datetime, timezone

from proton import Described, Message, SSLDomain, symbol, ulong
from proton.handlers import MessagingHandler
from proton.reactor import Backoff, Container, DurableSubscription, ReceiverOption

ASK_EVERY_S = 60
ENTITY = {'_package_name': 'org.matahariproject.mend', '_class_name': 'Entity'}


class Subjects(ReceiverOption):
    """Only messages whose subject fits: words, * for any one, # for any number."""

    def __init__(self, pattern):
        self.pattern = pattern

    def apply(self, receiver):
        kind = symbol('apache.org:legacy-amqp-topic-binding:string')
        receiver.source.filter.put_dict({symbol('subject'): Described(kind, self.pattern)})


class Subscriber(MessagingHandler):
    def __init__(self, options):
        super().__init__(prefetch=options.credit)
        self.options = options
        self.answers_key = 'direct-console.' + str(uuid.uuid4())
        self.seen = {}        # entity -> number of its newest event we know
        self.newest = 0       # number of the newest event of all
        self.complete = 0     # nothing up to this number is missing
        self.plugin = None    # name of the agent that knows what is true
        self.asked_for = None # correlation id of the question that is open

    def on_start(self, event):
        options, more = self.options, {}
        if options.user:
            with open(options.password_file) as password:
                more = {'user': options.user, 'password': password.read().strip()}
        if options.ca:
            more['ssl_domain'] = SSLDomain(SSLDomain.MODE_CLIENT)
            more['ssl_domain'].set_trusted_ca_db(options.ca)
            more['ssl_domain'].set_peer_authentication(SSLDomain.VERIFY_PEER_NAME)
        container = event.container
        container.container_id = options.keep or str(uuid.uuid4())
        connection = container.connect(options.url, heartbeat=30, reconnect=Backoff(max_delay=5), **more)
        # The same container and link name find what a durable subscription kept.
        kept = [DurableSubscription()] if options.keep else []
        self.events = container.create_receiver(connection, 'mend.events', name='events', options=[Subjects(self.pattern()), *kept])
        self.answers = container.create_receiver(connection, 'qmf.default.topic', name='answers', options=Subjects(self.answers_key))
        self.requests = container.create_sender(connection, None, name='requests')
        container.schedule(ASK_EVERY_S, self)

    def pattern(self):
        return '.'.join(word for word in (self.options.kind, self.options.state, '#') if word)

    def on_link_opened(self, event):
        """At the first connection and at each later one: the events are subscribed to already, so what we ask now leaves no hole."""
        if event.link == self.answers:
            self.asked_for = None
            self.request('qmf.default.topic', 'console.request.agent_locate', '_agent_locate_request',
                         ['eq', '_product', ['quote', 'mend-broker']])

    def on_timer_task(self, event):
        self.asked_for = None # an answer may get lost, too
        self.ask()            # also the last event before a silence may have been the one that did not come
        event.container.schedule(ASK_EVERY_S, self)

    def on_message(self, event):
        if event.receiver == self.events:
            self.on_event(event.message)
        else:
            self.on_answer(event.message)

    # Events: CloudEvents 1.0 in binary mode, attributes are application properties.

    def on_event(self, message):
        about = {name[len('cloudEvents_'):]: value for name, value in message.properties.items() if name.startswith('cloudEvents_')}
        number = int(about['sequence'])
        if number > self.seen.get(about['subject'], 0):
            self.seen[about['subject']] = number
            print('event', about['time'], about['type'], about['subject'], bytes(message.body).decode(), flush=True)
        jumped = number > self.newest + 1
        self.newest = max(self.newest, number)
        if jumped and not self.options.kind: # with a filter numbers jump all the time
            self.ask()

    # Questions: QMFv2. "mend.body" asks for answers in plain AMQP 1.0.

    def request(self, node, subject, opcode, body):
        question = str(uuid.uuid4())
        self.requests.send(Message(
            address=node, subject=subject, reply_to='qmf.default.topic/' + self.answers_key, correlation_id=question, body=body,
            properties={'x-amqp-0-10.app-id': 'qmf2', 'qmf.opcode': opcode, 'mend.body': 'amqp-value'}))
        return question

    def ask(self):
        """What is true now of all that changed since we knew everything."""
        if self.plugin is None or self.asked_for is not None:
            return
        where = ['and', ['gt', 'sequence', ['quote', ulong(self.complete)]]]
        if self.options.kind:
            where.append(['eq', 'kind', ['quote', self.options.kind]])
        if self.options.state:
            where.append(['eq', 'state', ['quote', self.options.state]])
        self.up_to = self.newest
        self.asked_for = self.request('qmf.default.direct', self.plugin, '_query_request',
                                      {'_what': 'OBJECT', '_schema_id': ENTITY, '_where': where})

    def on_answer(self, message):
        opcode = message.properties['qmf.opcode']
        if opcode == '_agent_locate_response':
            self.plugin = message.body['_values']['_name']
            self.ask()
        elif opcode == '_query_response' and message.correlation_id == self.asked_for:
            for entity in message.body:
                self.on_entity(entity['_object_id']['_object_name'], entity['_values'])
            if 'partial' not in message.properties: # the last part of the answer
                self.asked_for = None
                self.complete = self.up_to
                if not self.options.kind and self.newest > self.up_to + 1:
                    self.ask()

    def on_entity(self, subject, values):
        if values['sequence'] <= self.seen.get(subject, 0):
            return
        self.seen[subject] = values['sequence']
        self.newest = max(self.newest, values['sequence'])
        since = datetime.fromtimestamp(values['since_us'] / 1e6, timezone.utc).isoformat(timespec='microseconds').replace('+00:00', 'Z')
        kind = 'org.matahariproject.mend.%s.%s.v1' % (values['kind'], values['state'])
        print('state', since, kind, subject, json.dumps(values['data'], default=str), flush=True)

    def on_transport_error(self, event):
        """Nothing to do: we connect again by ourselves. Without this, a wrong password would be tried for ever."""
        if event.transport.condition and event.transport.condition.name == 'amqp:unauthorized-access':
            raise SystemExit('the broker does not let us in: ' + event.transport.condition.description)

    def on_link_error(self, event):
        raise SystemExit('the broker refuses %s: %s' % (event.link.name, event.link.remote_condition.description))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('url')
    parser.add_argument('--user')
    parser.add_argument('--password-file')
    parser.add_argument('--ca', metavar='FILE', help="the site's CA, tls/ca.pem in the broker's data folder")
    parser.add_argument('--kind', help='only events of this kind: service, vm, host, agent, …')
    parser.add_argument('--state', help='and only of this state: failed, running, …')
    parser.add_argument('--keep', metavar='NAME', help='let the broker keep events for us under this name while we are away')
    parser.add_argument('--credit', type=int, default=100, help='events under way at once [100]')
    Container(Subscriber(parser.parse_args())).run()


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        pass
