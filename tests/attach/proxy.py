"""A TCP proxy on loopback that can be cut: connections through it hang (no end is told), new ones are refused, until it is mended."""
import contextlib
import select
import socket
import threading


class Proxy:
    def __init__(self, port):
        self.target = port
        self.listener = socket.socket()
        self.listener.bind(('127.0.0.1', 0))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        self.cut = self.ended = False
        self.pairs = {}
        self.lock = threading.Lock()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while not self.ended:
            with self.lock:
                known = [] if self.cut else list(self.pairs)
            try:
                ready, _, _ = select.select([self.listener, *known], [], [], 0.05)
            except (OSError, ValueError):
                self.forget_closed()
                continue
            for each in ready:
                if each is self.listener:
                    self.accept()
                elif not self.cut:
                    self.carry(each)

    def accept(self):
        with contextlib.suppress(OSError):
            inner, _ = self.listener.accept()
            if self.cut:
                inner.close()
                return
            outer = socket.create_connection(('127.0.0.1', self.target), 5)
            with self.lock:
                self.pairs[inner], self.pairs[outer] = outer, inner

    def carry(self, each):
        data = b''
        with contextlib.suppress(OSError):
            data = each.recv(65536)
        with contextlib.suppress(OSError):
            if data:
                self.pairs[each].sendall(data)
                return
        self.drop(each)

    def drop(self, each):
        with self.lock:
            other = self.pairs.pop(each, None)
            self.pairs.pop(other, None)
        for one in (each, other):
            if one is not None:
                one.close()

    def forget_closed(self):
        with self.lock:
            for each in [each for each in self.pairs if each.fileno() < 0]:
                self.pairs.pop(each)

    def mend(self):
        """What hung through the cut is dropped; new connections go through."""
        with self.lock:
            known = list(self.pairs)
        for each in known:
            self.drop(each)
        self.cut = False

    def close(self):
        self.ended = True
        self.listener.close()
        self.cut = False
        with self.lock:
            known = list(self.pairs)
        for each in known:
            self.drop(each)
