"""A Mend site for one test: the built programs on a free port with a data folder of their own, ended by their ids.

    with mendsite.Site() as mend:
        mend.broker('--anonymous')
        mend.policy()
        wait_for('an agent', mend.agents)
"""
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

SOURCE = os.environ.get('MEND_SOURCE_DIR') or os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
BUILD = os.environ.get('MEND_BUILD_DIR') or os.path.join(SOURCE, 'build')
BIN = os.path.join(BUILD, 'bin')


def wait_for(what, check, timeout=10, step=0.02):
    """Asks until check() gives something true; AssertionError naming what did not come."""
    deadline = time.monotonic() + timeout
    while True:
        with contextlib.suppress(OSError, ValueError, KeyError):
            found = check()
            if found:
                return found
        if time.monotonic() > deadline:
            raise AssertionError('%s did not come within %g s' % (what, timeout))
        time.sleep(step)


def failed(case):
    """Whether the unittest @case has failed, as known while its cleanups run."""
    return any(test is case for test, _ in case._outcome.result.failures + case._outcome.result.errors)


class Site:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix='mend-test-')
        self.data = os.path.join(self.folder, 'data')
        self.running = {}
        self.port = None

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for name in list(self.running):
            self.stop(name)
        if kind is not None:
            for name in sorted(os.listdir(self.folder)):
                if name.endswith('.log'):
                    print('---- %s ----\n%s' % (name, self.log(name[:-4])[-6000:]))
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), 'w') as out:
            out.write(text)
        return self.path(name)

    def environment(self):
        return dict(os.environ, MEND_DATA=self.data)

    def start(self, name, *command):
        """Starts a program that stays; its output goes to NAME.log."""
        with open(self.path(name + '.log'), 'ab') as log:
            self.running[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment())
        return self.running[name]

    def stop(self, name, sig=signal.SIGTERM, timeout=10):
        """Ends it and returns its exit status; SIGKILL when it does not listen."""
        process = self.running.pop(name)
        if process.poll() is None:
            process.send_signal(sig)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(timeout)
            process.kill()
        return process.wait()

    def log(self, name):
        with open(self.path(name + '.log'), errors='replace') as log:
            return log.read()

    def broker(self, *options):
        """Starts `mend broker` and waits until it listens; after a stop on the same port again."""
        announced = os.path.join(self.data, 'run', 'broker.url')
        with contextlib.suppress(OSError):
            os.unlink(announced)
        process = self.start('broker', os.path.join(BIN, 'mend'), 'broker', '--listen', '127.0.0.1:%d' % (self.port or 0),
                             '--data', self.data, *options)

        def listening():
            if process.poll() is not None:
                raise AssertionError('the broker ended: ' + self.log('broker')[-3000:])
            with open(announced) as text:
                self.port = int(text.read().strip().rstrip('/').rpartition(':')[2])
            with socket.create_connection(('127.0.0.1', self.port), 1):
                return True

        wait_for('the broker', listening, 20)
        return process

    def policy(self, *options):
        return self.start('policy', os.path.join(BIN, 'mend'), 'policy', 'run', '--data', self.data, *options)

    def mend(self, *arguments, timeout=30, check=True):
        """Runs a verb of the operator's and returns what subprocess.run does."""
        done = subprocess.run([os.path.join(BIN, 'mend'), *arguments, '--data', self.data], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout, env=self.environment())
        if check and done.returncode != 0:
            raise AssertionError('mend %s: exit %d: %s' % (' '.join(arguments), done.returncode, done.stderr or done.stdout))
        return done

    def json(self, *arguments, **more):
        return json.loads(self.mend(*arguments, '--json', **more).stdout)

    def agents(self):
        """Name -> what the plugin knows of the agent."""
        return {each['_values']['name']: each['_values'] for each in self.json('agents')}

    def entities(self):
        """Path -> what is true now of the entity: kind, state, data …."""
        return {each['_object_id']['_object_name']: each['_values'] for each in self.json('events')}

    def password(self, user):
        with open(os.path.join(self.data, 'credentials', user)) as text:
            return text.read().strip()
