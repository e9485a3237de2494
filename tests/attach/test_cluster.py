#!/usr/bin/python3
"""Three RabbitMQ nodes on one machine, Mend beside them: a node is killed, an engine is killed, each while a service fails. Every failure is
mended once, nothing twice, and nobody is ever thought lost. Prints what it took."""
import itertools
import os
import signal
import subprocess
import time

import attachsite
import mendsite
import rabbitmq

SECRET = 'a-secret-of-this-test'
WAIT = 120
GUESTS = (1, 2, 3)
ID = attachsite.ID


def web(number):
    return 'service/%s/web' % (ID % number)


def web_pid(site, number):
    found = subprocess.run(['pgrep', '-P', str(site.running['guest%d' % number].pid), '-x', 'sleep'], capture_output=True, text=True, check=False)
    return int(found.stdout.split()[0]) if found.stdout.split() else None


def restarts(site):
    return {number: site.log('guest%d' % number).count('restart: 0 started') for number in GUESTS}


def fail(site, number):
    before = web_pid(site, number)
    os.kill(before, signal.SIGKILL)
    return before


def mended(site, number, before):
    started = time.monotonic()
    mendsite.wait_for('the service of guest %d' % number, lambda: web_pid(site, number) not in (None, before), WAIT)
    return time.monotonic() - started


def urls(cluster, first):
    nodes = cluster.nodes[first:] + cluster.nodes[:first]
    return ','.join('amqp://127.0.0.1:%d?sasl=PLAIN' % node.port for node in nodes)


def start_all(site, cluster):
    site.attach_url = urls(cluster, 0)
    site.attach('--subscriber', 'policy-main', '--subscriber', 'policy-b')
    site.url = urls(cluster, 1)
    site.engine()
    mendsite.wait_for('the first engine', lambda: 'acts, epoch' in site.log('policy'), WAIT)
    site.engine('--name', 'b', user='engine-b', name='policy-b')
    for number in GUESTS:
        site.url = urls(cluster, number % 3)
        site.guest(number, 'process:web=/bin/sleep 1000')
    site.url = urls(cluster, 2)
    for number in GUESTS:
        mendsite.wait_for('guest %d' % number, lambda: site.states().get(ID % number) == 'up' and site.states().get(web(number)) == 'running', WAIT)
    mendsite.wait_for('a standby', lambda: 'stands by' in site.log('policy-b'), WAIT)
    mendsite.wait_for('control queues in use', lambda: sum(name.startswith('mend.control.') and each[2] == 1
                                                           for name, each in cluster.nodes[2].queues().items()) == len(GUESTS), WAIT)


def leader(node, queue):
    for line in node.ctl('-q', 'list_queues', 'name', 'leader', '--no-table-headers').splitlines():
        if line.split('\t')[0] == queue:
            return int(line.split('\t')[1].split('@')[0][len('mend'):])
    raise AssertionError('no queue ' + queue)


def main():
    expected = dict.fromkeys(GUESTS, 0)
    with rabbitmq.Cluster() as cluster:
        for _ in range(3):
            cluster.start()
        for user in ['mend', 'engine', 'engine-b', 'operator'] + ['agent-' + ID % number for number in GUESTS]:
            cluster.user(user, SECRET)
        with attachsite.Site(urls(cluster, 2), SECRET) as site:
            start_all(site, cluster)
            rounds = itertools.cycle(GUESTS)
            print('with all nodes, a service was back after %.2f s' % mended(site, 1, fail(site, 1)))
            expected[1] += 1
            for choose in (lambda: 1, lambda: leader(cluster.nodes[0], 'mend.gate')):
                number, killed = next(rounds), choose()
                cluster.nodes[killed - 1].kill()
                print('node %d killed, a service was back after %.2f s' % (killed, mended(site, number, fail(site, number))))
                expected[number] += 1
                cluster.nodes[killed - 1].start()
                mendsite.wait_for('all agents', lambda: all(site.states().get(ID % each) == 'up' for each in GUESTS), WAIT)
            site.stop('policy', signal.SIGKILL)
            print('the acting engine killed, a service was back after %.2f s' % mended(site, 3, fail(site, 3)))
            expected[3] += 1
            for number in GUESTS:
                mendsite.wait_for('quiet about guest %d' % number, lambda: site.states().get(web(number)) == 'running', WAIT)
            assert restarts(site) == expected, (restarts(site), expected)
            assert '-> lost' not in site.log('attach'), site.log('attach')


if __name__ == '__main__':
    main()
