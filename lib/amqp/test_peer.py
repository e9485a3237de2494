#!/usr/bin/python3
"""A peer for test_client.c, on python3-qpid-proton: queues in memory, and a relay before them that can be cut or muted.

Prints "PORT n" (of the relay) when it listens. Addresses: "refuse/..." is refused with amqp:not-found, "reject", "release" and
"modify" answer so, "bytes/..." sends a message that is none, everything else is a queue that keeps what was not accepted.
Commands on stdin, each answered with "ok": cut (closes what is connected), mute, unmute, deaf (refuses new connections), hear,
kill ADDRESS (closes its links with an error), close (closes AMQP connections politely)."""
import collections
import socket
import sys
import threading

import proton._handlers
from proton import Condition, Delivery, Message, Terminus
from proton.handlers import MessagingHandler
from proton.reactor import ApplicationEvent, Container, EventInjector


class Relay(threading.Thread):
    def __init__(self, port):
        super().__init__(daemon=True)
        self.to, self.pairs, self.lock = port, [], threading.Lock()
        self.speaks = threading.Event()
        self.speaks.set()
        self.hears = True
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]

    def run(self):
        while True:
            client, _ = self.listener.accept()
            if not self.hears:
                client.close()
                continue
            server = socket.create_connection(('127.0.0.1', self.to))
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.pairs += [client, server]
            threading.Thread(target=self.copy, args=(client, server), daemon=True).start()
            threading.Thread(target=self.copy, args=(server, client), daemon=True).start()

    def copy(self, source, sink):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                self.speaks.wait()
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for one in pairs:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Peer(MessagingHandler):
    def __init__(self, port, injector):
        super().__init__(prefetch=50, auto_accept=False, auto_settle=True)
        self.port, self.injector = port, injector
        self.queues = collections.defaultdict(collections.deque)
        self.senders = collections.defaultdict(list)
        self.out = {}  # what was sent and not answered
        self.links, self.connections, self.dynamic = [], [], 0

    def on_start(self, event):
        event.container.selectable(self.injector)
        self.listener = event.container.listen('127.0.0.1:%d' % self.port)
        relay.start()
        print('PORT %d' % relay.port, flush=True)

    def on_connection_opening(self, event):
        event.connection.offered_capabilities = None
        self.connections.append(event.connection)

    def on_link_opening(self, event):
        link = event.link
        node = link.remote_source if link.is_sender else link.remote_target
        address = node.address or ''
        if address.startswith('refuse/'):
            (link.source if link.is_sender else link.target).type = Terminus.UNSPECIFIED
            link.condition = Condition('amqp:not-found', 'no such node: ' + address)
            self.injector.trigger(ApplicationEvent('refusal', link=link))  # after the attach, which the handler below us opens
            return
        if link.is_sender and link.remote_source.dynamic:
            self.dynamic += 1
            address = 'dynamic-%d' % self.dynamic
        link.source.copy(link.remote_source)
        link.target.copy(link.remote_target)
        (link.source if link.is_sender else link.target).address = address or None
        link.open()
        self.links.append((address, link))
        if link.is_sender:
            self.senders[address].append(link)

    def on_sendable(self, event):
        self.serve(event.link.source.address)

    def serve(self, address):
        queue = self.queues[address]
        for link in list(self.senders[address]):
            if not link.state & link.REMOTE_ACTIVE or link.connection is None:
                self.senders[address].remove(link)
                continue
            while link.credit > 0 and address.startswith('bytes/'):
                link.delivery('x')
                link.stream(b'\x00\x53\x77\xa1\x09no')
                link.advance()
                return
            while queue and link.credit > 0:
                message = queue.popleft()
                delivery = link.send(message)
                self.out[(link.connection, link.name, delivery.tag)] = (address, message)

    def on_message(self, event):
        address = event.link.target.address or event.message.address
        if address == 'reject':
            event.delivery.local.condition = Condition('test:no', 'because')
        outcome = {'reject': Delivery.REJECTED, 'release': Delivery.RELEASED, 'modify': Delivery.MODIFIED}.get(address)
        event.delivery.update(outcome or Delivery.ACCEPTED)
        event.delivery.settle()
        if outcome is None:
            self.queues[address].append(event.message)
            self.serve(address)

    def taken(self, event):
        delivery = event.delivery
        return self.out.pop((delivery.connection, delivery.link.name, delivery.tag), None)

    def on_accepted(self, event):
        self.taken(event)

    on_rejected = on_accepted

    def on_released(self, event):
        address, message = self.taken(event) or ('', None)
        if message is not None:
            self.queues[address].appendleft(message)
            self.serve(address)

    def on_disconnected(self, event):
        lost = [key for key in self.out if key[0] == event.connection]
        for key in reversed(lost):
            address, message = self.out.pop(key)
            self.queues[address].appendleft(message)
        for address in list(self.senders):
            self.senders[address] = [one for one in self.senders[address] if one.connection != event.connection]
            self.serve(address)

    def on_refusal(self, event):
        event.link.close()

    def on_command(self, event):
        word, argument = event.subject
        if word == 'kill':
            for address, link in self.links:
                if address == argument:
                    link.condition = Condition('amqp:resource-deleted', 'gone')
                    link.close()
            self.links = [(address, link) for address, link in self.links if address != argument]
            self.senders[argument] = []
        elif word == 'close':
            for connection in self.connections:
                connection.condition = Condition('amqp:connection:forced', 'bye')
                connection.close()
            self.connections, self.links, self.senders = [], [], collections.defaultdict(list)
        print('ok', flush=True)


def commands(peer, injector):
    for line in sys.stdin:
        word, _, argument = line.strip().partition(' ')
        if word in ('cut', 'mute', 'unmute', 'deaf', 'hear'):
            {'cut': relay.cut, 'mute': relay.speaks.clear, 'unmute': relay.speaks.set,
             'deaf': lambda: setattr(relay, 'hears', False), 'hear': lambda: setattr(relay, 'hears', True)}[word]()
            print('ok', flush=True)
        else:
            injector.trigger(ApplicationEvent('command', subject=(word, argument)))
    relay.cut()
    import os
    os._exit(0)  # the test is over


# The bindings of 0.37 let a deadline run out on a connection that has just ended, and end themselves over it.
update = proton._handlers.IOHandler.update
proton._handlers.IOHandler.update = staticmethod(lambda transport, *rest: transport is None or update(transport, *rest))

with socket.create_server(('127.0.0.1', 0)) as probe:
    free_port = probe.getsockname()[1]
relay = Relay(free_port)
events = EventInjector()
handler = Peer(free_port, events)
threading.Thread(target=commands, args=(handler, events), daemon=True).start()
Container(handler).run()
