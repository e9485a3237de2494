#!/usr/bin/python3
"""The stand-in speaks as the real agents did: held to messages that were captured from them."""
import argparse
import os
import sys
import unittest
import uuid

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, FOLDER)
from agent import HostAgent, ServiceAgent  # noqa: E402
from peer import Link, NotFound  # noqa: E402
from qmf import matches  # noqa: E402
from wire import I32, U32, U64, Described, Message, Reader, WireError, encode, list_010, map_010  # noqa: E402


def captured(name):
    with open(os.path.join(FOLDER, 'captured', name + '.hex')) as text:
        return bytes.fromhex(text.read())


def data_of(raw):
    """The bytes of the data section."""
    reader = Reader(raw)
    while True:
        section = reader.value()
        if section.descriptor == 0x75:
            return section.value


def make(of, **more):
    options = argparse.Namespace(host='', port=0, log='/dev/null', user=None, password=None, instance=None, hostname='vm', uuid='0',
                                 speed=1, state='.')
    for key, value in more.items():
        setattr(options, key, value)
    return of(options)


class Captured(unittest.TestCase):
    def test_heartbeat_is_byte_for_byte_the_real_one(self):
        raw = captured('agent_heartbeat')
        real = Message.decode(raw)
        values = real.body['_values']
        host = make(HostAgent, instance=values['_instance'], uuid=values['uuid'])
        host.route, host.schema_updated = values['_direct_subject'], values['_schema_updated']
        mine = host.announcement()
        mine['_values']['_timestamp'] = U64(values['_timestamp'])
        self.assertEqual(map_010(mine), data_of(raw))
        sent = []
        host.send = lambda link, message: sent.append((link.address, message))
        host.attach = lambda link: None
        host.heartbeat()
        node, message = sent[0]
        self.assertEqual((node, message.subject, message.properties), ('qmf.default.topic', real.subject, real.properties))
        self.assertEqual(Message.decode(message.encode()).content_type, real.content_type)

    def test_event_is_byte_for_byte_the_real_one(self):
        raw = captured('heartbeat_event')
        body = Message.decode(raw).body[0]
        values = {'timestamp': U64(body['_values']['timestamp']), 'sequence': U32(body['_values']['sequence']),
                  'hostname': body['_values']['hostname'], 'uuid': body['_values']['uuid']}
        mine = {'_schema_id': HostAgent.HEARTBEAT.id, '_severity': I32(6), '_timestamp': U64(body['_timestamp']), '_values': values}
        self.assertEqual(list_010([mine]), data_of(raw))

    def test_resource_op_is_byte_for_byte_the_real_one(self):
        raw = captured('resource_op')
        body = Message.decode(raw).body[0]
        real, raised = body['_values'], []
        service = make(ServiceAgent)
        service.raise_event = lambda of, values: raised.append({'_schema_id': of.id, '_severity': I32(6),
                                                                '_timestamp': U64(body['_timestamp']), '_values': values})
        service.report({'key': (real['name'], real['action'], real['interval']), 'sequence': real['sequence'], 'standard': real['standard'],
                        'arguments': {'agent': real['agent'], 'provider': real['provider'], 'userdata': real['userdata'],
                                      'expected-rc': real['expected-rc']}}, real['rc'])
        raised[0]['_values']['timestamp'] = U64(real['timestamp'])
        self.assertEqual(list_010(raised), data_of(raw))

    def test_replies(self):
        self.assertEqual(map_010({'_arguments': {'rc': I32(3)}}), data_of(captured('method_response')))
        self.assertEqual(map_010({'_values': {'error_text': 'Not implemented'}}), data_of(captured('exception')))

    def test_schemas_are_those_of_the_real_agents(self):
        service = make(ServiceAgent)
        ids = sorted((of.id for of in service.classes), key=lambda each: each['_class_name'])
        self.assertEqual(list_010(ids), data_of(captured('schema_id')))
        real = Message.decode(captured('schema_services')).body[0]
        for part in real['_properties'] + real['_methods']:
            part.pop('_desc', None)
        self.assertEqual(real, service.SERVICES.schema())

    def test_host_object_has_the_real_properties_and_types(self):
        real = Message.decode(captured('query_host')).body[0]
        mine = Message.decode(Message(body=[make(HostAgent).data(make(HostAgent).objects['Host'])]).encode()).body[0]
        self.assertEqual(set(real['_values']), set(mine['_values']))
        for name, value in real['_values'].items():
            self.assertIs(type(mine['_values'][name]), type(value), name)


class Codec(unittest.TestCase):
    def test_what_is_written_can_be_read(self):
        for value in (None, True, False, 'x' * 300, b'\0' * 300, uuid.uuid4(), 2.5, {'a': ['b', 1]}, [], list(range(300)), U32(0), U64(2**63)):
            self.assertEqual(Reader(encode(value)).value(), value)

    def test_cut_short_is_an_error(self):
        whole = Message('s', {'a': 'b'}, {'c': 'd'}).encode()
        for length in range(1, len(whole)):
            with self.assertRaises((WireError, AttributeError, ValueError, KeyError)):
                if Message.decode(whole[:length]).body != {'a': 'b'}:
                    raise WireError('body missing')

    def test_amqp_value_map_is_unreadable_as_it_was_for_the_real_ones(self):
        raw = encode(Described(U64(0x73), [None] * 6 + ['amqp/map'])) + encode(Described(U64(0x77), {'_what': 'OBJECT'}))
        self.assertIsNone(Message.decode(raw).body)


class Predicates(unittest.TestCase):
    def test_quotes_are_needed(self):
        self.assertTrue(matches(['gt', 'memory', ['quote', 1000]], {'memory': 2000}))
        with self.assertRaises(ValueError):
            matches(['gt', 'memory', 1000], {'memory': 2000})

    def test_operators(self):
        values = {'a': 'x', 'n': 3}
        for predicate, wanted in (([], True), (['eq', 'a', ['quote', 'x']], True), (['eq', 'n', ['quote', '3']], True),
                                  (['ne', 'gone', ['quote', 'x']], False), (['not', ['exists', 'gone']], True),
                                  (['or', ['exists', 'gone'], ['le', 'n', ['quote', 3]]], True), (['re_match', 'a', ['quote', 'x']], False)):
            self.assertEqual(matches(predicate, values), wanted, predicate)


class Links(unittest.TestCase):
    def test_refused_link_is_not_found(self):
        host = make(HostAgent)
        link = Link('nowhere', False)
        host.links.append(link)
        with self.assertRaises(NotFound):
            host.on_attach([link.name, 0, True, 0, 0, None, None])


if __name__ == '__main__':
    unittest.main()
