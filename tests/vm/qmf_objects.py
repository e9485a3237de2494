#!/usr/bin/python3
"""qmf_objects.py URL CA USER PASSWORD AGENT CLASS: the objects of a class of Mend's package that an agent has, as one line of JSON:
[values, …]. A program of its own so that it can run where the broker is (a network namespace)."""
import json
import os
import sys
import uuid

from proton import Message, SSLDomain
from proton.reactor import Filter
from proton import symbol, Described
from proton.utils import BlockingConnection

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'matahari'))

import wire  # noqa: E402


def ask(url, ca, user, password, agent, name, timeout=10):
    tls = SSLDomain(SSLDomain.MODE_CLIENT)
    tls.set_trusted_ca_db(ca)
    tls.set_peer_authentication(SSLDomain.ANONYMOUS_PEER)
    connection = BlockingConnection(url, timeout=timeout, ssl_domain=tls, user=user, password=password, allowed_mechs='PLAIN')
    key = 'direct-console.%s' % uuid.uuid4()
    exact = Filter({symbol('subject-filter'): Described(symbol('apache.org:legacy-amqp-direct-binding:string'), key)})
    receiver = connection.create_receiver('qmf.default.direct', credit=100, options=exact)
    sender = connection.create_sender('qmf.default.direct')
    sender.send(Message(subject=agent, reply_to='qmf.default.direct/' + key, correlation_id='1', user_id=user.encode(),
                        properties={'method': 'request', 'qmf.opcode': '_query_request', 'x-amqp-0-10.app-id': 'qmf2'},
                        body={'_what': 'OBJECT', '_schema_id': {'_package_name': 'org.matahariproject.mend', '_class_name': name}}))
    found = []
    while True:
        message = receiver.receive(timeout=timeout)
        if receiver.fetcher.unsettled:
            receiver.accept()
        if message.properties.get('qmf.opcode') == '_exception':
            raise SystemExit(repr(message.body))
        found += [each['_values'] for each in wire.Reader(bytes(message.body)).list_010()]
        if 'partial' not in message.properties:
            connection.close()
            return found


if __name__ == '__main__':
    print(json.dumps(ask(*sys.argv[1:]), default=lambda v: v.decode() if isinstance(v, bytes) else repr(v)))
