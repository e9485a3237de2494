"""libqmf2's agent role as it behaves on the wire: what it answers, what it drops without a word, and what ends it."""
import json
import os
import sys
import time
import uuid

from peer import Connection, Deafened, Link, Lost, NotFound
from wire import I32, U32, U64, Message

PACKAGE = 'org.matahariproject'
TOPIC, DIRECT = 'qmf.default.topic', 'qmf.default.direct'
APP_ID = 'x-amqp-0-10.app-id'
TYPES = {'string': 'TYPE_STRING', 'int': 'TYPE_INT', 'map': 'TYPE_MAP', 'list': 'TYPE_LIST'}
CLASSES_OF = {'TYPE_STRING': str, 'TYPE_INT': int, 'TYPE_MAP': dict, 'TYPE_LIST': list}


class Failure(Exception):
    """Becomes an _exception with this text."""


class Crash(BaseException):
    """What kills the real process: the text says how."""


class Log:
    """One JSON object a line: what the tests look at."""

    def __init__(self, path):
        self.out = open(path, 'a', buffering=1) if path else sys.stdout

    def __call__(self, event, **more):
        self.out.write(json.dumps(dict(more, event=event, at=round(time.monotonic(), 4), pid=os.getpid()), default=repr) + '\n')


class Class:
    """A schema: Class('Host', HASH, 'hostname:string* memory:int/kb', {'get_uuid': 'lifetime:string >uuid:string'})."""

    def __init__(self, name, hashed, properties, methods=None, event=False):
        self.name, self.event = name, event
        self.id = {'_package_name': PACKAGE, '_class_name': name, '_type': '_event' if event else '_data', '_hash': uuid.UUID(hashed)}
        self.properties = [self.property(word) for word in properties.split()]
        self.methods = {method: [self.property(word) for word in arguments.split()] for method, arguments in (methods or {}).items()}

    @staticmethod
    def property(word):
        """>out and >>inout before the name, * after the type for an index, ! for read-write, /unit at the end."""
        direction = 'IO' if word.startswith('>>') else 'O' if word.startswith('>') else 'I'
        word, _, unit = word.lstrip('>').partition('/')
        name, _, kind = word.partition(':')
        made = {'_name': name, '_type': TYPES[kind.rstrip('*!')], '_access': 'RW' if '!' in kind else 'RO', '_dir': direction}
        if '*' in kind:
            made['_index'] = True
        if unit == 'abstime':
            made['_subtype'] = unit
        elif unit:
            made['_unit'] = unit
        return made

    def schema(self):
        made = {'_schema_id': self.id, '_properties': self.properties,
                '_methods': [{'_name': name, '_arguments': arguments} for name, arguments in self.methods.items()]}
        if self.event:
            made['_default_severity'] = U32(6)
        return made


class Object:
    def __init__(self, of, name, values, methods=None):
        self.of, self.name, self.values, self.methods = of, name, values, methods or {}


def matches(predicate, attributes):
    """libqmf2's predicates; ValueError where it would drop the request."""
    if not predicate:
        return True
    operator, operands = predicate[0], predicate[1:]
    if operator in ('and', 'or', 'not'):
        results = [matches(operand, attributes) for operand in operands]
        return all(results) if operator == 'and' else any(results) if operator == 'or' else not any(results)
    if operator in ('true', 'false'):
        return operator == 'true'

    def operand(of):
        if isinstance(of, list) and len(of) == 2 and of[0] == 'quote':
            return of[1]
        if not isinstance(of, str):
            raise ValueError('an operand is a name or a quote')
        return attributes.get(of)

    values = [operand(of) for of in operands]
    if operator == 'exists' and len(values) == 1:
        return values[0] is not None
    if operator not in ('eq', 'ne', 'lt', 'le', 'gt', 'ge', 're_match') or len(values) != 2:
        raise ValueError('unknown operator')
    if operator == 're_match' or None in values:
        return False
    one, other = (str(value) for value in values) if operator in ('eq', 'ne') else values
    if type(one) is not type(other) and not (isinstance(one, (int, float)) and isinstance(other, (int, float))):
        return False
    return {'eq': one == other, 'ne': one != other, 'lt': one < other, 'le': one <= other, 'gt': one > other, 'ge': one >= other}[operator]


class Agent(Connection):
    """One agent process: run() never returns."""

    def __init__(self, options, product, process):
        super().__init__(options.host, options.port, process, Log(options.log), options.user, options.password)
        self.options, self.product = options, product
        self.fallen_back = getattr(options, 'protocol', None) == '1.0'
        self.instance = options.instance or str(uuid.uuid4())
        self.name = 'matahariproject.org:%s:%s' % (product, self.instance)
        self.route = 'direct-agent.route.%s' % uuid.uuid4()
        self.hostname, self.uuid = options.hostname, options.uuid
        self.schema_updated = time.time_ns()
        self.classes, self.objects, self.timers, self.replies = [], {}, [], {}
        agent = Class('Agent', '01435a6f-2c98-3fad-a7e0-b41909af1027', 'hostname:string* uuid:string*')
        self.classes.append(agent)
        self.add(Object(agent, str(uuid.uuid4()), {'hostname': self.hostname, 'uuid': self.uuid}))

    def add(self, made):
        if made.of not in self.classes:
            self.classes.append(made.of)
        self.objects[made.name] = made

    # Life

    def run(self):
        self.links = [Link(TOPIC, True, self.route), Link(TOPIC, True, 'console.#'), Link(DIRECT, True, self.name),
                      Link(DIRECT, False), Link(TOPIC, False)]
        self.log('started', name=self.name)
        try:
            self.reconnect()
            self.heartbeat()
            self.every(60, self.heartbeat)
            self.later(min(5, 5 / self.options.speed), self.heartbeat)
            self.begin()
            self.serve()
        except NotFound as error:
            self.die('terminate called after throwing an instance of qpid::messaging::NotFound: %s' % error)
        except Crash as error:
            self.die(str(error))

    def die(self, why):
        self.log('died', why=why)
        sys.stderr.write(why + '\n')
        os._exit(134)

    def serve(self):
        while True:
            try:
                self.step(self.next_timer_s())
                self.run_timers()
            except Lost as error:
                self.log('lost', why=str(error))
                self.close_socket()
                self.reconnect()
            except Deafened as error:
                self.log('deaf', why=str(error))
                self.stay_deaf()

    def stay_deaf(self):
        """The QMF thread is gone; the library underneath keeps its connection alive, without links, for ever."""
        while True:
            try:
                self.close_socket()
                self.connect(links=False)
                while True:
                    self.step(1)
            except (Lost, Deafened, NotFound):
                time.sleep(0.5)

    def reconnect(self):
        wait = 0.001
        while True:
            try:
                self.connect()
                self.log('connected')
                return
            except (Lost, OSError) as error:
                self.log('waiting', why=str(error), for_s=wait)
                self.close_socket()
            ends = time.monotonic() + wait
            while time.monotonic() < ends:
                time.sleep(max(0, min(ends - time.monotonic(), self.next_timer_s())))
                self.run_timers()
            wait = min(wait * 2, 2)

    # Timers, in seconds of a real agent: options.speed compresses them

    def later(self, seconds, call):
        self.timers.append((time.monotonic() + seconds, call))

    def every(self, seconds, call):
        def again():
            self.later(seconds / self.options.speed, again)
            call()
        self.later(seconds / self.options.speed, again)

    def next_timer_s(self):
        return max(0, min((due for due, _ in self.timers), default=time.monotonic() + 1) - time.monotonic())

    def run_timers(self):
        now = time.monotonic()
        due = [timer for timer in self.timers if timer[0] <= now]
        self.timers = [timer for timer in self.timers if timer[0] > now]
        for _, call in sorted(due, key=lambda timer: timer[0]):
            call()

    # Out

    def attributes(self):
        return {'_vendor': 'matahariproject.org', '_product': self.product, '_instance': self.instance, '_name': self.name,
                '_direct_subject': self.route, '_schema_updated': U64(self.schema_updated), 'qmf.agent_capability': U32(1),
                'hostname': self.hostname, 'uuid': self.uuid}

    def announcement(self):
        return {'_values': dict(self.attributes(), _epoch=U32(1), _heartbeat_interval=U32(60), _timestamp=U64(time.time_ns()))}

    def publish(self, node, subject, opcode, body, method='response', content=None, correlation_id=None):
        properties = {'method': method, 'qmf.opcode': opcode, 'qmf.agent': self.name, APP_ID: 'qmf2'}
        if content:
            properties['qmf.content'] = content
        sender = next((link for link in self.links if link.address == node and not link.receiver), None)
        if sender is None:  # one more link for each reply address, kept for ever, and NotFound is nobody's business
            sender = Link(node, False, capability=None)
            self.log('reply_link', address=node)
            self.attach(sender)
        self.send(sender, Message(subject, body, properties, correlation_id=correlation_id))

    def heartbeat(self):
        self.publish(TOPIC, 'agent.ind.heartbeat.matahariproject.org.' + self.product, '_agent_heartbeat_indication', self.announcement(),
                     'indication')

    def raise_event(self, of, values):
        body = [{'_schema_id': of.id, '_severity': I32(6), '_timestamp': U64(time.time_ns()), '_values': values}]
        self.publish(TOPIC, 'agent.ind.event.%s.%s' % (PACKAGE, of.name), '_data_indication', body, 'indication', '_event')
        self.log('raised', of=of.name, values=values)

    def reply(self, request, opcode, body, content=None, method='response', correlated=True):
        if not request.reply_to:
            return self.drop(request, 'no reply-to')
        node, _, subject = request.reply_to.partition('/')
        self.publish(node, subject or None, opcode, body, method, content, request.correlation_id if correlated else None)

    def drop(self, request, why):
        self.log('dropped', why=why, opcode=request.properties.get('qmf.opcode'))

    # In

    def on_message(self, link, request):
        opcode = request.properties.get('qmf.opcode')
        self.log('request', opcode=opcode, subject=request.subject, reply_to=request.reply_to, body=repr(request.body)[:400],
                 sections=request.sections)
        if request.properties.get(APP_ID) != 'qmf2':
            return self.drop(request, 'no app-id')
        if request.body is None and not (opcode == '_agent_locate_request' and not set(request.sections) & {'data', 'amqp-value'}):
            return self.drop(request, 'unreadable body')
        handlers = {'_agent_locate_request': self.on_locate, '_query_request': self.on_query, '_method_request': self.on_method}
        if opcode not in handlers:
            return self.drop(request, 'unknown opcode')
        try:
            handlers[opcode](request)
        except Failure as failure:
            self.reply(request, '_exception', {'_values': {'error_text': str(failure)}}, '_data')
        except (ValueError, TypeError, AttributeError) as error:
            self.drop(request, str(error))

    def on_locate(self, request):
        if request.body is not None and not isinstance(request.body, list):
            raise ValueError('a predicate is a list')
        if matches(request.body, self.attributes()):
            self.reply(request, '_agent_locate_response', self.announcement(), method='indication', correlated=False)

    def on_query(self, request):
        what, wanted = request.body.get('_what'), request.body.get('_schema_id')
        if what == 'SCHEMA_ID':
            return self.reply(request, '_query_response', [of.id for of in self.classes], '_schema_id')
        if what == 'SCHEMA':
            if wanted is None:
                raise Failure('Query is Invalid')
            if isinstance(wanted.get('_hash'), str):
                raise ValueError('a hash is a uuid')
            found = [of.schema() for of in self.classes if all(wanted.get(key) == value for key, value in of.id.items() if key != '_type')]
            return self.reply(request, '_query_response', found, '_schema')
        if what not in ('OBJECT', 'OBJECT_ID'):
            raise ValueError('unknown _what')
        return self.reply(request, '_query_response', [self.data(found) for found in self.find(request.body)], '_data')

    def find(self, query):
        named, wanted = query.get('_object_id'), query.get('_schema_id')
        if named is not None:
            found = self.objects.get(named.get('_object_name')) if named.get('_agent_name') == self.name else None
            return [found] if found else []
        if not wanted or not wanted.get('_class_name') or not wanted.get('_package_name') or query.get('_what') == 'OBJECT_ID':
            raise Failure('Query is Invalid')
        return [found for found in self.objects.values() if found.of.name == wanted['_class_name'] and wanted['_package_name'] == PACKAGE
                and matches(query.get('_where'), self.values(found))]

    def values(self, found):
        return found.values() if callable(found.values) else found.values

    def data(self, found):
        return {'_object_id': {'_agent_name': self.name, '_object_name': found.name, '_agent_epoch': U32(1)}, '_schema_id': found.of.id,
                '_values': self.values(found)}

    def on_method(self, request):
        name, arguments = request.body.get('_method_name'), request.body.get('_arguments') or {}
        if name is None:
            raise Failure('Malformed MethodRequest: missing _method_name field')
        address = request.body.get('_object_id')
        if address is None:
            return self.drop(request, 'no _object_id')
        target = self.objects.get(address.get('_object_name')) if address.get('_agent_name') == self.name else None
        if target is None:
            raise Failure('No data object found with the specified address')
        declared = {argument['_name']: argument['_type'] for argument in target.of.methods.get(name, []) if 'I' in argument['_dir']}
        for argument, value in arguments.items():
            if argument not in declared or isinstance(value, bool) or not isinstance(value, CLASSES_OF[declared[argument]]):
                raise Failure('Invalid argument: ' + argument)
        if name not in target.methods:
            raise Failure('Not implemented')
        self.log('call', method=name, object=target.name, arguments=arguments)

        def answer(values):
            self.reply(request, '_method_response', {'_arguments': values})

        returned = target.methods[name](arguments, answer)
        if returned is not None:
            answer(returned)
