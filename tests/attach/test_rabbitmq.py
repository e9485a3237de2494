#!/usr/bin/python3
"""Mend on a real RabbitMQ 3.10, nothing of it stubbed: agents, `mend attach`, engines and operators each with a user of their own.

test_rabbitmq.py [NAME…]: only the cases of these names."""
import os
import signal
import subprocess
import sys
import time
import uuid

import attachsite
import mendsite
import proxy
import rabbitmq

SECRET = 'a-secret-of-this-test'
WAIT = 60
ID = attachsite.ID


def service(number):
    return 'service/%s/web' % (ID % number)


def web_pid(site, number):
    """The process the guest agent runs as its service `web`; None: it does not run."""
    found = subprocess.run(['pgrep', '-P', str(site.running['guest%d' % number].pid), '-x', 'sleep'], capture_output=True, text=True, check=False)
    return int(found.stdout.split()[0]) if found.stdout.split() else None


def start_all(site, number=1, engine=True):
    site.attach('--management', 'http://127.0.0.1:%d' % site.management, '--subscriber', 'policy-main', '--subscriber', 'policy-b')
    if engine:
        site.engine()
    site.guest(number, 'process:web=/bin/sleep 1000')
    mendsite.wait_for('the agent', lambda: site.states().get(ID % number) == 'up', WAIT)
    mendsite.wait_for('its service', lambda: site.states().get(service(number)) == 'running', WAIT)
    if engine:
        mendsite.wait_for('an engine that acts', lambda: 'acts, epoch' in site.log('policy'), WAIT)
    # the guest's control queue is made when it is first heard, and attached to a moment later
    mendsite.wait_for('its control queue', lambda: site.rabbit.queues().get('mend.control.matahariproject.org:mend-guest:' + ID % number, (0, 0, 0))[2] == 1,
                      WAIT)


def kill_web(site, number):
    before = web_pid(site, number)
    os.kill(before, signal.SIGKILL)
    return before


def healed(site, number, before, times=1):
    mendsite.wait_for('the service again', lambda: web_pid(site, number) not in (None, before), WAIT)
    mendsite.wait_for('the end of the incident', lambda: site.mend('why', service(number)).stdout.count('healed') >= times, WAIT)


def restarts(site, number):
    return site.log('guest%d' % number).count('restart: 0 started')


def told(site, *kinds):
    """How often the plugin told of each kind, since its start."""
    log = site.log('attach')
    return [log.count('-> ' + kind) for kind in kinds]


def case_heals(site):
    """heartbeat -> event -> command through the gate -> restart -> result -> healed; and the leaving of an agent is seen."""
    start_all(site)
    before = kill_web(site, 1)
    healed(site, 1, before)
    assert restarts(site, 1) == 1, site.log('guest1')
    kinds = {name: kind for name, (kind, _, _) in site.rabbit.queues().items() if name.startswith('mend.')}
    assert set(kinds.values()) == {'quorum'}, kinds
    assert 'mend-subscriptions' in site.rabbit.ctl('-q', 'list_policies'), 'the policy was not set'
    started = time.monotonic()
    site.stop('guest1', signal.SIGKILL)
    mendsite.wait_for('news of its end', lambda: site.states().get(ID % 1) in ('closed', 'lost'), WAIT)
    print('the end of an agent was seen after %.2f s' % (time.monotonic() - started))


def case_impostor(site):
    """Nobody speaks or commands in another's name: RabbitMQ vouches for user-id, the plugin asks whose it is."""
    start_all(site, engine=False)
    site.guest(2, 'process:web=/bin/sleep 1000', user='agent-' + ID % 1) # user 1 as guest 2
    mendsite.wait_for('the quarantine', lambda: 'does not own this name' in site.log('attach'), WAIT)
    assert ID % 2 not in site.states(), site.states()
    site.engine(user='agent-' + ID % 1) # an agent's user cannot claim the seat
    mendsite.wait_for('the refusal', lambda: 'may not be the engine' in site.log('policy') or 'may not be the engine' in site.log('attach'), WAIT)


def case_broker_restarts(site):
    """The broker goes and comes back, a service dies meanwhile: it is restarted once, and nobody was ever thought lost."""
    start_all(site)
    site.rabbit.kill()
    before = kill_web(site, 1)
    time.sleep(3)
    site.rabbit.start()
    healed(site, 1, before)
    mendsite.wait_for('the agent', lambda: site.states().get(ID % 1) == 'up', WAIT)
    assert restarts(site, 1) == 1, site.log('guest1')
    assert told(site, 'lost') == [0], site.log('attach')


def case_cut(site):
    """Only `mend attach` is cut off, for longer than three heartbeats: nobody is judged, and what was said meanwhile counts."""
    start_all(site)
    site.cut.cut = True
    time.sleep(2)
    before = kill_web(site, 1)
    time.sleep(22)
    site.cut.mend()
    healed(site, 1, before)
    assert restarts(site, 1) == 1, site.log('guest1')
    assert told(site, 'lost', 'closed') == [0, 0], site.log('attach')


def case_engines(site):
    """The acting engine dies: the one that stands by acts within seconds, by the news of its connection."""
    site.rabbit_cluster.user('engine-b', SECRET)
    start_all(site)
    site.engine('--name', 'b', user='engine-b', name='policy-b')
    mendsite.wait_for('a standby', lambda: 'stands by' in site.log('policy-b'), WAIT)
    site.stop('policy', signal.SIGKILL)
    started = time.monotonic()
    mendsite.wait_for('the other engine', lambda: 'b acts, epoch' in site.log('policy-b'), WAIT)
    print('the standby acted after %.2f s' % (time.monotonic() - started))
    healed(site, 1, kill_web(site, 1))
    assert restarts(site, 1) == 1, site.log('guest1')


def case_attach_restarts(site):
    """`mend attach` is killed: what agents say meanwhile waits for it, and it knows its agents again."""
    start_all(site)
    site.stop('attach', signal.SIGKILL)
    before = kill_web(site, 1)
    time.sleep(2)
    site.attach()
    healed(site, 1, before)
    assert restarts(site, 1) == 1, site.log('guest1')
    assert told(site, 'lost') == [0], site.log('attach')


def command(site, user, epoch, agent=ID % 1):
    """A command sent by hand, as any AMQP 1.0 program could: application properties of what came back."""
    import proton.utils # pylint: disable=import-outside-toplevel
    connection = proton.utils.BlockingConnection('127.0.0.1:%d' % site.rabbit.port, timeout=20, user=user, password=SECRET, allowed_mechs='PLAIN')
    name = 'matahariproject.org:mend-guest:' + agent
    key = 'direct-console.' + str(uuid.uuid4())
    answers = connection.create_receiver('/exchange/qmf.default.topic/' + key, credit=5, name='answers')
    sender = connection.create_sender('/exchange/mend.control/' + name, name='commands')
    identity = str(uuid.uuid4())
    sender.send(proton.Message(subject=name, correlation_id=identity, reply_to='qmf.default.topic/' + key, user_id=user.encode(), inferred=True, body=b'',
                               content_type='amqp/map',
                               properties={'qmf.opcode': '_method_request', 'x-amqp-0-10.app-id': 'qmf2', 'method': 'request', 'mend.command-id': identity,
                                           'mend.epoch': proton.ulong(epoch), 'mend.deadline': int(time.time() * 1000) + 30000}))
    answer = answers.receive(timeout=20)
    assert answer.correlation_id == identity, answer
    connection.conn.close() # not close(): this broker answers a detach in a way that leaves the helper waiting
    return answer.properties


def case_gate(site):
    """What may not enter a control queue is refused to its sender, who was told long ago that the broker has it."""
    start_all(site)
    stale = command(site, 'operator', 999)
    assert (stale['mend.state'], stale['mend.error']) == ('refused', 'stale-epoch'), stale
    agents = command(site, 'agent-' + ID % 2, 1)
    assert agents['mend.state'] == 'refused' and 'role agent may not command' in agents['mend.text'], agents
    nobody = command(site, 'operator', 1, ID % 9)
    assert nobody['mend.state'] == 'refused' and 'no agent of that name' in nobody['mend.text'], nobody


class Console:
    """Asks for answers as amqp-values, in a form RabbitMQ carries."""

    def __init__(self, site):
        import proton.utils # pylint: disable=import-outside-toplevel
        self.proton, self.key = proton, 'direct-console.' + str(uuid.uuid4())
        self.connection = proton.utils.BlockingConnection('127.0.0.1:%d' % site.rabbit.port, timeout=20, user='operator', password=SECRET, allowed_mechs='PLAIN')
        self.answers = self.connection.create_receiver('/exchange/qmf.default.topic/' + self.key, credit=100, name='answers')

    def ask(self, node, subject, opcode, content, body, n):
        """Agent's product -> type of the body of its answer, of n agents."""
        question = str(uuid.uuid4())
        sender = self.connection.create_sender('/exchange/' + node, name=question)
        sender.send(self.proton.Message(subject=subject, correlation_id=question, reply_to='qmf.default.topic/' + self.key, user_id=b'operator', inferred=True,
                                        body=body, content_type=content,
                                        properties={'qmf.opcode': opcode, 'x-amqp-0-10.app-id': 'qmf2', 'mend.body': 'amqp-value'}))
        found = {}
        while len(found) < n:
            answer = self.answers.receive(timeout=20)
            if answer.correlation_id == question:
                found[answer.properties['qmf.agent'].split(':')[1]] = (answer.properties['qmf.agent'], type(answer.body))
        return found


def case_plain(site):
    """RabbitMQ ends the session of who sends an amqp-value that is a list of several: nobody may make ours send one."""
    site.attach('--subscriber', 'policy-main')
    site.engine()
    mendsite.wait_for('an engine that acts', lambda: 'acts, epoch' in site.log('policy'), WAIT)
    console = Console(site)
    what = b'\x05_what\x95\x00\x09SCHEMA_ID'
    for _ in range(2):
        found = console.ask('qmf.default.topic', 'console.request.agent_locate', '_agent_locate_request', 'amqp/list', bytes.fromhex('0000000400000000'), 2)
        assert set(found) == {'mend-broker', 'mend-policy'} and dict not in [kind for _, kind in found.values()], found
        for name, _ in found.values():
            (_, kind), = console.ask('qmf.default.direct', name, '_query_request', 'amqp/map', (4 + len(what)).to_bytes(4, 'big') + b'\0\0\0\x01' + what,
                                     1).values()
            assert kind is not list, kind
    console.connection.conn.close()


def case_refused(site):
    """A wrong password is said, not waited for for ever; a dialect that is none is refused at once."""
    wrong = subprocess.run([os.path.join(mendsite.BIN, 'mend'), 'attach', '--broker', site.url, '--dialect', 'kafka'], capture_output=True, text=True,
                           timeout=30, check=False)
    assert wrong.returncode == 1 and 'rabbitmq, qpidd, artemis or generic' in wrong.stderr, wrong
    site.write('wrong', 'no such secret')
    process = site.start('wrong', os.path.join(mendsite.BIN, 'mend'), 'attach', '--broker', site.url, '--user', 'mend', '--password-file',
                         site.path('wrong'), '--data', site.path('wrong-data'))
    mendsite.wait_for('the refusal', lambda: 'the broker is not there' in site.log('wrong'), WAIT)
    assert process.poll() is None


def main():
    cases = {name[5:]: case for name, case in globals().items() if name.startswith('case_')}
    wanted = sys.argv[1:] or list(cases)
    rabbitmq.PLUGINS.append('rabbitmq_management')
    with rabbitmq.Cluster() as cluster:
        management, = rabbitmq.free_ports(1)
        rabbit = cluster.start(extra='management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = %d\n' % management)
        for user in ['mend', 'engine', 'operator'] + ['agent-' + ID % number for number in (1, 2)]:
            cluster.user(user, SECRET)
        rabbit.ctl('set_user_tags', 'mend', 'policymaker')
        for name in wanted:
            started = time.monotonic()
            line = proxy.Proxy(rabbit.port)
            with attachsite.Site('amqp://127.0.0.1:%d?sasl=PLAIN' % rabbit.port, SECRET) as site:
                site.rabbit, site.rabbit_cluster, site.management, site.cut = rabbit, cluster, management, line
                site.attach_url = 'amqp://127.0.0.1:%d?sasl=PLAIN' % line.port
                cases[name](site)
            line.close()
            rabbit.ctl('eval', '[rabbit_amqqueue:delete(Q, false, false, <<"test">>) || Q <- rabbit_amqqueue:list()].')
            print('%s: %.1f s' % (name, time.monotonic() - started), flush=True)


if __name__ == '__main__':
    main()
