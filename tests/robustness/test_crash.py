#!/usr/bin/python3
"""kill -9 of the broker under durable load, again and again: what was accepted is there afterwards, and what comes twice says so.

    test_crash.py [ROUNDS [SEED]]
"""
import os
import random
import signal
import sys
import time

try:
    import proton  # noqa: F401
except ImportError:
    print('python3-qpid-proton is not installed')
    sys.exit(77)
from proton import Message
from proton.handlers import MessagingHandler
from proton.reactor import Container

import mendsite

NODE = 'crash-test'
WINDOW = 300


class Story:
    """What was promised and what was seen, over all lives of the broker."""

    def __init__(self):
        self.next = 0
        self.accepted = set()
        self.received = {}
        self.repeated = 0
        self.wrong = []

    def receive(self, number, count):
        if number in self.received:
            self.repeated += 1
            if count < 1:
                self.wrong.append('message %d came again and claimed to be new' % number)
        self.received[number] = self.received.get(number, 0) + 1


class Load(MessagingHandler):
    """Sends and receives until the broker is killed, or, with send=False, until the queue is empty."""

    def __init__(self, story, port, send, kill, delay):
        super().__init__(prefetch=100, auto_accept=True)
        self.story, self.port, self.send, self.kill, self.delay = story, port, send, kill, delay
        self.pending = {}
        self.connections = []
        self.quiet_since = time.monotonic()

    def on_start(self, event):
        url = 'amqp://127.0.0.1:%d' % self.port
        for _ in range(2 if self.send else 1):
            self.connections.append(event.container.connect(url, reconnect=False, allowed_mechs='ANONYMOUS'))
        if self.send:
            event.container.create_sender(self.connections[1], NODE)
        event.container.create_receiver(self.connections[0], NODE)
        event.container.schedule(self.delay if self.send else 0.1, self)

    def on_timer_task(self, event):
        if self.send:
            self.kill()
        elif time.monotonic() - self.quiet_since > 1:
            for connection in self.connections:
                connection.close()
        else:
            event.container.schedule(0.1, self)

    def on_sendable(self, event):
        while event.sender.credit and len(self.pending) < WINDOW:
            number = self.story.next
            self.story.next += 1
            self.pending[event.sender.send(Message(body='x' * (number * 37 % 3000), durable=True, properties={'n': number}))] = number

    def on_settled(self, event):
        if event.sender is None:
            return
        number = self.pending.pop(event.delivery, None)
        if event.delivery.remote_state == event.delivery.ACCEPTED:
            self.story.accepted.add(number)
        self.on_sendable(event)

    def on_message(self, event):
        self.quiet_since = time.monotonic()
        self.story.receive(event.message.properties['n'], event.message.delivery_count)

    def on_transport_error(self, event):
        pass

    def on_disconnected(self, event):
        pass


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    print('seed %d' % seed)
    dice = random.Random(seed)
    story = Story()
    with mendsite.Site() as site:
        for number in range(rounds):
            process = site.broker('--lab')
            Container(Load(story, site.port, True, lambda: os.kill(process.pid, signal.SIGKILL), dice.uniform(0.02, 0.8))).run()
            site.stop('broker')
            print('life %d: %d sent, %d accepted, %d received, %d again' % (number + 1, story.next, len(story.accepted), len(story.received),
                                                                         story.repeated), flush=True)
        site.broker('--lab')
        Container(Load(story, site.port, False, None, 0)).run()
        assert site.stop('broker') == 0
    lost = sorted(story.accepted - set(story.received))
    print('%d accepted, %d received, %d of them again' % (len(story.accepted), len(story.received), story.repeated))
    assert story.accepted, 'nothing was accepted: the test tested nothing'
    assert not lost, '%d accepted messages are lost, the first %s' % (len(lost), lost[:10])
    assert not story.wrong, '%d: %s' % (len(story.wrong), story.wrong[:5])


if __name__ == '__main__':
    main()
