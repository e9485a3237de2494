"""An AMQP 1.0 connection that behaves as qpid::messaging 1.40 does under libqmf2, for one thread.

What it does that others do not: its first bytes are the AMQP 0-10 header, and only another protocol's header in answer makes it
fall back to 1.0; SASL ANONYMOUS carries "anonymous@host"; a refused link or a null address is fatal (NotFound); an AMQP close
or end is not a reason to reconnect its links: the caller's thread ends (Deafened); a dropped TCP connection is (Lost).
"""
import base64
import hashlib
import hmac
import os
import select
import socket
import time
import uuid

from wire import U8, U16, U32, U64, Described, Message, Reader, Symbol, WireError, encode

OPEN, BEGIN, ATTACH, FLOW, TRANSFER, DISPOSITION, DETACH, END, CLOSE = range(0x10, 0x19)
NAMES = dict(zip(range(0x10, 0x19), 'open begin attach flow transfer disposition detach end close'.split()))
SASL_INIT, SASL_CHALLENGE, SASL_RESPONSE, SASL_OUTCOME = 0x41, 0x42, 0x43, 0x44
ACCEPTED, REJECTED, RELEASED, MODIFIED = 0x24, 0x25, 0x26, 0x27
HEADER_010, HEADER_SASL, HEADER_10 = b'AMQP\x01\x01\x00\x0a', b'AMQP\x03\x01\x00\x00', b'AMQP\x00\x01\x00\x00'
DIRECT_FILTER, TOPIC_FILTER = 0x468C00000000, 0x468C00000001
WINDOW = 50      # unsettled messages per sender before it blocks
STEP_S = 20      # the longest wait for an answer in the handshake


class Lost(Exception):
    """TCP went, or never came; reconnect."""


class Deafened(Exception):
    """The peer sent close, end or detach: libqmf2's thread ends here."""


class NotFound(Exception):
    """A link was refused: qpid::messaging::NotFound, which nobody catches."""


class Link:
    def __init__(self, address, receiver, key=None, capability='topic', name=None):
        self.address, self.receiver, self.key, self.capability = address, receiver, key, capability
        self.name = name or '%s_%s' % (address, uuid.uuid4())
        self.handle = self.remote_handle = None
        self.attached, self.credit, self.count = False, 0, 0
        self.drained = False
        self.waiting, self.unsettled, self.partial = [], {}, b''

    def source(self):
        if not self.receiver:
            return Described(U64(0x28), [self.address])
        code = TOPIC_FILTER if '#' in self.key or '*' in self.key else DIRECT_FILTER
        fields = [self.address, U32(0), Symbol('session-end'), U32(0), False, None, None,
                  {Symbol('subject-filter'): Described(U64(code), self.key)}, None, None]
        return Described(U64(0x28), fields + [Symbol(self.capability) if self.capability else None])

    def target(self):
        fields = [self.address, U32(0), Symbol('session-end'), U32(0), False, None]
        return Described(U64(0x29), fields + [Symbol(self.capability) if self.capability and not self.receiver else None])


class Connection:
    """One TCP connection at a time; links survive it and are attached again by connect()."""

    def __init__(self, host, port, process, log, user=None, password=None):
        self.host, self.port, self.process, self.log = host, port, process[:15], log
        self.user, self.password = user, password
        self.container, self.links = str(uuid.uuid4()), []
        self.fallen_back = False
        self.socket = None

    # Bytes and frames

    def connect(self, links=True):
        """Connects, falling back from 0-10 where the peer says so; attaches all links. Lost, NotFound."""
        self.close_socket()
        try:
            self.socket = socket.create_connection((self.host, self.port), timeout=STEP_S)
        except OSError as error:
            raise Lost(str(error)) from None
        self.buffer, self.sent_s, self.idle_s = b'', time.monotonic(), None
        self.max_frame, self.next_id, self.window, self.unsettled = 512, 0, 1, {}
        if not self.fallen_back:
            self.offer_010()
        self.authenticate()
        self.open_session()
        for link in self.links:
            link.attached, link.credit, link.count, link.remote_handle, link.partial = False, 0, 0, None, b''
        for link in self.links if links else []:
            self.attach(link)

    def offer_010(self):
        """The first words of a 0-10 client. Another protocol's header in answer: once more, with 1.0."""
        self.log('offered', protocol='0-10')
        self.write(HEADER_010)
        answer = self.exactly(8)
        if answer[:4] == b'AMQP' and answer != HEADER_010:
            self.fallen_back = True
            self.log('fallback', answer=answer.hex())
            self.close_socket()
            self.socket = socket.create_connection((self.host, self.port), timeout=STEP_S)
            self.buffer = b''
            return
        raise Lost('no 1.0 header in answer to the 0-10 one')

    def authenticate(self):
        self.write(HEADER_SASL)
        if self.exactly(8) != HEADER_SASL:
            raise Lost('no SASL')
        code, fields = self.expect_frame()
        offered = fields[0] if isinstance(fields[0], list) else [fields[0]]
        self.log('mechanisms', offered=[str(name) for name in offered])
        if self.user is None and 'EXTERNAL' in offered:
            raise Lost('picked EXTERNAL and had nothing to say')
        strongest = next((name for name in ('SCRAM-SHA-256', 'PLAIN') if name in offered), None)
        chosen = 'ANONYMOUS' if self.user is None else strongest
        if chosen not in offered:
            raise Lost('no mechanism in common')
        if chosen == 'SCRAM-SHA-256':
            return self.scram()
        response = b'anonymous@' + socket.gethostname().encode() if self.user is None else \
            b'\0' + self.user.encode() + b'\0' + self.password.encode()
        self.frame(SASL_INIT, [Symbol(chosen), response], kind=1)
        return self.outcome(*self.expect_frame())

    def scram(self):
        """RFC 5802 and 7677, as Cyrus SASL would."""
        bare = b'n=%s,r=%s' % (self.user.encode(), uuid.uuid4().hex.encode())
        self.frame(SASL_INIT, [Symbol('SCRAM-SHA-256'), b'n,,' + bare], kind=1)
        code, fields = self.expect_frame()
        if code != SASL_CHALLENGE:
            return self.outcome(code, fields)
        first = fields[0]
        said = dict(part.split(b'=', 1) for part in first.split(b','))
        salted = hashlib.pbkdf2_hmac('sha256', self.password.encode(), base64.b64decode(said[b's']), int(said[b'i']))
        key = hmac.digest(salted, b'Client Key', 'sha256')
        final = b'c=biws,r=' + said[b'r']
        signature = hmac.digest(hashlib.sha256(key).digest(), b','.join((bare, first, final)), 'sha256')
        proof = bytes(one ^ other for one, other in zip(key, signature))
        self.frame(SASL_RESPONSE, [final + b',p=' + base64.b64encode(proof)], kind=1)
        code, fields = self.expect_frame()
        if code == SASL_CHALLENGE:
            self.frame(SASL_RESPONSE, [b''], kind=1)
            code, fields = self.expect_frame()
        return self.outcome(code, fields)

    @staticmethod
    def outcome(code, fields):
        if code != SASL_OUTCOME or fields[0] != 0:
            raise Lost('not authenticated')

    def open_session(self):
        self.write(HEADER_10)
        if self.exactly(8) != HEADER_10:
            raise Lost('no AMQP after SASL')
        properties = {Symbol('qpid.client_process'): self.process, Symbol('qpid.client_pid'): os.getpid(),
                      Symbol('qpid.client_ppid'): os.getppid()}
        self.frame(OPEN, [self.container, None, None, U16(32767), None, None, None, None, None, properties])
        self.frame(BEGIN, [None, U32(0), U32(0x7fffffff), U32(0x7fffffff), U32(0xffffffff)])
        for wanted in (OPEN, BEGIN):
            code, fields = self.expect_frame()
            if code != wanted:
                self.on_frame(code, fields, b'')
                raise Lost('%s instead of %s' % (NAMES.get(code), NAMES[wanted]))
            if code == OPEN:
                fields += [None] * (5 - len(fields))
                self.max_frame = min(fields[2] or 65536, 65536)
                self.idle_s = fields[4] / 1000 if fields[4] else None
            else:
                self.window = fields[2]

    def attach(self, link):
        """Attaches and waits for the answer. A null or other address, or an error, is NotFound."""
        if link not in self.links:
            self.links.append(link)
        link.handle = self.links.index(link)
        settle = 2 if link.receiver else 0
        self.frame(ATTACH, [link.name, U32(link.handle), link.receiver, U8(settle), U8(0), link.source(), link.target(), None, None,
                            None if link.receiver else U32(0)])
        deadline = time.monotonic() + STEP_S
        while not link.attached:
            self.step(max(0, deadline - time.monotonic()))
            if time.monotonic() > deadline:
                raise Lost('no answer to attach of ' + link.address)
        if link.receiver:
            self.grant(link)
        else:
            again = list(link.unsettled.values())
            link.unsettled = {}
            link.waiting[:0] = again

    def grant(self, link, credit=64, drain=False):
        self.frame(FLOW, [U32(0), U32(0x7fffffff), U32(self.next_id), U32(0x7fffffff), U32(link.handle), U32(link.count), U32(credit),
                          U32(0), drain, drain])
        link.credit = credit

    def drain(self, link, timeout=5):
        """What qpid::messaging does before it closes a receiver; False when the peer never answers."""
        link.drained = False
        self.grant(link, 64, drain=True)
        deadline = time.monotonic() + timeout
        while not link.drained and time.monotonic() < deadline:
            self.step(deadline - time.monotonic())
        return link.drained

    def send(self, link, message):
        """Queues; goes out with credit and fewer than WINDOW unsettled, and once more after a reconnect until it is settled."""
        link.waiting.append(message.encode())
        if self.socket:
            self.flush(link)

    def flush(self, link):
        while link.attached and link.waiting and link.credit > 0 and self.window > 0 and len(link.unsettled) < WINDOW:
            data = link.waiting.pop(0)
            number, link.credit, link.count, self.window = self.next_id, link.credit - 1, link.count + 1, self.window - 1
            self.next_id += 1
            link.unsettled[number] = self.unsettled[number] = data
            room = self.max_frame - 64
            for start in range(0, len(data), room):
                more = start + room < len(data)
                first = [U32(link.handle), U32(number), str(number).encode(), U32(0), False, more] if start == 0 else \
                        [U32(link.handle), None, None, None, None, more]
                self.frame(TRANSFER, first, payload=data[start:start + room])

    def frame(self, code, fields, payload=b'', kind=0):
        body = encode(Described(U64(code), fields)) + payload
        self.write((8 + len(body)).to_bytes(4, 'big') + bytes([2, kind, 0, 0]) + body)
        if kind == 0 and code != TRANSFER and code != FLOW and code != DISPOSITION:
            self.log('sent', frame=NAMES[code])

    def write(self, data):
        try:
            self.socket.settimeout(STEP_S)
            self.socket.sendall(data)
            self.sent_s = time.monotonic()
        except OSError as error:
            raise Lost(str(error)) from None

    def exactly(self, count, timeout=STEP_S):
        deadline = time.monotonic() + timeout
        while len(self.buffer) < count:
            self.fill(deadline - time.monotonic())
            if time.monotonic() > deadline:
                raise Lost('silence')
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def fill(self, timeout):
        """Reads what is there, waiting up to timeout seconds. True when bytes came."""
        try:
            if not select.select([self.socket], [], [], max(0, timeout))[0]:
                return False
            data = self.socket.recv(65536)
        except OSError as error:
            raise Lost(str(error)) from None
        if not data:
            raise Lost('end of stream')
        self.buffer += data
        return True

    def next_frame(self):
        """A whole frame from the buffer as (code, fields, payload), () for an empty one, None when there is none yet."""
        if len(self.buffer) < 8:
            return None
        size = int.from_bytes(self.buffer[:4], 'big')
        if size < 8:
            raise WireError('frame of %d bytes' % size)
        if len(self.buffer) < size:
            return None
        frame, self.buffer = self.buffer[:size], self.buffer[size:]
        body = frame[4 * frame[4]:]
        if not body:
            return ()
        reader = Reader(body)
        performative = reader.value()
        return performative.descriptor, performative.value, body[reader.at:]

    def expect_frame(self):
        deadline = time.monotonic() + STEP_S
        while True:
            frame = self.next_frame()
            if frame:
                return frame[:2]
            if not self.fill(deadline - time.monotonic()) and time.monotonic() > deadline:
                raise Lost('silence')

    # What comes in

    def step(self, timeout):
        """Handles what arrived, waiting up to timeout seconds for something. Lost, Deafened, NotFound."""
        self.keep_alive()
        got = False
        while True:
            frame = self.next_frame()
            if frame is None:
                if got or not self.fill(min(timeout, self.idle_s / 4 if self.idle_s else timeout)):
                    break
                continue
            got = True
            if frame:
                self.on_frame(*frame)
        for link in self.links:
            self.flush(link)

    def keep_alive(self):
        if self.idle_s and time.monotonic() - self.sent_s > self.idle_s / 2:
            self.write(b'\0\0\0\x08\x02\0\0\0')

    def on_frame(self, code, fields, payload):
        if code in (ATTACH, DETACH, END, CLOSE):
            self.log('received', frame=NAMES[code], fields=repr(fields)[:300])
        if code == CLOSE:
            self.frame(CLOSE, [])
            raise Deafened('close: %r' % fields)
        if code == END:
            raise Deafened('end: %r' % fields)
        if code == ATTACH:
            self.on_attach(fields)
        elif code == DETACH:
            self.on_detach(fields)
        elif code == FLOW:
            self.on_flow(fields + [None] * (10 - len(fields)))
        elif code == TRANSFER:
            self.on_transfer(fields + [None] * (6 - len(fields)), payload)
        elif code == DISPOSITION:
            self.on_disposition(fields + [None] * (5 - len(fields)))

    def on_attach(self, fields):
        link = next((link for link in self.links if link.name == fields[0] and not link.attached), None)
        if link is None:
            raise Deafened('attach nobody asked for: %r' % fields)
        fields += [None] * (7 - len(fields))
        end = fields[5] if link.receiver else fields[6]
        address = end.value[0] if isinstance(end, Described) and end.value else None
        if address != link.address:
            raise NotFound('No such %s : %s' % ('source' if link.receiver else 'target', link.address))
        link.remote_handle, link.attached, link.count = fields[1], True, 0
        if link.receiver and len(fields) > 9 and fields[9]:
            link.count = fields[9]

    def on_detach(self, fields):
        link = next((link for link in self.links if link.remote_handle == fields[0]), None)
        raise (NotFound if link is None or not link.attached else Deafened)('detached: %r' % fields)

    def on_flow(self, fields):
        next_incoming, self.window = fields[0] or 0, fields[1] - (self.next_id - (fields[0] or 0))
        if fields[4] is None:
            return
        link = next((link for link in self.links if link.attached and link.remote_handle == fields[4]), None)
        if link is None:
            return
        if link.receiver:
            if fields[5] is not None:
                link.count = fields[5]
            link.drained = (fields[6] or 0) == 0
        else:
            link.credit = (fields[5] or 0) + (fields[6] or 0) - link.count

    def on_transfer(self, fields, payload):
        link = next(link for link in self.links if link.receiver and link.attached and link.remote_handle == fields[0])
        if fields[1] is not None:
            link.number, link.settled = fields[1], bool(fields[4])
        link.partial += payload
        if fields[5]:
            return
        data, link.partial = link.partial, b''
        link.count, link.credit = (link.count + 1) & 0xffffffff, link.credit - 1
        if not link.settled:
            self.frame(DISPOSITION, [True, U32(link.number), U32(link.number), True, Described(U64(ACCEPTED), [])])
        if link.credit < 32:
            self.grant(link)
        try:
            message = Message.decode(data)
        except (WireError, ValueError, KeyError, AttributeError) as error:
            self.log('undecodable', error=str(error), message=data.hex())
            return
        self.on_message(link, message)

    def on_disposition(self, fields):
        last = fields[1] if fields[2] is None else fields[2]
        state = fields[4].descriptor if isinstance(fields[4], Described) else None
        for link in self.links:
            for number in [n for n in link.unsettled if fields[1] <= n <= last]:
                data = link.unsettled.pop(number)
                if state in (RELEASED, MODIFIED):
                    link.waiting.insert(0, data)
                if state != ACCEPTED:
                    self.log('outcome', state=state, address=link.address)

    def on_message(self, link, message):
        """For the heir: a message arrived."""

    def close(self):
        """As qpid::messaging closes: every receiver is drained first."""
        drained = [self.drain(link) for link in self.links if link.receiver and link.attached]
        self.frame(CLOSE, [])
        self.close_socket()
        return all(drained)

    def close_socket(self):
        if self.socket:
            self.socket.close()
        self.socket = None
