#!/usr/bin/python3
"""Agents of 2012 on the embedded broker: discovered, tracked, called, outlive restarts, and are never done what kills them."""
import json
import os
import signal
import subprocess
import sys
import time
import unittest

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, FOLDER)
import mendsite  # noqa: E402
from mendsite import Site, wait_for  # noqa: E402

SPEED = 10   # a minute takes six seconds
POLICY = """
mend: 1
applications:
  - name: old
    vms:
      - name: one
        match: {name: old-service}
        services:
          - {name: mhdemo, standard: lsb}
          - {name: vip, standard: ocf, agent: Dummy, after: [mhdemo]}
          - {name: nothere, standard: ocf, agent: Absent}
          - {name: slow, standard: ocf, agent: Dummy, parameters: {op_sleep: "1"}}
rules:
  - name: heal
    on: service.failed
    where: event.name == "mhdemo" || event.name == "vip"
    ladder:
      - {do: service.restart, attempts: 3, within: 10m, healed_when: {state: running}}
"""


class StandIn:
    """An agent process of the stand-in, and what it logged."""

    def __init__(self, mend, kind, name='', speed=SPEED, **options):
        self.mend, self.name = mend, 'agent-' + kind + name
        self.state = mend.path(self.name + '.state')
        os.makedirs(self.state, exist_ok=True)
        self.log = mend.path(self.name + '.jsonl')
        more = [word for key, value in options.items() for word in ('--' + key, value)]
        self.process = mend.start(self.name, '/usr/bin/python3', os.path.join(FOLDER, 'agent.py'), kind, '--port', str(mend.port),
                                  '--log', self.log, '--state', self.state, '--speed', str(speed), '--hostname', 'old-' + kind,
                                  '--uuid', '1234567890abcdef1234567890abcdef', *more)
        self.agent = wait_for(self.name, lambda: self.last('started'), 15)['name']

    def events(self, event):
        with open(self.log) as lines:
            found = [json.loads(line) for line in lines if line.endswith('\n')]
        return [each for each in found if each['event'] == event and each['pid'] == self.process.pid]

    def last(self, event):
        return (self.events(event) or [None])[-1]

    def touch(self, name):
        open(os.path.join(self.state, name), 'w').close()

    def remove(self, name):
        os.unlink(os.path.join(self.state, name))

    def frames(self, name):
        return [each for each in self.events('received') if each['frame'] == name]


class Matahari(unittest.TestCase):
    def setUp(self):
        self.mend = Site()
        self.addCleanup(self.end)
        self.mend.broker('--anonymous')
        self.agents = []

    def end(self):
        self.mend.__exit__(AssertionError if mendsite.failed(self) else None, None, None)

    def start(self, kind, **options):
        agent = StandIn(self.mend, kind, **options)
        self.agents.append(agent)
        wait_for(agent.agent, lambda: self.record(agent), 15)
        return agent

    def record(self, agent, state='up'):
        """What `mend agents` says of it when it is in that state."""
        found = self.mend.agents().get(agent.agent)
        return found if found and found['state'] == state else None

    def call(self, agent, target, method, *arguments, **more):
        return self.mend.json('call', agent.agent, target, method, *arguments, **more)

    def check_unharmed(self, *agents):
        """What no agent of that age survives was not done to it."""
        for agent in agents or self.agents:
            self.assertIsNone(agent.process.poll(), '%s ended: %s' % (agent.agent, self.mend.log(agent.name)))
            for frame in ('close', 'end', 'detach'):
                self.assertEqual(agent.frames(frame), [], agent.agent)
            for event in ('deaf', 'died', 'undecodable'):
                self.assertEqual(agent.events(event), [], agent.agent)

    def test_falls_back_to_1_0_and_is_discovered(self):
        host, service = self.start('host'), self.start('service')
        for agent in (host, service):
            self.assertEqual(len(agent.events('offered')), 1)
            self.assertEqual(len(agent.events('fallback')), 1)
            self.assertEqual(self.record(agent)['hostname'], 'old-' + agent.name.split('-')[1])
        self.check_unharmed()

    def test_is_called_and_its_errors_have_its_own_words(self):
        host, service = self.start('host'), self.start('service')
        service.touch('mhdemo.init')
        self.assertEqual(self.call(service, 'Services', 'status', 'name=mhdemo')['rc'], 3)
        self.assertEqual(self.call(service, 'Services', 'start', 'name=mhdemo', 'timeout=5000')['rc'], 0)
        self.assertEqual(self.call(service, 'Services', 'status', 'name=mhdemo')['rc'], 0)
        self.assertEqual(self.call(host, 'Host', 'get_uuid', 'lifetime=Filesystem')['uuid'], '1234567890abcdef1234567890abcdef')
        for arguments, words in ((('Services', 'describe', 'name=mhdemo'), 'Not implemented'),
                                 (('Nothing', 'list'), 'no object "Nothing"'), (('Services', 'status', 'nonsense=1'), 'nonsense')):
            failed = self.mend.mend('call', service.agent, *arguments, check=False)
            self.assertNotEqual(failed.returncode, 0)
            self.assertIn(words, failed.stderr)
        self.check_unharmed()

    def test_silence_ends_with_a_clear_error(self):
        service = self.start('service')
        service.process.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        failed = self.mend.mend('call', service.agent, 'Services', 'list', '--timeout', '1s', check=False)
        service.process.send_signal(signal.SIGCONT)
        self.assertNotEqual(failed.returncode, 0)
        self.assertLess(time.monotonic() - started, 8)
        self.assertIn(service.agent, failed.stderr)
        self.check_unharmed()

    def test_its_end_is_seen_at_once(self):
        host = self.start('host')
        self.mend.stop(host.name, signal.SIGKILL)
        wait_for('closed', lambda: self.record(host, 'closed') or self.record(host, 'lost'), 3)
        again = StandIn(self.mend, 'host')
        self.assertNotEqual(again.agent, host.agent)
        wait_for('the new one', lambda: self.record(again), 10)

    def test_outlives_the_broker(self):
        host, service = self.start('host'), self.start('service')
        for sig in (signal.SIGKILL, signal.SIGTERM):
            self.mend.stop('broker', sig)
            before = [len(agent.events('connected')) for agent in (host, service)]
            time.sleep(0.5)
            self.mend.broker('--anonymous')
            for agent, count in zip((host, service), before):
                wait_for('the reconnect', lambda: len(agent.events('connected')) > count, 10)
                wait_for('the record', lambda: self.record(agent), 10)
            self.assertEqual(self.call(service, 'Services', 'list')['agents'], [])
        self.check_unharmed()

    def test_frozen_peer_is_dropped_not_closed(self):
        self.mend.stop('broker')
        self.mend.broker('--anonymous', '--idle-timeout', '2s')
        host = self.start('host')
        host.process.send_signal(signal.SIGSTOP)
        wait_for('the verdict', lambda: self.record(host, 'closed') or self.record(host, 'lost') or self.record(host, 'late'), 15)
        time.sleep(3)
        host.process.send_signal(signal.SIGCONT)
        wait_for('the reconnect', lambda: len(host.events('connected')) > 1, 10)
        wait_for('the record', lambda: self.record(host), 10)
        self.check_unharmed()

    def test_reply_to_nowhere_does_not_kill_it(self):
        """Such an agent opens a sender to whatever reply address it is given, again after every reconnect; a refusal is its end."""
        from probe import ask
        service = self.start('service')
        ask(self.mend, service.agent, 'nowhere-%d' % os.getpid())
        wait_for('the answer', lambda: service.events('reply_link'), 5)
        time.sleep(0.3)
        self.mend.stop('broker', signal.SIGKILL)
        self.mend.broker('--anonymous')
        wait_for('the reconnect', lambda: len(service.events('connected')) > 1, 10)
        wait_for('the record', lambda: self.record(service), 10)
        self.check_unharmed()

    def test_mend_itself_never_gives_it_a_reply_node_of_its_own(self):
        host, service = self.start('host'), self.start('service')
        self.call(host, 'Host', 'identify')
        self.call(service, 'Resources', 'list_standards')
        time.sleep(2)
        for agent in (host, service):
            addresses = {each['reply_to'].partition('/')[0] for each in agent.events('request')}
            self.assertLessEqual(addresses, {'qmf.default.topic', 'qmf.default.direct'})
            self.assertEqual(agent.events('reply_link'), [])
            self.assertEqual(agent.events('dropped'), [])
        self.check_unharmed()

    def test_command_on_its_control_queue_becomes_a_call(self):
        """The engine's command goes to mend.control.AGENT as for any agent; the plugin calls, and writes the result."""
        from probe import Engine
        service = self.start('service')
        service.touch('mhdemo.init')
        with Engine(self.mend) as engine:
            result = engine.command(service.agent, 'Services', 'start', {'name': 'mhdemo', 'timeout': 5000})
            self.assertEqual((result['mend.state'], result['body']['_arguments']['rc']), ('done', 0))
            result = engine.command(service.agent, 'Services', 'describe', {'name': 'mhdemo'})
            self.assertEqual((result['mend.state'], result['mend.error']), ('refused', 'unknown-method'))
        self.assertTrue(os.path.exists(os.path.join(service.state, 'mhdemo.running')))
        self.check_unharmed()

    def watch_site(self):
        """A policy that names an LSB service and an OCF resource of the machine old-service."""
        self.mend.stop('broker')
        self.mend.broker('--anonymous', '--plugin-config', '{"watch_interval_s": 0.2}')
        path = self.mend.write('policy.yaml', POLICY)
        self.mend.policy('--policy', path)
        service = self.start('service')
        service.touch('mhdemo.init')
        service.touch('mhdemo.running')
        service.touch('vip.started')
        return service

    def state(self, name):
        found = [each for path, each in self.mend.entities().items() if path.startswith('service/') and path.endswith('/' + name)]
        return found[0]['state'] if found else None

    def await_state(self, name, state):
        wait_for('%s %s' % (name, state), lambda: self.state(name) == state, 30, 0.1)

    def recurring(self, service):
        return [each for each in service.events('recurring') if each['name'] == 'vip']

    def test_policy_says_what_is_monitored_and_it_heals(self):
        """Services raise nothing and are polled; a resource's recurring monitor is begun once and raises resource_op."""
        service = self.watch_site()
        self.await_state('mhdemo', 'running')
        self.await_state('vip', 'running')
        service.remove('mhdemo.running')
        wait_for('the restart of mhdemo', lambda: os.path.exists(os.path.join(service.state, 'mhdemo.running')), 30)
        self.await_state('mhdemo', 'running')
        for _ in range(3):                        # a look of ours may see it before the agent's own monitor does
            service.remove('vip.started')
            wait_for('the restart of vip', lambda: os.path.exists(os.path.join(service.state, 'vip.started')), 30)
            self.await_state('vip', 'running')
            if service.events('raised'):
                break
        self.assertTrue(service.events('raised'))
        self.assertEqual(len(self.recurring(service)), 1)
        for word in ('service.failed', 'service.restart', 'healed'):
            wait_for(word, lambda: word in self.mend.mend('why', 'vip').stdout, 20, 0.2)
        self.check_unharmed()

    def test_monitoring_goes_on_after_restarts(self):
        """Of the broker: what runs in the agent is not begun twice, for two timers of one operation end it. Of the agent: it is begun anew."""
        service = self.watch_site()
        self.await_state('vip', 'running')
        self.mend.stop('policy')
        self.mend.stop('broker', signal.SIGKILL)
        self.mend.broker('--anonymous', '--plugin-config', '{"watch_interval_s": 0.2}')
        wait_for('the record', lambda: self.record(service), 20)
        service.remove('mhdemo.running')
        self.await_state('mhdemo', 'failed')      # no engine told it again
        service.remove('vip.started')
        self.await_state('vip', 'failed')
        self.assertEqual(len(self.recurring(service)), 1)
        self.check_unharmed()
        self.mend.stop(service.name, signal.SIGKILL)
        again = StandIn(self.mend, 'service')
        wait_for('its record', lambda: self.record(again), 20)
        wait_for('the recurring monitor', lambda: len(self.recurring(again)) == 1, 20)
        again.touch('vip.started')
        self.await_state('vip', 'running')
        self.check_unharmed(again)

    def test_codes_of_its_own_are_typed_errors(self):
        from probe import Engine
        service = self.watch_site()
        self.mend.stop('policy')
        with Engine(self.mend) as engine:
            for name, state, error in (('nothere', 'failed', 'not-found'), ('slow', 'failed', 'timeout')):
                result = engine.command(service.agent, 'Guest', 'start', {'name': name, 'timeout_ms': 300})
                self.assertEqual((result['mend.state'], result['mend.error']), (state, error), result)
        self.check_unharmed()

    def test_failure_of_a_resource_is_an_event(self):
        service = self.start('service')
        self.call(service, 'Resources', 'invoke', 'name=vip', 'agent=Dummy', 'action=start')
        self.call(service, 'Resources', 'invoke', 'name=vip', 'agent=Dummy', 'action=monitor', 'interval=200')
        service.remove('vip.started')
        wait_for('resource_op', lambda: service.events('raised'), 5)
        self.check_unharmed()

    def test_console_of_that_age_works_too(self):
        self.start('host')
        self.start('service')
        said = subprocess.run(['/usr/bin/python3', os.path.join(FOLDER, 'console.py'), '--port', str(self.mend.port), '--for', '2',
                               '--user', 'operator', '--password', self.mend.password('operator'),
                               '--call', 'Services.list', '{}'], capture_output=True, text=True, timeout=30)
        lines = [json.loads(line) for line in said.stdout.splitlines()]
        self.assertEqual(lines[-1:], [{'event': 'closed', 'drained': True}], said.stderr)
        names = {line['attributes']['_product'] for line in lines if line['event'] == 'agent'}
        self.assertLessEqual({'host', 'service'}, names)
        self.assertTrue(any(line['event'] == 'objects' and line['body'] for line in lines), said.stdout[:2000])
        self.assertTrue(any(line['event'] == 'returned' for line in lines))
        self.assertEqual([line for line in lines if line['event'] == 'unreadable'], [])


if __name__ == '__main__':
    unittest.main()
