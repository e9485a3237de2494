"""`mend attach` with an engine and agents beside a broker that is not ours, for one test."""
import json
import os
import socket
import subprocess

import mendsite

ID = '6a1f0c3e-0000-4000-8000-%012d'


class Site(mendsite.Site):
    """url: of the broker, with ?sasl=PLAIN where it has no TLS; password: of every user."""

    def __init__(self, url, password):
        super().__init__()
        self.url, self.secret = url, password
        self.anonymous = False
        self.attach_url = url # a test may put something between
        os.makedirs(self.data)
        self.write('password', password)

    def credentials(self, user, url=None):
        return self.write(user + '.credentials', 'user: %s\npassword: %s\nurl: "%s"\n' % (user, self.secret, url or self.url))

    def attach(self, *options, name='attach'):
        process = self.start(name, os.path.join(mendsite.BIN, 'mend'), 'attach', '--credentials', self.credentials('mend', self.attach_url), '--data', self.path(name),
                             '--log', 'debug', *options)
        mendsite.wait_for('mend attach', lambda: 'attached to' in self.log(name) or process.poll() is not None, 60)
        assert process.poll() is None, self.log(name)
        return process

    def engine(self, *options, user='engine', name='policy'):
        return self.start(name, os.path.join(mendsite.BIN, 'mend'), 'policy', 'run', '--data', self.path(name), '--broker', self.url, '--user', user,
                          '--password-file', self.path('password'), *options)

    def guest(self, number, *services, user=None):
        identity = ID % number
        return self.start('guest%d' % number, os.path.join(mendsite.BIN, 'mend-guest'), '--credentials', self.credentials(user or 'agent-' + identity),
                          '--id', identity, '--data', self.path('guest%d' % number), '--log', 'debug',
                          *['--service=' + each for each in services])

    def mend(self, *arguments, timeout=30, check=True):
        login = [] if self.anonymous else ['--user', 'operator', '--password-file', self.path('password')]
        done = subprocess.run([os.path.join(mendsite.BIN, 'mend'), *arguments, '--broker', self.url, *login], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError('mend %s: exit %d: %s' % (' '.join(arguments), done.returncode, done.stderr or done.stdout))
        return done

    def states(self):
        """Agent's ID -> state, and entity -> state."""
        if self.mend('agents', check=False).returncode != 0:
            return {}
        known = {name.rpartition(':')[2]: each['state'] for name, each in self.agents().items()}
        known.update({path: each['state'] for path, each in self.entities().items()})
        return known

    def statistics(self):
        return json.dumps(self.states(), indent=1)


def free_port():
    with socket.socket() as each:
        each.bind(('127.0.0.1', 0))
        return each.getsockname()[1]
