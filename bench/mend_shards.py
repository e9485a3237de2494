#!/usr/bin/python3
"""How many failures a second one engine heals, and two that share them out, on one RabbitMQ node: mend_shards.py [FAILURES]

The engines act, and are stopped (SIGSTOP); service.failed of as many services, each in its own VM, is put into mend.events; the engines go on. Measured is
the time until every engine has taken every event into its journal (all see all), and until a restart was decided for every failure, each once, by the
engine of its shard. The agents do not exist: each command goes over the gate, is refused there, and its result comes back."""
import json
import os
import signal
import sys
import time
import uuid

from proton import Message
from proton.handlers import MessagingHandler
from proton.reactor import Container

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'tests')
sys.path[:0] = [os.path.join(TESTS, 'attach'), os.path.join(TESTS, 'lib')]
import attachsite  # pylint: disable=wrong-import-position
import mendsite  # pylint: disable=wrong-import-position
import rabbitmq  # pylint: disable=wrong-import-position

SECRET = 'a-secret-of-this-test'
POLICY = """mend: 1
startup_guard: 0s
rules:
  - name: heal
    on: service.failed
    ladder:
      - {do: service.restart, attempts: 1, within: 10m}
      - {do: notify, to: oncall}
"""


def failure(number):
    vm = str(uuid.uuid5(uuid.NAMESPACE_OID, 'vm %d' % number))
    agent = 'matahariproject.org:mend-guest:' + vm
    about = {'specversion': '1.0', 'id': str(uuid.uuid4()), 'type': 'org.matahariproject.mend.service.failed.v1', 'source': agent,
             'subject': 'service/%s/web' % vm, 'time': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()), 'sequence': str(1000000 + number), 'severity': '3',
             'bootid': str(uuid.uuid5(uuid.NAMESPACE_OID, 'boot %d' % number)), 'confidence': '1'}
    data = {'name': 'web', 'state': 'failed', 'intent': 'none', 'agent': agent, 'vm': vm, 'hostname': 'host-%d' % number}
    return Message(subject='service.failed.%s.web' % vm, content_type='application/json', durable=True, body=json.dumps(data).encode(), inferred=True,
                   properties={'cloudEvents_' + key: value for key, value in about.items()})


class Publisher(MessagingHandler):
    def __init__(self, url, count):
        super().__init__()
        self.url, self.count, self.sent, self.settled = url, count, 0, 0

    def on_start(self, event):
        connection = event.container.connect(self.url, user='mend', password=SECRET, allow_insecure_mechs=True, reconnect=False)
        event.container.create_sender(connection, '/exchange/mend.events')

    def on_sendable(self, event):
        while event.sender.credit > 0 and self.sent < self.count:
            event.sender.send(failure(self.sent))
            self.sent += 1

    def on_settled(self, event):
        self.settled += 1
        if self.settled == self.count:
            event.connection.close()


def taken(site, engine):
    done = site.mend('status', '--json', '--engine', engine, check=False)
    return json.loads(done.stdout).get('engine', {}).get('events', 0) if done.returncode == 0 else 0


def cpu_s(pid):
    with open('/proc/%d/stat' % pid) as stat:
        fields = stat.read().rpartition(') ')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def measure(engines, count):
    with rabbitmq.Cluster() as cluster:
        node = cluster.start()
        for user in ['mend', 'operator'] + ['engine-' + name for name in engines]:
            cluster.user(user, SECRET)
        url = 'amqp://127.0.0.1:%d?sasl=PLAIN' % node.port
        with attachsite.Site(url, SECRET) as site:
            site.attach('--shards', str(len(engines)), *[each for name in engines for each in ('--subscriber', 'policy-' + name)])
            policy = site.write('policy.yaml', POLICY)
            processes = [site.engine('--name', name, '--shard', str(shard), '--policy', policy, user='engine-' + name, name=name)
                         for shard, name in enumerate(engines, 1)]
            for shard, name in enumerate(engines, 1):
                mendsite.wait_for('engine ' + name, lambda n=name, s=shard: 'acts for shard %d of' % s in site.log(n), 60)
            pids = {'engine ' + name: process.pid for name, process in zip(engines, processes)}
            pids.update({'mend attach': site.running['attach'].pid, 'RabbitMQ': node.pid()})
            before = {name: taken(site, name) for name in engines}
            for process in processes:
                process.send_signal(signal.SIGSTOP)
            Container(Publisher('amqp://127.0.0.1:%d' % node.port, count)).run()
            used = {name: cpu_s(pid) for name, pid in pids.items()}
            started, decided, took = time.monotonic(), None, {}
            for process in processes:
                process.send_signal(signal.SIGCONT)
            while (decided is None or len(took) < len(engines)) and time.monotonic() < started + 300:
                restarts = {name: site.log(name).count('service.restart, attempt 1 ') for name in engines}
                if decided is None and sum(restarts.values()) >= count:
                    decided = time.monotonic() - started
                for name in engines:
                    if name not in took and taken(site, name) >= before[name] + count:
                        took[name] = time.monotonic() - started
                time.sleep(0.1)
            used = {name: cpu_s(pid) - used[name] for name, pid in pids.items()}
            assert decided is not None and sum(restarts.values()) == count, restarts
            print('%d engine%s: restarts decided %s, %.0f/s; events taken by each: %s' % (
                len(engines), 's' if len(engines) > 1 else '', ' + '.join(str(each) for each in restarts.values()), count / decided,
                ', '.join('%.0f/s' % (count / each) for each in took.values())))
            print('    CPU for 1000 failures: ' + ', '.join('%s %.2f s' % (name, each * 1000 / count) for name, each in used.items()))


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    measure(['a'], count)
    measure(['a', 'b'], count)


if __name__ == '__main__':
    main()
