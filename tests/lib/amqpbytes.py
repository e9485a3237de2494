"""AMQP 1.0 by hand, as bytes: for tests that send what no library would. Values: None, bool, int (uint), str, bytes, Symbol, list, dict,
Described, or Raw bytes."""
import socket
import struct

AMQP = b'AMQP\x00\x01\x00\x00'
SASL = b'AMQP\x03\x01\x00\x00'
OPEN, BEGIN, ATTACH, FLOW, TRANSFER, DISPOSITION, DETACH, END, CLOSE = range(0x10, 0x19)
MECHANISMS, INIT, CHALLENGE, RESPONSE, OUTCOME = range(0x40, 0x45)


class Symbol(str):
    pass


class Raw(bytes):
    pass


class Described:
    def __init__(self, descriptor, value):
        self.descriptor, self.value = descriptor, value


def encode(value):
    if isinstance(value, Raw):
        return bytes(value)
    if value is None:
        return b'\x40'
    if isinstance(value, bool):
        return b'\x41' if value else b'\x42'
    if isinstance(value, int):
        return b'\x70' + struct.pack('>I', value)
    if isinstance(value, bytes):
        return b'\xb0' + struct.pack('>I', len(value)) + value
    if isinstance(value, str):
        text = value.encode()
        return (b'\xb3' if isinstance(value, Symbol) else b'\xb1') + struct.pack('>I', len(text)) + text
    if isinstance(value, Described):
        descriptor = value.descriptor
        code = b'\x80' + struct.pack('>Q', descriptor) if isinstance(descriptor, int) else encode(Symbol(descriptor))
        return b'\x00' + code + encode(value.value)
    items = [x for pair in value.items() for x in pair] if isinstance(value, dict) else value
    body = b''.join(map(encode, items))
    return (b'\xd1' if isinstance(value, dict) else b'\xd0') + struct.pack('>II', len(body) + 4, len(items)) + body


def frame(code, fields, payload=b'', channel=0, kind=0):
    body = encode(Described(code, fields)) + payload
    return struct.pack('>IBBH', len(body) + 8, 2, kind, channel) + body


def ubyte(n):
    return Raw(b'\x50' + bytes([n]))


def ushort(n):
    return Raw(b'\x60' + struct.pack('>H', n))


def hello(container='bytes'):
    """Everything up to an open connection with one session, as an anonymous client."""
    return SASL + frame(INIT, [Symbol('ANONYMOUS'), b'x'], kind=1) + AMQP + frame(OPEN, [container, 'host']) + begin()


def begin():
    return frame(BEGIN, [None, 0, 1000, 1000])


def attach(name, handle, receiver, address, **more):
    source = Described(0x28, [None if not receiver else address])
    target = Described(0x29, [address if not receiver else None])
    return frame(ATTACH, [name, handle, receiver, ubyte(2), ubyte(0), more.get('source', source), more.get('target', target), None, None,
                          None if receiver else 0])


def flow(handle, credit):
    return frame(FLOW, [0, 1000, 0, 1000, handle, 0, credit])


def transfer(handle, number, payload, more=False, aborted=False, settled=False):
    return frame(TRANSFER, [handle, number, b'%d' % number, 0, settled, more, None, None, None, aborted], payload)


def message(body=b'x'):
    return encode(Described(0x75, body))


def connect(port, timeout=10):
    stream = socket.create_connection(('127.0.0.1', port), timeout)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


def read_all(stream, timeout=2):
    """What comes until the other side ends or is silent for @timeout."""
    stream.settimeout(timeout)
    got = b''
    try:
        while True:
            piece = stream.recv(65536)
            if not piece:
                break
            got += piece
    except (socket.timeout, ConnectionError):
        pass
    return got
