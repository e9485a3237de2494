"""The actions of a host agent (build/tests/stand_actions) on a lvhost.Host, without a bus: commands in, answers and what it tells out."""
import json
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))

from mendsite import BUILD  # noqa: E402


class Agent:
    def __init__(self, host, *settings, uri=None, program='stand_actions'):
        self.host = host
        self.process = host.popen([os.path.join(BUILD, 'tests', program), uri or host.local_uri, *settings],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.changed = threading.Condition()
        self.answers, self.events, self.n = {}, [], 0
        threading.Thread(target=self._read, daemon=True).start()
        self.id, self.boot_id = self._up()

    def _up(self):
        event = self.wait(lambda e: 'up' in e)
        return event['up'], event['boot_id']

    def _read(self):
        for line in self.process.stdout:
            line = json.loads(line)
            with self.changed:
                if 'answer' in line:
                    self.answers[line['id']] = line['answer']
                else:
                    self.events.append(line['event'])
                self.changed.notify_all()

    def begin(self, method, vm, **arguments):
        self.n += 1
        arguments['name'] = vm
        self.process.stdin.write(json.dumps({'id': str(self.n), 'method': method, 'arguments': arguments}) + '\n')
        self.process.stdin.flush()
        return str(self.n)

    def end(self, number, timeout=120):
        with self.changed:
            if not self.changed.wait_for(lambda: number in self.answers, timeout):
                raise AssertionError('no answer in %g s' % timeout)
            return Answer(self.answers[number])

    def call(self, method, vm, timeout=120, **arguments):
        return self.end(self.begin(method, vm, **arguments), timeout)

    def start(self, vm, **more):
        return self.call('vm_start', vm, host=self.id, boot_id=self.boot_id, proof=['test'], **more)

    def wait(self, wanted, timeout=30, first=0):
        """The first event from index @first on that is @wanted."""
        def found():
            return next((e for e in self.events[first:] if wanted(e)), None)
        with self.changed:
            if not self.changed.wait_for(lambda: found() is not None, timeout):
                raise AssertionError('not told in %g s: %s' % (timeout, self.events[first:]))
            return found()

    def jobs(self, vm=None):
        """[('migration', 'begun'), …] as told."""
        with self.changed:
            return [(e['values']['job'], e['values']['says']) for e in self.events
                    if 'values' in e and 'job' in e['values'] and vm in (None, e['values'].get('id'))]

    def kill(self):
        """As kill -9 of the agent."""
        pids = [pid for pid in self.host.pids() if comm(pid).startswith('stand_') and parent(pid) == self.process.pid]
        for pid in pids or [self.process.pid]:
            os.kill(pid, 9)
        self.process.wait()

    def close(self):
        try:
            self.process.stdin.write('{"quit": true}\n')
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        self.process.wait(20)


def comm(pid):
    try:
        with open('/proc/%d/comm' % pid) as f:
            return f.read().strip()
    except OSError:
        return ''


def parent(pid):
    try:
        with open('/proc/%d/stat' % pid) as f:
            return int(f.read().rsplit(')', 1)[1].split()[1])
    except OSError:
        return 0


class Answer:
    def __init__(self, answer):
        values = answer['values']
        self.what, self.error = answer['state'], answer['error']
        self.text = values.get('text') or values.get('error_text') or ''
        self.state, self.values = values.get('state', ''), values.get('values', {})

    def __repr__(self):
        return '%s %s %s %r %s' % (self.what, self.error, self.state, self.text, self.values)

    def must(self, what, error=None, state=None, text=None):
        assert self.what == what, self
        assert error is None or self.error == error, self
        assert state is None or self.state == state, self
        assert text is None or text in self.text, self
        return self


def until(what, check, timeout=30):
    deadline = time.monotonic() + timeout
    while not check():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
