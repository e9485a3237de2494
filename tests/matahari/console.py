#!/usr/bin/python3
"""console.py --port N [--for S] [--call OBJECT.METHOD JSON]: a stand-in for a libqmf2 console on AMQP 1.0.

It attaches what the real one attaches (amq.direct too, though nothing ever comes there), locates agents, reads their schema ids,
queries class Host, may call a method on every agent that has the object, follows events, and drains its receivers before it closes. Prints one
JSON object a line; the last says whether the broker let it close cleanly.
"""
import argparse
import json
import sys
import time
import uuid

from peer import Connection, Link
from qmf import APP_ID, DIRECT, PACKAGE, TOPIC, Log
from wire import Message, Text, U32


class Console(Connection):
    def __init__(self, options):
        super().__init__(options.host, options.port, 'qmf-console', Log(options.log), options.user, options.password)
        self.fallen_back = getattr(options, 'protocol', None) == '1.0'
        self.options, self.key = options, 'direct-console.%s' % uuid.uuid4()
        self.agents, self.number = {}, 0

    def say(self, event, **more):
        print(json.dumps(dict(more, event=event), default=repr), flush=True)

    def run(self):
        self.links = [Link('amq.direct', True, self.key), Link(TOPIC, True, self.key), Link(DIRECT, False), Link(TOPIC, True, 'agent.#', None),
                      Link(TOPIC, False)]
        self.connect()
        self.request(TOPIC, 'console.request.agent_locate', '_agent_locate_request',
                     [Text('eq'), Text('_vendor'), [Text('quote'), Text('matahariproject.org')]], 'agent-locate')
        ends = time.monotonic() + self.options.seconds
        while time.monotonic() < ends:
            self.step(ends - time.monotonic())
        self.say('closed', drained=self.close())

    def request(self, node, subject, opcode, body, correlation_id=None):
        if correlation_id is None:
            self.number += 1
            correlation_id = str(self.number)
        sender = next(link for link in self.links if link.address == node and not link.receiver)
        properties = {'method': 'request', 'qmf.opcode': opcode, APP_ID: 'qmf2'}
        self.send(sender, Message(subject, body, properties, '%s/%s' % (TOPIC, self.key), correlation_id,
                                  (self.options.user or 'anonymous').encode()))

    def on_message(self, link, message):
        opcode, agent = message.properties.get('qmf.opcode'), message.properties.get('qmf.agent')
        if message.body is None or message.properties.get(APP_ID) != 'qmf2':
            return self.say('unreadable', opcode=opcode, agent=agent, sections=message.sections)
        if opcode in ('_agent_heartbeat_indication', '_agent_locate_response'):
            return self.on_agent(agent, message.body['_values'])
        if agent not in self.agents:
            return None
        kind = {'_query_response': 'objects', '_method_response': 'returned', '_exception': 'exception', '_data_indication': 'data'}
        return self.say(kind.get(opcode, opcode), agent=agent, content=message.properties.get('qmf.content'), body=message.body,
                        correlation=message.correlation_id, partial='partial' in message.properties)

    def on_agent(self, name, attributes):
        if name in self.agents:
            return
        self.agents[name] = attributes
        self.say('agent', agent=name, attributes=attributes)
        node, subject = (TOPIC, attributes['_direct_subject']) if '_direct_subject' in attributes else (DIRECT, name)
        self.request(node, subject, '_query_request', {'_what': 'SCHEMA_ID'})
        self.request(node, subject, '_query_request', {'_what': 'OBJECT', '_schema_id': {'_package_name': PACKAGE, '_class_name': 'Host',
                                                                                        '_type': '_data'}})
        if self.options.call:
            target, _, method = self.options.call[0].partition('.')
            body = {'_method_name': method, '_arguments': json.loads(self.options.call[1]),
                    '_object_id': {'_agent_name': name, '_object_name': target, '_agent_epoch': U32(1)}}
            self.request(node, subject, '_method_request', body)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--host', default='127.0.0.1')
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--protocol', choices=('0-10', '1.0'), default='0-10', help='spoken first; 0-10 falls back to 1.0')
    parser.add_argument('--user')
    parser.add_argument('--password')
    parser.add_argument('--for', dest='seconds', type=float, default=3)
    parser.add_argument('--call', nargs=2, metavar=('OBJECT.METHOD', 'JSON'))
    parser.add_argument('--log', default='/dev/null')
    Console(parser.parse_args()).run()


if __name__ == '__main__':
    sys.exit(main())
