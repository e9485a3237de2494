"""The two encodings a libqmf2 peer of 2012 writes on AMQP 1.0: AMQP 1.0 itself, and the AMQP 0-10 maps in its data sections.

Plain Python values carry no width, so numbers come in classes named after their 0-10 type; what has no class is written as
libqmf2 would: str and bytes as vbin16, int as int64, float as double. Decoding gives str, bytes, int, float, dict, list, UUID.
"""
import struct
import uuid

_INTEGERS = {}


def _integer(name, code_10, form, code_010):
    kind = type(name, (int,), {})
    _INTEGERS[kind] = (code_10, form, code_010)
    return kind


U8 = _integer('U8', 0x50, '>B', 0x02)
U16 = _integer('U16', 0x60, '>H', 0x12)
U32 = _integer('U32', 0x70, '>I', 0x22)
U64 = _integer('U64', 0x80, '>Q', 0x32)
I32 = _integer('I32', 0x71, '>i', 0x21)
I64 = _integer('I64', 0x81, '>q', 0x31)


class Symbol(str):
    """An AMQP 1.0 symbol."""


class Text(str):
    """A string that goes out as 0-10 str16: what libqmf2 parsed from text, as predicates. All others go as vbin16."""


class Described:
    def __init__(self, descriptor, value):
        self.descriptor, self.value = descriptor, value

    def __repr__(self):
        return '@%s(%r)' % (self.descriptor, self.value)


class WireError(Exception):
    """Bytes that are not what they claim to be."""


# AMQP 1.0

def encode(value):
    """One AMQP 1.0 value."""
    if value is None:
        return b'\x40'
    if value is True or value is False:
        return b'\x41' if value else b'\x42'
    if isinstance(value, Described):
        return b'\x00' + encode(value.descriptor) + encode(value.value)
    if type(value) in _INTEGERS:
        return encode_integer(value)
    if isinstance(value, int):
        return b'\x81' + struct.pack('>q', value)
    if isinstance(value, float):
        return b'\x82' + struct.pack('>d', value)
    if isinstance(value, Symbol):
        return sized(0xa3, value.encode())
    if isinstance(value, str):
        return sized(0xa1, value.encode())
    if isinstance(value, bytes):
        return sized(0xa0, value)
    if isinstance(value, uuid.UUID):
        return b'\x98' + value.bytes
    if isinstance(value, dict):
        return compound(0xc1, [encode(part) for pair in value.items() for part in pair])
    if isinstance(value, (list, tuple)):
        return compound(0xc0, [encode(part) for part in value]) if value else b'\x45'
    raise TypeError(type(value))


def encode_integer(value):
    code, form, _ = _INTEGERS[type(value)]
    if isinstance(value, U32):
        return b'\x43' if value == 0 else b'\x52' + bytes([value]) if value < 256 else b'\x70' + struct.pack('>I', value)
    if isinstance(value, U64):
        return b'\x44' if value == 0 else b'\x53' + bytes([value]) if value < 256 else b'\x80' + struct.pack('>Q', value)
    return bytes([code]) + struct.pack(form, value)


def sized(code, data):
    """Short form of a variable-width type (code), or its long form (code + 0x10)."""
    return bytes([code, len(data)]) + data if len(data) < 256 else bytes([code + 0x10]) + struct.pack('>I', len(data)) + data


def compound(code, parts):
    data = b''.join(parts)
    if len(data) < 255 and len(parts) < 256:
        return bytes([code, len(data) + 1, len(parts)]) + data
    return bytes([code + 0x10]) + struct.pack('>II', len(data) + 4, len(parts)) + data


_FIXED = {0x50: '>B', 0x60: '>H', 0x70: '>I', 0x80: '>Q', 0x51: '>b', 0x61: '>h', 0x71: '>i', 0x81: '>q', 0x72: '>f', 0x82: '>d',
          0x52: '>B', 0x53: '>B', 0x54: '>b', 0x55: '>b', 0x83: '>q', 0x73: '>I'}
_CONSTANT = {0x40: None, 0x41: True, 0x42: False, 0x43: 0, 0x44: 0}


class Reader:
    """Reads values from bytes; WireError where they end too early."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if count < 0 or self.at + count > len(self.data):
            raise WireError('%d bytes wanted at %d of %d' % (count, self.at, len(self.data)))
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def more(self):
        return self.at < len(self.data)

    def value(self, code=None):
        """The next AMQP 1.0 value."""
        code = self.number('>B') if code is None else code
        if code == 0:
            return Described(self.value(), self.value())
        if code in _CONSTANT:
            return _CONSTANT[code]
        if code in _FIXED:
            return self.number(_FIXED[code])
        if code == 0x45:
            return []
        if code == 0x56:
            return self.number('>B') != 0
        if code == 0x98:
            return uuid.UUID(bytes=self.take(16))
        wide = '>I' if code & 0x10 else '>B'
        kind = code & ~0x10
        if kind in (0xa0, 0xa1, 0xa3):
            data = self.take(self.number(wide))
            return data if kind == 0xa0 else data.decode() if kind == 0xa1 else Symbol(data.decode())
        if kind in (0xc0, 0xc1, 0xe0):
            return self.compound(kind, wide)
        raise WireError('unknown constructor 0x%02x' % code)

    def compound(self, kind, wide):
        inner = Reader(self.take(self.number(wide)))
        count = inner.number(wide)
        if kind == 0xe0:
            code = inner.number('>B')
            if code == 0:
                raise WireError('array of described values')
            return [inner.value(code) for _ in range(count)]
        values = [inner.value() for _ in range(count)]
        return values if kind == 0xc0 else dict(zip(values[::2], values[1::2]))

    # AMQP 0-10

    def value_010(self):
        code = self.number('>B')
        integers = {c: form for _, form, c in _INTEGERS.values()}
        integers.update({0x01: '>b', 0x11: '>h', 0x23: '>f', 0x33: '>d', 0x38: '>Q'})
        if code in integers:
            return self.number(integers[code])
        if code == 0xf0:
            return None
        if code == 0x08:
            return self.number('>B') != 0
        if code == 0x48:
            return uuid.UUID(bytes=self.take(16))
        if code in (0xa8, 0xa9):
            return self.map_010() if code == 0xa8 else self.list_010()
        lengths = {0x80: '>B', 0x84: '>B', 0x85: '>B', 0x90: '>H', 0x94: '>H', 0x95: '>H', 0xa0: '>I'}
        if code in lengths:
            return self.take(self.number(lengths[code])).decode('utf-8', 'surrogateescape')
        raise WireError('unknown 0-10 type 0x%02x' % code)

    def inner_010(self):
        inner = Reader(self.take(self.number('>I')))
        return inner, inner.number('>I') if inner.more() else 0

    def map_010(self):
        inner, count = self.inner_010()
        return {inner.take(inner.number('>B')).decode(): inner.value_010() for _ in range(count)}

    def list_010(self):
        inner, count = self.inner_010()
        return [inner.value_010() for _ in range(count)]


# AMQP 0-10

def encode_010(value):
    """One 0-10 value with its type byte."""
    if value is None:
        return b'\xf0'
    if value is True or value is False:
        return b'\x08' + bytes([value])
    if type(value) in _INTEGERS:
        _, form, code = _INTEGERS[type(value)]
        return bytes([code]) + struct.pack(form, value)
    if isinstance(value, int):
        return b'\x31' + struct.pack('>q', value)
    if isinstance(value, float):
        return b'\x33' + struct.pack('>d', value)
    if isinstance(value, uuid.UUID):
        return b'\x48' + value.bytes
    if isinstance(value, dict):
        return b'\xa8' + map_010(value)
    if isinstance(value, (list, tuple)):
        return b'\xa9' + list_010(value)
    data = value if isinstance(value, bytes) else value.encode('utf-8', 'surrogateescape')
    if len(data) > 0xffff:
        return b'\xa0' + struct.pack('>I', len(data)) + data
    return (b'\x95' if isinstance(value, Text) else b'\x90') + struct.pack('>H', len(data)) + data


def map_010(entries):
    """A map without its type byte, keys in order as libqmf2's own maps are."""
    parts = [bytes([len(key.encode())]) + key.encode() + encode_010(entries[key]) for key in sorted(entries)]
    data = struct.pack('>I', len(parts)) + b''.join(parts)
    return struct.pack('>I', len(data)) + data


def list_010(values):
    data = struct.pack('>I', len(values)) + b''.join(encode_010(value) for value in values)
    return struct.pack('>I', len(data)) + data


# Messages

_SECTIONS = {0x70: 'header', 0x71: 'delivery-annotations', 0x72: 'message-annotations', 0x73: 'properties',
             0x74: 'application-properties', 0x75: 'data', 0x76: 'amqp-sequence', 0x77: 'amqp-value', 0x78: 'footer'}
_PROPERTIES = ('message-id', 'user-id', 'to', 'subject', 'reply-to', 'correlation-id', 'content-type')


class Message:
    """What libqmf2 sees of a message: subject, reply_to, correlation_id, content_type, properties (strings), body."""

    def __init__(self, subject=None, body=None, properties=None, reply_to=None, correlation_id=None, user_id=None):
        self.subject, self.body, self.reply_to, self.correlation_id = subject, body, reply_to, correlation_id
        self.user_id, self.properties, self.content_type, self.sections = user_id, properties or {}, None, []

    def encode(self):
        listed = isinstance(self.body, (list, tuple))
        data = list_010(self.body) if listed else map_010(self.body)
        fields = [None, self.user_id, None, self.subject, self.reply_to, self.correlation_id, Symbol('amqp/list' if listed else 'amqp/map')]
        return (encode(Described(U64(0x70), [False, U8(0)])) +
                encode(Described(U64(0x73), fields)) +
                encode(Described(U64(0x74), {key: self.properties[key] for key in sorted(self.properties)})) +
                encode(Described(U64(0x75), data)))

    @classmethod
    def decode(cls, data):
        """Takes the message apart. The body stays None where libqmf2 on AMQP 1.0 could not read it."""
        message, reader, raw = cls(), Reader(data), None
        while reader.more():
            section = reader.value()
            name = _SECTIONS.get(getattr(section, 'descriptor', None))
            if name is None:
                raise WireError('no message section')
            message.sections.append(name)
            if name == 'properties':
                fields = dict(zip(_PROPERTIES, section.value))
                message.subject, message.reply_to = text(fields.get('subject')), text(fields.get('reply-to'))
                message.correlation_id = text(fields.get('correlation-id'))
                message.content_type, message.user_id = text(fields.get('content-type')), fields.get('user-id')
            elif name == 'application-properties':
                message.properties = {text(key): text(value) for key, value in section.value.items()}
            elif name in ('data', 'amqp-value') and isinstance(section.value, bytes):
                raw = section.value
        if raw is not None and message.content_type in ('amqp/map', 'amqp/list'):
            inner = Reader(raw)
            message.body = inner.map_010() if message.content_type == 'amqp/map' else inner.list_010()
        return message


def text(value):
    return value.decode('utf-8', 'replace') if isinstance(value, bytes) else value
