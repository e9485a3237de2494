#!/usr/bin/python3
"""The agent and the console of docs/examples/subscriber: the agent's service is healed by the policy, why.py tells the story, and a
command runs at most once, whatever happens to the agent."""
import os
import signal
import subprocess
import time
import unittest

from proton import Message, ulong

from exampleskit import AGENT, ID, PYTHON, SERVICE, Asker, Site, new_id, program, wait_for

WEB = SERVICE % 'web'
WAIT = 40


class Healed(unittest.TestCase):
    def test_a_real_failure_is_healed_and_explained(self):
        with Site() as site:
            site.up()
            site.enrol()
            site.agent('web', 'sleep', '1000')
            wait_for('the service', lambda: site.entities()[WEB]['state'] == 'running', WAIT)
            first = site.child()
            site.kill_child()
            wait_for('another process', lambda: site.child() not in (0, first), WAIT)
            wait_for('the service again', lambda: site.entities()[WEB]['state'] == 'running', WAIT)

            def story():
                return subprocess.run([PYTHON, program('why.py'), site.url(), 'web', '--user', 'operator', '--password-file', site.password_file('operator'),
                                       '--ca', site.ca()], capture_output=True, text=True, timeout=30).stdout

            wait_for('the story to end', lambda: 'healed: well again' in story(), WAIT)
            self.assertIn('rule         heal-services applies', story())
            self.assertIn('done, running, pid %d' % site.child(), story())
            self.assertEqual(story(), site.mend('why', WEB).stdout)

            stopped = subprocess.run([PYTHON, program('why.py'), site.url(), 'nothing', '--user', 'operator', '--password-file', site.password_file('operator'),
                                      '--ca', site.ca()], capture_output=True, text=True, timeout=30)
            self.assertEqual((stopped.returncode, stopped.stdout), (1, ''))
            self.assertIn('nothing', stopped.stderr)


class Commanded(unittest.TestCase):
    def setUp(self):
        self.site = Site()
        self.addCleanup(self.site.__exit__, None)
        self.site.broker('--lab')
        self.site.agent('web', 'sleep', '1000', lab=True)
        wait_for('the agent', lambda: self.site.agents()[AGENT]['state'] == 'up', WAIT)
        self.asker = Asker(self.site)
        self.addCleanup(self.asker.close)
        self.epoch = self.asker.claim()
        self.results = self.asker.connection.create_receiver('mend.results', credit=100)

    def command(self, method, identity=None, epoch=None, deadline_s=30, **arguments):
        identity = identity or new_id()
        wait_for('its queue', lambda: AGENT in self.site.agents(), WAIT)
        sender = self.asker.connection.create_sender('mend.control.' + AGENT)
        sender.send(Message(subject=AGENT, reply_to='mend.results', correlation_id=identity, durable=True, body=encode({
            '_object_id': {'_agent_name': AGENT, '_object_name': 'Guest'}, '_method_name': method, '_arguments': dict({'name': 'web'}, **arguments)}),
            inferred=True, content_type='amqp/map', properties={
                'x-amqp-0-10.app-id': 'qmf2', 'qmf.opcode': '_method_request', 'mend.command-id': identity, 'mend.epoch': ulong(epoch or self.epoch),
                'mend.deadline': int((time.time() + deadline_s) * 1000), 'mend.incident': new_id(), 'mend.entity': WEB}))
        sender.close()
        return identity

    def result(self, identity):
        while True:
            message = self.results.receive(timeout=WAIT)
            if message.correlation_id == identity:
                return message.properties['mend.state'], message.properties.get('mend.error'), message.body

    def test_stop_start_and_restart(self):
        first = self.site.child()
        state, error, body = self.result(self.command('restart', timeout_ms=10000))
        self.assertEqual((state, error, body['_arguments']['state']), ('done', None, 'running'))
        self.assertNotIn(self.site.child(), (0, first))
        self.assertEqual(self.result(self.command('stop'))[2]['_arguments']['state'], 'stopped')
        self.assertEqual(self.site.child(), 0)
        wait_for('the event', lambda: self.site.entities()[WEB]['state'] == 'stopped', WAIT)
        self.assertEqual(self.site.entities()[WEB]['data']['intent'], 'command')
        self.assertEqual(self.result(self.command('start'))[0], 'done')
        self.assertNotEqual(self.site.child(), 0)

    def test_a_command_runs_once_also_over_a_kill_of_the_agent(self):
        identity = self.command('restart')
        answer = self.result(identity)
        child = self.site.child()
        self.command('restart', identity)
        self.assertEqual(self.result(identity)[:2], answer[:2])
        self.assertEqual(self.site.child(), child)
        self.again()
        child = self.site.child()
        self.command('restart', identity)
        self.assertEqual(self.result(identity)[:2], answer[:2])
        self.assertEqual(self.site.child(), child)

    def test_what_was_begun_when_the_agent_was_killed_is_said_to_be_interrupted(self):
        identity = new_id()
        with open(self.site.path('ledger'), 'a') as ledger:
            ledger.write('{"id": "%s", "epoch": 1}\n{"id": "half' % identity)
        self.again()
        self.command('restart', identity)
        self.assertEqual(self.result(identity)[:2], ('failed', 'interrupted'))

    def test_what_is_refused_and_why(self):
        child = self.site.child()
        self.assertEqual(self.result(self.command('explode'))[:2], ('refused', 'unknown-method'))
        self.assertEqual(self.result(self.command('restart', name='db'))[:2], ('refused', 'not-found'))
        self.assertEqual(self.site.child(), child)

    def again(self):
        """The agent is killed and started; its child dies with nobody, so by our hand."""
        child = wait_for('the service', self.site.child, WAIT)
        self.site.stop('agent', signal.SIGKILL)
        os.kill(child, signal.SIGKILL)
        self.site.agent('web', 'sleep', '1000', lab=True)
        wait_for('the agent again', lambda: self.site.child(), WAIT)


def encode(values):
    """AMQP 0-10, as an engine sends it."""
    def item(value):
        if isinstance(value, dict):
            return b'\xa8' + encode(value)
        if isinstance(value, int):
            return b'\x22' + value.to_bytes(4, 'big')
        return b'\x95' + len(value).to_bytes(2, 'big') + value.encode()
    body = len(values).to_bytes(4, 'big') + b''.join(bytes([len(key)]) + key.encode() + item(value) for key, value in values.items())
    return len(body).to_bytes(4, 'big') + body


if __name__ == '__main__':
    unittest.main(verbosity=2)
