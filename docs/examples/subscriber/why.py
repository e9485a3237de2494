#!/usr/bin/python3
"""Asks the policy engine why something was done, or not done.

    why.py amqp://127.0.0.1:5672 web                                                 # a broker started with --lab
    why.py amqps://broker:5672 --user operator --password-file FILE --ca CA vm/ID    # any other; asking needs an operator

The question is a QMFv2 method call, and so is every other one of docs/wire.md. Needs python3-qpid-proton, and nothing of Mend.
"""
import argparse
import uuid

from proton import Described, Message, SSLDomain, Timeout, symbol
from proton.reactor import AtMostOnce, ReceiverOption
from proton.utils import BlockingConnection


class Subject(ReceiverOption):
    """Of a topic, only messages with this subject."""

    def __init__(self, subject):
        self.subject = subject

    def apply(self, receiver):
        kind = symbol('apache.org:legacy-amqp-topic-binding:string')
        receiver.source.filter.put_dict({symbol('subject'): Described(kind, self.subject)})


class Console:
    """Questions and their answers, one after the other."""

    def __init__(self, connection):
        key = 'direct-console.' + str(uuid.uuid4())
        self.reply_to = 'qmf.default.topic/' + key
        self.answers = connection.create_receiver('qmf.default.topic', credit=100, options=[Subject(key), AtMostOnce()])
        self.requests = connection.create_sender(None)

    def ask(self, node, subject, opcode, body):
        question = str(uuid.uuid4())
        self.requests.send(Message(
            address=node, subject=subject, reply_to=self.reply_to, correlation_id=question, body=body,
            properties={'x-amqp-0-10.app-id': 'qmf2', 'qmf.opcode': opcode, 'mend.body': 'amqp-value'}))
        while True:
            message = self.answers.receive()
            if message.correlation_id == question:
                break
        if message.properties['qmf.opcode'] == '_exception':
            raise SystemExit(message.body['_values']['error_text'])
        return message.body

    def locate(self, product):
        """Name of the agent that serves this product."""
        found = self.ask('qmf.default.topic', 'console.request.agent_locate', '_agent_locate_request', ['eq', '_product', ['quote', product]])
        return found['_values']['_name']

    def object(self, agent, name):
        found = self.ask('qmf.default.direct', agent, '_query_request', {'_what': 'OBJECT', '_object_id': {'_object_name': name}})
        return found[0]['_values']

    def call(self, agent, name, method, **arguments):
        return self.ask('qmf.default.direct', agent, '_method_request', {
            '_object_id': {'_agent_name': agent, '_object_name': name}, '_method_name': method, '_arguments': arguments})['_arguments']


def connect(options):
    more = {}
    if options.user:
        with open(options.password_file) as password:
            more = {'user': options.user, 'password': password.read().strip()}
    if options.ca:
        more['ssl_domain'] = SSLDomain(SSLDomain.MODE_CLIENT)
        more['ssl_domain'].set_trusted_ca_db(options.ca)
        more['ssl_domain'].set_peer_authentication(SSLDomain.VERIFY_PEER_NAME)
    return BlockingConnection(options.url, timeout=10, **more)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('url')
    parser.add_argument('entity', help='path of an entity, or a part of it that only one has')
    parser.add_argument('--user')
    parser.add_argument('--password-file')
    parser.add_argument('--ca', metavar='FILE', help="the site's CA, tls/ca.pem in the broker's data folder")
    options = parser.parse_args()
    connection = connect(options)
    try:
        console = Console(connection)
        acting = console.object(console.locate('mend-broker'), 'Site')['engine']
        if not acting:
            raise SystemExit('no policy engine acts')
        print(console.call('matahariproject.org:mend-policy:' + acting, 'Policy', 'why', entity=options.entity)['text'], end='')
    except Timeout:
        raise SystemExit('no answer')
    finally:
        connection.close()


if __name__ == '__main__':
    main()
