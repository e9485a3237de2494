"""A site with one guest behind a real sshd, which is this machine: a broker, a policy engine, the bridge, and services that are files."""
import os
import time
import unittest

import mendsite
import sshserver
from mendsite import BIN, wait_for

ID = '6f1a2b3c-0000-4000-8000-000000000001'
AGENT = 'matahariproject.org:mend-ssh:' + ID

POLICY = """
mend: 1
applications:
  - name: shop
    vms:
      - name: web
        match: {id: %s}
        services:
          - {name: one, standard: ocf, provider: test, agent: Svc}
          - {name: two, standard: ocf, provider: test, agent: Svc}
rules:
  - name: heal
    on: service.failed
    ladder:
      - {do: service.restart, attempts: 5, within: 10m, healed_when: {state: running}}
""" % ID

# Runs while its file is there; does what NAME.slow says first; writes down what it was asked for.
SVC = """#!/bin/sh
f=%s/$OCF_RESOURCE_INSTANCE
[ "$1" = monitor ] || echo "$1" >>"$f.log"
if [ -e "$f.slow-$1" ]; then sleep "$(cat "$f.slow-$1")"; fi
if [ -e "$f.flood" ]; then head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; fi
case $1 in
start)
  if [ -e "$f.daemon" ]; then sleep 600 & echo $! >"$f.daemon"; fi
  : >"$f" ;;
stop) rm -f "$f" ;;
monitor) [ -e "$f" ] && exit 0; exit 7 ;;
*) exit 3 ;;
esac
"""


class Case(unittest.TestCase):
    def setUp(self):
        self.mend = mendsite.Site()
        self.addCleanup(lambda: self.mend.__exit__(AssertionError if mendsite.failed(self) else None, None, None))
        self.server = sshserver.Server(self.mend)
        agents = self.mend.path('ocf/resource.d/test')
        os.makedirs(agents)
        with open(os.path.join(agents, 'Svc'), 'w') as script:
            script.write(SVC % self.mend.folder)
        os.chmod(script.name, 0o755)
        for name in ('one', 'two'):
            self.touch(name)

    def touch(self, name, text=''):
        self.mend.write(name, text)

    def remove(self, name):
        os.unlink(self.mend.path(name))

    def asked(self, name):
        try:
            with open(self.mend.path(name + '.log')) as log:
                return log.read().split()
        except FileNotFoundError:
            return []

    def site(self):
        self.mend.broker('--anonymous')
        self.mend.policy('--policy', self.mend.write('policy.yaml', POLICY))

    def bridge(self, timeout='5s', options=(), services='', **guest):
        given = {'host': '127.0.0.1', 'port': self.server.port, 'user': 'root', 'identity': self.server.client_key,
                 'known-hosts': self.server.known_hosts}
        given.update(guest)
        lines = ''.join('    %s: %s\n' % pair for pair in given.items())
        listed = ''.join('      - {name: %s, standard: ocf, provider: test, agent: Svc, interval: 300ms, timeout: %s, start_timeout: 20s, stop_timeout: 8s}\n' % (name, timeout)
                           for name in ('one', 'two'))
        guests = self.mend.write('guests.yaml', 'guests:\n  - id: %s\n    name: web\n%s    services:\n%s' % (ID, lines, listed + services))
        self.addCleanup(self.bridge_ends_well)
        return self.mend.start('bridge', os.path.join(BIN, 'mend-bridge'), 'ssh', '--guests', guests, '--anonymous', '--log', 'debug',
                               '--broker', 'amqp://127.0.0.1:%d' % self.mend.port, '--data', self.mend.path('b'), '--heartbeat', '1s',
                               '--alive', '1s', '--ocf-root', self.mend.path('ocf'), '--init-dir', self.mend.path('init.d'), *options)

    def bridge_ends_well(self):
        if 'bridge' in self.mend.running:
            self.assertEqual(self.mend.stop('bridge'), 0, self.mend.log('bridge')[-3000:])

    def state(self, name):
        return self.mend.entities().get('service/%s/%s' % (ID, name), {}).get('state')

    def await_state(self, name, state, timeout=60):
        wait_for('%s %s' % (name, state), lambda: self.state(name) == state, timeout, 0.1)

    def up(self, *sshd_options, **bridge):
        self.server.start(*sshd_options)
        self.site()
        self.bridge(**bridge)
        for name in ('one', 'two'):
            self.await_state(name, 'running')

    def nobody_comes_in(self, words, **guest):
        self.site()
        self.bridge(**guest)
        wait_for(words, lambda: words in self.mend.log('bridge'), 30)
        wait_for('the agent', lambda: self.mend.agents()[AGENT]['state'] == 'up', 30)
        for name in ('one', 'two'):
            self.await_state(name, 'unknown')
        time.sleep(2)
        self.assertEqual(self.asked('one') + self.asked('two'), [])
        answer = self.mend.mend('call', AGENT, 'Guest', 'restart', 'name=one', check=False)
        self.assertIn('out of reach', answer.stdout + answer.stderr)
