"""A broker without authentication, a world, and the policy engine as a process that can be killed."""
import json
import os
import signal
import subprocess
import tempfile
import time

from world import World

SOURCE = os.environ.get('MEND_SOURCE_DIR') or os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
MEND = os.path.join(os.environ.get('MEND_BUILD_DIR') or os.path.join(SOURCE, 'build'), 'bin', 'mend')

POLICY = '''mend: 1
startup_guard: 0
defaults: {attempts: 3, backoff: {first: 100ms, max: 1s}, healed_when: {for: 50ms}, timeout: 3s}
'''


def wait_for(what, check, timeout=15):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError('%s did not come within %d s' % (what, timeout))


class EngineSite:
    def __init__(self, answer=None, policy=POLICY):
        self.folder = tempfile.TemporaryDirectory(prefix='mend-policy-')
        self.policy = os.path.join(self.folder.name, 'policy.yaml')
        with open(self.policy, 'w') as out:
            out.write(policy)
        self.logs = open(os.path.join(self.folder.name, 'log'), 'w+')
        self.broker = subprocess.Popen([MEND, 'broker', '--lab', '--no-plugin', '--listen', '127.0.0.1:0', '--data', os.path.join(self.folder.name, 'broker')],
                                       stdout=subprocess.PIPE, stderr=self.logs, text=True)
        self.url = 'amqp://' + self.broker.stdout.readline().split(' on ')[1].split()[0].split(',')[0]
        self.world = World(self.url, answer)
        self.engine = None

    def start(self, crash_at=None, fail_at=None, options=()):
        claims = self.world.claims
        environment = dict(os.environ)
        environment.pop('MEND_CRASH_AT', None)
        environment.pop('MEND_FAIL_AT', None)
        if crash_at:
            environment['MEND_CRASH_AT'] = crash_at
        if fail_at:
            environment['MEND_FAIL_AT'] = fail_at
        self.engine = subprocess.Popen([MEND, 'policy', 'run', '--broker', self.url, '--data', self.folder.name, '--policy', self.policy,
                                        '--log-level', 'info', *options], stderr=self.logs, stdout=self.logs, env=environment)
        wait_for('the claim', lambda: self.world.claims > claims or self.engine.poll() is not None)

    def kill(self):
        self.engine.send_signal(signal.SIGKILL)
        self.engine.wait(5)

    def ask(self, *words):
        done = subprocess.run([MEND, *words, '--broker', self.url, '--engine', 'main', '--json'], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=20)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def log(self):
        self.logs.flush()
        with open(self.logs.name) as lines:
            return lines.read()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            print(self.log()[-6000:])
        self.world.close()
        for process in (self.engine, self.broker):
            if process and process.poll() is None:
                process.terminate()
                process.wait(10)
            if process and process.stdout:
                process.stdout.close()
        self.logs.close()
        self.folder.cleanup()
