#!/usr/bin/python3
"""The embedded broker against python3-qpid-proton: what any AMQP 1.0 client may expect of it."""
import os
import subprocess
import sys
import time
import unittest

try:
    import proton  # noqa: F401
except ImportError:
    print('python3-qpid-proton is not installed')
    sys.exit(77)
from proton import ConnectionException, Delivery, Described, Message, SSLDomain, Terminus, Timeout, symbol, ulong
from proton.reactor import Container, Copy, DynamicNodeProperties, Filter, LinkOption, Selector
from proton.utils import BlockingConnection, LinkDetached, SendException

import mendsite

WAIT = 10
QUIET = 0.2


def topic_filter(key, descriptor=symbol('apache.org:legacy-amqp-topic-binding:string')):
    return Filter({symbol('subject-filter'): Described(descriptor, key)})


class Capabilities(LinkOption):
    """Capabilities and properties of a node made on demand."""

    def __init__(self, *names, properties=None):
        self.names = names
        self.properties = properties

    def apply(self, link):
        terminus = link.source if link.is_receiver else link.target
        for name in self.names:
            terminus.capabilities.put_object(symbol(name))
        if self.properties:
            terminus.properties.put_dict({symbol(key): value for key, value in self.properties.items()})


class Lasting(LinkOption):
    """A subscription that outlives its connection (terminus-durability unsettled-state, expiry never)."""

    def apply(self, link):
        link.source.durability = 2
        link.source.expiry_policy = Terminus.EXPIRE_NEVER


class Broker(unittest.TestCase):
    options = ('--lab',)

    @classmethod
    def setUpClass(cls):
        cls.site = mendsite.Site()
        cls.site.__enter__()
        cls.process = cls.site.broker(*cls.options)

    @classmethod
    def tearDownClass(cls):
        status = cls.process.poll()
        cls.site.__exit__(None)
        if status is not None:
            raise AssertionError('the broker ended by itself: %d' % status)

    def connect(self, **more):
        connection = BlockingConnection('amqp://127.0.0.1:%d' % self.site.port, timeout=WAIT, allowed_mechs='ANONYMOUS', **more)
        self.addCleanup(self.drop, connection)
        return connection

    @staticmethod
    def drop(connection):
        try:
            connection.close()
        except Exception:  # it was closed by the other side in the test
            pass

    def name(self):
        return self.id().rpartition('.')[2]

    def nothing_comes(self, receiver):
        with self.assertRaises(Timeout):
            receiver.receive(timeout=QUIET)

    @staticmethod
    def take(receiver, accept=True):
        message = receiver.receive(timeout=WAIT)
        if accept and receiver.fetcher.unsettled:  # topics deliver settled unless asked not to
            receiver.accept()
        return message

    def grew_less(self, before, kib):
        with open('/proc/%d/maps' % self.process.pid) as maps:
            if 'libasan' in maps.read():  # which keeps what is freed
                return
        grown = self.resident_kib() - before
        self.assertLess(grown, kib, 'the broker grew by %d KiB' % grown)

    def resident_kib(self):
        with open('/proc/%d/status' % self.process.pid) as status:
            return next(int(line.split()[1]) for line in status if line.startswith('VmRSS'))


class Topics(Broker):
    def test_a_filter_chooses_by_subject(self):
        c = self.connect()
        some = c.create_receiver('qmf.default.topic', name='some', credit=10, options=topic_filter('agent.ind.*.x'))
        number = c.create_receiver('qmf.default.topic', credit=10, options=topic_filter('agent.#', ulong(0x468C00000001)))
        exact = c.create_receiver('qmf.default.topic', credit=10, name='exact',
                                  options=topic_filter('agent.ind.a.x', symbol('apache.org:legacy-amqp-direct-binding:string')))
        sender = c.create_sender('qmf.default.topic')
        for subject in ('agent.ind.a.x', 'agent.ind.a.b.x', 'other'):
            sender.send(Message(subject=subject, body=subject))
        self.assertEqual(self.take(some).body, 'agent.ind.a.x')
        self.nothing_comes(some)
        self.assertEqual([self.take(number).body for _ in range(2)], ['agent.ind.a.x', 'agent.ind.a.b.x'])
        self.nothing_comes(number)
        self.assertEqual(self.take(exact).body, 'agent.ind.a.x')
        self.nothing_comes(exact)

    def test_the_direct_node_wants_equality(self):
        c = self.connect()
        receiver = c.create_receiver('qmf.default.direct', credit=10, options=topic_filter(
            'org:agent:1', symbol('apache.org:legacy-amqp-direct-binding:string')))
        sender = c.create_sender('qmf.default.direct')
        for subject in ('org:agent:1', 'org:agent:12', 'org:agent'):
            sender.send(Message(subject=subject, body=subject))
        self.assertEqual(self.take(receiver).body, 'org:agent:1')
        self.nothing_comes(receiver)

    def test_a_selector_chooses_by_properties(self):
        c = self.connect()
        receiver = c.create_receiver('selected', credit=10, options=Selector("\"qmf.opcode\" = '_data' AND n > 3 AND kind LIKE 'a%'"))
        sender = c.create_sender('selected')
        for n, opcode, kind in ((5, '_data', 'abc'), (1, '_data', 'abc'), (5, '_other', 'abc'), (9, '_data', 'xyz'), (4, '_data', 'a')):
            sender.send(Message(body=n, properties={'n': n, 'qmf.opcode': opcode, 'kind': kind}))
        self.assertEqual([self.take(receiver).body for _ in range(2)], [5, 4])
        self.nothing_comes(receiver)

    def test_a_bad_selector_is_refused_with_a_condition(self):
        with self.assertRaises(LinkDetached) as refused:
            self.connect().create_receiver('selected-badly', options=Selector('this is ( no selector'))
        self.assertIn('amqp:invalid-field', str(refused.exception))

    def test_a_thousand_subscribers_hear_everything(self):
        receivers = []
        for _ in range(10):
            c = self.connect()
            receivers += [c.create_receiver('qmf.default.topic', name='s%d' % n, credit=10, options=topic_filter('crowd.#')) for n in range(100)]
        sender = self.connect().create_sender('qmf.default.topic')
        for n in range(3):
            sender.send(Message(subject='crowd.%d' % n, body=n))
        for receiver in receivers:
            self.assertEqual([self.take(receiver).body for _ in range(3)], [0, 1, 2])

    def test_a_consumer_that_never_takes_costs_a_bounded_amount(self):
        c = self.connect()
        slow = c.create_receiver('qmf.default.topic', credit=0, options=topic_filter('flood.#'))
        fast = self.connect().create_receiver('qmf.default.topic', credit=200, options=topic_filter('flood.#'))
        sender = self.connect().create_sender('qmf.default.topic')
        body = b'x' * 100000
        before = self.resident_kib()
        for n in range(1500):  # 150 MB; a subscription holds 16 MiB
            sender.send(Message(subject='flood.%d' % n, body=body))
            self.take(fast)
        self.grew_less(before, 80 * 1024)
        slow.link.flow(5)  # the oldest are gone, the newest are there
        self.assertGreater(int(self.take(slow).subject.split('.')[1]), 1000)


class Queues(Broker):
    def test_request_and_response_over_a_dynamic_node(self):
        c = self.connect()
        served = c.create_receiver('service', credit=1)
        client = self.connect()
        reply = client.create_receiver(None, dynamic=True, credit=1)
        self.assertTrue(reply.link.remote_source.address)
        client.create_sender('service').send(Message(body='ping', reply_to=reply.link.remote_source.address, correlation_id='1'))
        request = self.take(served)
        c.create_sender(request.reply_to).send(Message(body='pong', correlation_id=request.correlation_id))
        response = self.take(reply)
        self.assertEqual((response.body, response.correlation_id), ('pong', '1'))

    def test_the_anonymous_terminus_goes_by_to(self):
        c = self.connect()
        receiver = c.create_receiver('by-to', credit=1)
        sender = c.create_sender(None)
        sender.send(Message(address='by-to', body='found'))
        self.assertEqual(self.take(receiver).body, 'found')
        topic = c.create_receiver('qmf.default.topic', credit=1, options=topic_filter('relayed'))
        sender.send(Message(address='qmf.default.topic', subject='relayed', body='also'))
        self.assertEqual(self.take(topic).body, 'also')

    def test_a_megabyte_arrives_as_it_was(self):
        c = self.connect()
        body = os.urandom(1 << 20)
        c.create_sender('large').send(Message(body=body, durable=True))
        self.assertEqual(bytes(self.take(c.create_receiver('large', credit=1)).body), body)

    def test_a_message_over_the_limit_is_refused_and_the_broker_goes_on(self):
        c = self.connect()
        with self.assertRaises((SendException, LinkDetached)) as refused:
            c.create_sender('too-large').send(Message(body=b'x' * (17 << 20)))
        if isinstance(refused.exception, LinkDetached):
            self.assertIn('size', str(refused.exception))
        other = self.connect()
        other.create_sender('fine').send(Message(body='still here'))
        self.assertEqual(self.take(other.create_receiver('fine', credit=1)).body, 'still here')

    def test_the_bare_message_is_passed_on_untouched(self):
        c = self.connect()
        sent = Message(id='an id', user_id=b'', address='untouched', subject='s', reply_to='r', correlation_id='c', content_type='text/x',
                       content_encoding='e', expiry_time=4102444800, creation_time=1, group_id='g', group_sequence=7, reply_to_group_id='rg',
                       properties={'a': 1, 'b': b'bytes', 'c': None, 'd': [1, 2]}, annotations={symbol('x-a'): 'kept'}, body={'k': ['v']})
        c.create_sender('untouched').send(sent)
        got = self.take(c.create_receiver('untouched', credit=1))
        for field in ('id', 'address', 'subject', 'reply_to', 'correlation_id', 'content_type', 'content_encoding', 'creation_time', 'group_id',
                      'group_sequence', 'reply_to_group_id', 'properties', 'annotations', 'body'):
            self.assertEqual(getattr(got, field), getattr(sent, field), field)

    def test_release_modify_and_reject_count_as_they_should(self):
        c = self.connect()
        c.create_sender('outcomes').send(Message(body='m'))
        receiver = c.create_receiver('outcomes', credit=1)
        first = self.take(receiver, accept=False)
        self.assertEqual((first.delivery_count, first.first_acquirer), (0, first.first_acquirer))
        receiver.release(delivered=False)
        receiver.flow(1)
        self.assertEqual(self.take(receiver, accept=False).delivery_count, 0)
        receiver.fetcher.unsettled[0].local.failed = True
        receiver.settle(Delivery.MODIFIED)
        receiver.flow(1)
        self.assertEqual(self.take(receiver, accept=False).delivery_count, 1)
        receiver.reject()
        receiver.flow(1)
        self.nothing_comes(receiver)
        dead = c.create_receiver('mend.deadletter', credit=100)
        found = [self.take(dead) for _ in range(1)]
        self.assertEqual(found[-1].body, 'm')
        self.assertTrue(found[-1].properties and found[-1].properties.get('mend.reason'))

    def test_unsettled_goes_back_when_its_consumer_goes(self):
        c = self.connect()
        c.create_sender('goes-back').send(Message(body='m'))
        other = self.connect()
        self.take(other.create_receiver('goes-back', credit=1), accept=False)
        other.close()
        again = self.take(c.create_receiver('goes-back', credit=1))
        self.assertEqual((again.body, again.delivery_count), ('m', 1))

    def test_ttl(self):
        c = self.connect()
        sender = c.create_sender('ttl')
        sender.send(Message(body='short', ttl=0.05))
        sender.send(Message(body='long', ttl=60))
        time.sleep(0.1)
        receiver = c.create_receiver('ttl', credit=5)
        got = self.take(receiver)
        self.assertEqual(got.body, 'long')
        self.assertLess(got.ttl, 60)
        self.assertGreater(got.ttl, 30)
        self.nothing_comes(receiver)

    def test_priority(self):
        c = self.connect()
        sender = c.create_sender('priority')
        for priority in (4, 0, 9, 4, 7):
            sender.send(Message(body=priority, priority=priority))
        receiver = c.create_receiver('priority', credit=5)
        self.assertEqual([self.take(receiver).body for _ in range(5)], [9, 7, 4, 4, 0])

    def test_a_ring_drops_the_oldest(self):
        c = self.connect()
        receiver = c.create_receiver(None, dynamic=True, credit=0, options=DynamicNodeProperties({'qpid.policy_type': 'ring', 'qpid.max_count': 3}))
        sender = c.create_sender(receiver.link.remote_source.address)
        for n in range(10):
            sender.send(Message(body=n))
        receiver.link.flow(10)
        self.assertEqual([self.take(receiver).body for _ in range(3)], [7, 8, 9])
        self.nothing_comes(receiver)

    def test_a_full_queue_does_not_take_more(self):
        c = self.connect()
        receiver = c.create_receiver(None, dynamic=True, credit=0, options=DynamicNodeProperties({'qpid.policy_type': 'reject', 'qpid.max_count': 3}))
        sender = c.create_sender(receiver.link.remote_source.address)
        with self.assertRaises((SendException, Timeout)):  # refused, or kept waiting for room
            for n in range(10):
                sender.send(Message(body=n), timeout=1)
        receiver.link.flow(3)
        self.assertEqual([self.take(receiver).body for _ in range(3)], [0, 1, 2])

    def test_last_value_keeps_the_newest_of_each_key(self):
        c = self.connect()
        receiver = c.create_receiver(None, dynamic=True, credit=0, options=DynamicNodeProperties({'qpid.last_value_queue_key': 'k'}))
        sender = c.create_sender(receiver.link.remote_source.address)
        for key, body in (('a', 1), ('b', 2), ('a', 3), ('c', 4), ('b', 5)):
            sender.send(Message(body=body, properties={'k': key}))
        receiver.link.flow(10)
        self.assertEqual(sorted(self.take(receiver).body for _ in range(3)), [3, 4, 5])
        self.nothing_comes(receiver)

    def test_browsing_takes_nothing(self):
        c = self.connect()
        sender = c.create_sender('looked-at')
        for n in range(3):
            sender.send(Message(body=n))
        for _ in range(2):
            browser = c.create_receiver('looked-at', credit=10, options=Copy())
            self.assertEqual([self.take(browser).body for _ in range(3)], [0, 1, 2])
            browser.close()
        receiver = c.create_receiver('looked-at', credit=10)
        self.assertEqual([self.take(receiver).body for _ in range(3)], [0, 1, 2])

    def test_competing_consumers_share(self):
        one, two = self.connect(), self.connect()
        receivers = [one.create_receiver('shared', credit=50), two.create_receiver('shared', credit=50)]
        sender = self.connect().create_sender('shared')
        for n in range(100):
            sender.send(Message(body=n))
        got = sorted(self.take(receiver).body for receiver in receivers for _ in range(50))
        self.assertEqual(got, list(range(100)))

    def test_draining_ends_the_credit(self):
        c = self.connect()
        c.create_sender('drained').send(Message(body='one'))
        receiver = c.create_receiver('drained', credit=0)
        receiver.link.drain(10)
        self.assertEqual(self.take(receiver).body, 'one')
        c.wait(lambda: receiver.link.credit == 0, timeout=WAIT, msg='the drain to end')
        self.assertEqual(receiver.link.drained() if callable(receiver.link.drained) else 0, 9)

    def test_order_is_kept(self):
        c = self.connect()
        sender = c.create_sender('ordered')
        for n in range(2000):
            sender.link.send(Message(body=n))
        receiver = c.create_receiver('ordered', credit=500)
        self.assertEqual([self.take(receiver).body for _ in range(2000)], list(range(2000)))

    def test_unknown_places_are_refused_with_a_condition(self):
        for address in ('qmf.no.such', 'a/b/c', 'amq.nothing'):
            with self.assertRaises(LinkDetached) as refused:
                self.connect().create_receiver(address)
            self.assertIn('amqp:not-found', str(refused.exception))

    def test_wrong_node_properties_are_refused_with_a_condition(self):
        with self.assertRaises(LinkDetached) as refused:
            self.connect().create_receiver(None, dynamic=True, options=DynamicNodeProperties({'qpid.policy_type': 'nonsense'}))
        self.assertIn('amqp:', str(refused.exception))

    def test_many_connections_one_after_the_other_leave_nothing(self):
        for _ in range(20):
            self.connect().close()
        before = self.resident_kib()
        for _ in range(300):
            c = self.connect()
            c.create_receiver(None, dynamic=True)
            c.close()
        self.grew_less(before, 4096)


class Restarted(Broker):
    def test_what_is_durable_is_there_after_a_restart_and_the_rest_is_not(self):
        sender = self.connect().create_sender('stays')
        for n in range(50):
            sender.send(Message(body=n, durable=n % 2 == 0))
        other = self.connect()
        taken = other.create_receiver('stays', credit=2)
        self.take(taken)                # 0 is gone
        self.take(taken)                # 1 too
        taken.close()
        held = other.create_receiver('stays', name='held', credit=1)
        self.take(held, accept=False)   # 2 was tried
        self.assertEqual(self.site.stop('broker'), 0)
        type(self).process = self.site.broker(*self.options)
        receiver = self.connect().create_receiver('stays', credit=100)
        got = [self.take(receiver) for _ in range(24)]
        self.assertEqual([(m.body, m.delivery_count) for m in got], [(n, 1 if n == 2 else 0) for n in range(2, 50, 2)])
        self.nothing_comes(receiver)


    def test_a_durable_subscription_holds_what_comes_meanwhile_also_over_a_restart(self):
        options = [topic_filter('kept.#'), Lasting()]

        def subscribe():
            container = Container()
            container.container_id = 'durable-subscriber'
            c = self.connect(container=container)
            return c, c.create_receiver('qmf.default.topic', name='kept', credit=10, options=options)
        c, receiver = subscribe()
        c.close()
        self.connect().create_sender('qmf.default.topic').send(Message(subject='kept.1', body='while away', durable=True))
        self.connect().create_sender('qmf.default.topic').send(Message(subject='other', body='not for it', durable=True))
        c, receiver = subscribe()
        self.assertEqual(self.take(receiver).body, 'while away')
        self.nothing_comes(receiver)
        c.close()
        self.connect().create_sender('qmf.default.topic').send(Message(subject='kept.2', body='before the restart', durable=True))
        self.assertEqual(self.site.stop('broker'), 0)
        type(self).process = self.site.broker(*self.options)
        self.connect().create_sender('qmf.default.topic').send(Message(subject='kept.3', body='after it'))
        c, receiver = subscribe()
        self.assertEqual([self.take(receiver).body for _ in range(2)], ['before the restart', 'after it'])
        receiver.close()  # a closing detach ends the subscription


class Idle(Broker):
    options = ('--lab', '--idle-timeout', '1s')

    def test_a_quiet_client_that_keeps_its_part_stays(self):
        c = self.connect(heartbeat=1)
        receiver = c.create_receiver('quiet', credit=1)
        with self.assertRaises(Timeout):
            receiver.receive(timeout=4)
        c.create_sender('quiet').send(Message(body='awake'))
        self.assertEqual(self.take(receiver).body, 'awake')


class Authenticated(Broker):
    options = ('--anonymous',)

    def tls(self):
        domain = SSLDomain(SSLDomain.MODE_CLIENT)
        domain.set_trusted_ca_db(os.path.join(self.site.data, 'tls', 'ca.pem'))
        domain.set_peer_authentication(SSLDomain.VERIFY_PEER_NAME)
        return domain

    def log_in(self, user, password, **more):
        c = BlockingConnection('amqps://localhost:%d' % self.site.port, timeout=WAIT, user=user, password=password, ssl_domain=self.tls(), **more)
        self.addCleanup(self.drop, c)
        return c

    def test_plain_over_tls(self):
        c = self.log_in('operator', self.site.password('operator'))
        c.create_sender('mine').send(Message(body='in'))
        self.assertEqual(self.take(c.create_receiver('mine', credit=1)).body, 'in')

    def test_a_wrong_password_says_so(self):
        with self.assertRaises(ConnectionException) as refused:
            self.log_in('operator', 'guess')
        self.assertIn('amqp:unauthorized-access', str(refused.exception))

    def test_plain_in_the_clear_is_not_offered(self):
        with self.assertRaises(ConnectionException):
            BlockingConnection('amqp://127.0.0.1:%d' % self.site.port, timeout=WAIT, user='operator', password=self.site.password('operator'),
                               allowed_mechs='PLAIN', allow_insecure_mechs=True)

    def refused(self, work):
        with self.assertRaises((LinkDetached, SendException)) as no:
            work()
        if isinstance(no.exception, LinkDetached):
            self.assertIn('amqp:unauthorized-access', str(no.exception))

    def test_an_observer_sees_but_does_not_command(self):
        c = self.log_in('observer', self.site.password('observer'))
        self.refused(lambda: c.create_sender('mend.control.org:x:1'))
        self.refused(lambda: c.create_receiver('mend.results'))
        self.refused(lambda: c.create_sender('jobs'))
        ask = {'qmf.opcode': '_query_request', 'x-amqp-0-10.app-id': 'qmf2'}
        sender = c.create_sender('qmf.default.direct')
        sender.send(Message(subject='org:x:1', properties=ask))
        self.refused(lambda: sender.send(Message(subject='org:x:1', properties=dict(ask, **{'qmf.opcode': '_method_request'}))))
        sender.send(Message(subject='org:x:1', properties=ask))  # the link lives on

    def test_an_anonymous_peer_is_one_agent(self):
        one, two = self.connect(), self.connect()
        self.say(one, 'org:x:1')
        self.refused(lambda: self.say(one, 'org:x:2'))
        self.refused(lambda: self.say(two, 'org:x:1'))
        self.say(two, 'org:x:2')
        self.refused(lambda: two.create_receiver('qmf.default.direct', options=topic_filter('org:x:1')))
        self.refused(lambda: two.create_receiver('qmf.default.topic', options=topic_filter('#')))
        self.refused(lambda: two.create_receiver(None, dynamic=True))
        self.refused(lambda: two.create_receiver('some-queue'))
        one.close()
        three = self.connect()
        mendsite.wait_for('the name to be free', lambda: self.may_say(three, 'org:x:1'))

    def test_an_anonymous_peer_does_not_pose_as_an_enrolled_agent(self):
        users = os.listdir(os.path.join(self.site.data, 'credentials'))
        own = next((user for user in users if user.startswith('agent-')), None)
        if own is None:
            self.skipTest('this machine has no UUID, so no agent is enrolled')
        self.refused(lambda: self.say(self.connect(), 'org:x:' + own[len('agent-'):]))
        self.say(self.log_in(own, self.site.password(own)), 'org:x:' + own[len('agent-'):])

    links = 0

    def say(self, connection, name):
        type(self).links += 1
        sender = connection.create_sender('qmf.default.topic', name='l%d' % self.links)
        sender.send(Message(subject='agent.ind.event', properties={'qmf.opcode': '_data_indication', 'x-amqp-0-10.app-id': 'qmf2', 'qmf.agent': name}))

    def may_say(self, connection, name):
        try:
            self.say(connection, name)
        except SendException:
            return False
        return True


class Certified(Broker):
    """EXTERNAL: the certificate's CN is the user."""

    @classmethod
    def setUpClass(cls):
        cls.site = mendsite.Site()
        cls.site.broker()  # makes the site and its CA
        cls.site.stop('broker')
        cls.process = cls.site.broker('--tls-client-ca', os.path.join(cls.site.data, 'tls', 'ca.pem'))

    def certificate(self, user):
        cert, key, ca = self.site.path(user + '.pem'), self.site.path(user + '.key'), os.path.join(self.site.data, 'tls', 'ca')
        request = subprocess.run(['openssl', 'req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-subj', '/CN=' + user],
                                 check=True, capture_output=True).stdout
        subprocess.run(['openssl', 'x509', '-req', '-CA', ca + '.pem', '-CAkey', ca + '.key', '-CAcreateserial', '-out', cert, '-days', '2'], check=True,
                       capture_output=True, input=request)
        return cert, key

    def log_in(self, user):
        domain = SSLDomain(SSLDomain.MODE_CLIENT)
        domain.set_trusted_ca_db(os.path.join(self.site.data, 'tls', 'ca.pem'))
        domain.set_credentials(*self.certificate(user), None)
        domain.set_peer_authentication(SSLDomain.VERIFY_PEER_NAME)
        c = BlockingConnection('amqps://localhost:%d' % self.site.port, timeout=WAIT, ssl_domain=domain, allowed_mechs='EXTERNAL')
        self.addCleanup(self.drop, c)
        return c

    def test_a_certificate_of_the_site_is_its_user(self):
        c = self.log_in('operator')
        c.create_sender('certified').send(Message(body='in'))
        self.assertEqual(self.take(c.create_receiver('certified', credit=1)).body, 'in')

    def test_a_certificate_of_nobody_is_of_no_use(self):
        with self.assertRaises(ConnectionException) as refused:
            self.log_in('stranger')
        self.assertIn('amqp:unauthorized-access', str(refused.exception))


if __name__ == '__main__':
    unittest.main(verbosity=2)
