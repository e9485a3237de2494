#!/usr/bin/python3
"""Two engines share out the services of a site on three RabbitMQ nodes: each heals its own shard and nothing of the other's. An engine is killed,
then a node, then the other engine, each while services of both shards fail: the shard is taken over, every failure is mended once. Prints what
it took."""
import json
import os
import signal
import subprocess
import time

import attachsite
import mendsite
import rabbitmq
import test_cluster

SECRET, WAIT, ID = test_cluster.SECRET, test_cluster.WAIT, attachsite.ID
SHARD_OF = {1: 1, 2: 2, 3: 2, 4: 1} # of the groups vm/ID, as lib/model/test_shard.c has them
GUESTS = tuple(SHARD_OF)


def commands(site, engine, number):
    return site.log(engine).count('service/%s/web: service.restart' % (ID % number))


def restarts(site):
    return {number: site.log('guest%d' % number).count('restart: 0 started') for number in GUESTS}


def engine(site, cluster, name, shard, log):
    site.url = test_cluster.urls(cluster, shard)
    return site.engine('--name', name, '--shard', str(shard), user='engine-' + name, name=log)


def holds(site, log, shard):
    return 'acts for shard %d of 2' % shard in site.log(log)


def shards(site):
    """Shard -> its engine, as mend status has it."""
    found = {}
    for line in site.mend('status', check=False).stdout.splitlines():
        words = line.removeprefix('shards').split()
        if len(words) >= 4 and words[0] in ('1:', '2:'):
            found[int(words[0][0])] = words[1] if words[2].startswith('acts') else None
    return found


def start_all(site, cluster):
    site.attach_url = test_cluster.urls(cluster, 0)
    site.attach('--shards', '2', '--subscriber', 'policy-a', '--subscriber', 'policy-b')
    engine(site, cluster, 'a', 1, 'policy-a')
    mendsite.wait_for('the site\'s engine', lambda: 'a acts, epoch' in site.log('policy-a') and holds(site, 'policy-a', 1), WAIT)
    engine(site, cluster, 'b', 2, 'policy-b')
    for number in GUESTS:
        site.url = test_cluster.urls(cluster, number % 3)
        site.guest(number, 'process:web=/bin/sleep 1000')
    site.url = test_cluster.urls(cluster, 2)
    for number in GUESTS:
        mendsite.wait_for('guest %d' % number, lambda: site.states().get(test_cluster.web(number)) == 'running', WAIT)
    mendsite.wait_for('control queues in use', lambda: sum(name.startswith('mend.control.') and each[2] == 1
                                                           for name, each in cluster.nodes[2].queues().items()) == len(GUESTS), WAIT)


def settle(site, *engines):
    for number in GUESTS:
        mendsite.wait_for('quiet about guest %d' % number, lambda: site.states().get(test_cluster.web(number)) == 'running', WAIT)
    mendsite.wait_for('both shards in good hands', lambda: set(shards(site).values()) == set(engines) and len(shards(site)) == 2, WAIT)


def fail_and_mend(site, numbers, what, meanwhile=None):
    pids = {number: test_cluster.web_pid(site, number) for number in numbers}
    if meanwhile is not None:
        meanwhile()
    for number in numbers:
        os.kill(pids[number], signal.SIGKILL)
    started, took = time.monotonic(), {}
    while len(took) < len(numbers) and time.monotonic() < started + WAIT:
        for number in numbers:
            if number not in took and test_cluster.web_pid(site, number) not in (None, pids[number]):
                took[number] = time.monotonic() - started
        time.sleep(0.05)
    assert len(took) == len(numbers), (what, took, site.log('policy-a'), site.log('policy-b'))
    print('%s: services were back after %s' % (what, ', '.join('%.2f s (shard %d)' % (took[n], SHARD_OF[n]) for n in sorted(took))))


def check_everyone_his_own(site):
    for number, shard in SHARD_OF.items():
        own, other = ('policy-a', 'policy-b') if shard == 1 else ('policy-b', 'policy-a')
        assert commands(site, own, number) == 1 and commands(site, other, number) == 0, (number, site.log(own), site.log(other))


def paused(site, name):
    done = site.mend('status', '--json', '--engine', name, check=False)
    return done.returncode == 0 and json.loads(done.stdout)['engine']['paused']


def check_the_kill_switch_is_everybodys(site):
    site.mend('operate', 'pause', '--comment', 'a test')
    mendsite.wait_for('both engines paused', lambda: paused(site, 'a') and paused(site, 'b'), WAIT)
    pid = test_cluster.web_pid(site, 2)
    os.kill(pid, signal.SIGKILL)
    mendsite.wait_for('the failure', lambda: site.states().get(test_cluster.web(2)) == 'failed', WAIT)
    time.sleep(1)
    assert site.states().get(test_cluster.web(2)) == 'failed' and test_cluster.web_pid(site, 2) is None
    site.mend('operate', 'resume')
    mendsite.wait_for('the service', lambda: test_cluster.web_pid(site, 2) not in (None, pid), WAIT)


def run(site, cluster):
    start_all(site, cluster)
    settle(site, 'a', 'b')
    fail_and_mend(site, GUESTS, 'both engines, all nodes')
    check_everyone_his_own(site)
    check_the_kill_switch_is_everybodys(site)
    settle(site, 'a', 'b')
    fail_and_mend(site, (2, 1), 'engine b killed', lambda: site.stop('policy-b', signal.SIGKILL))
    settle(site, 'a')
    engine(site, cluster, 'b', 2, 'policy-b2')
    mendsite.wait_for('the standby', lambda: 'stands by' in site.log('policy-b2'), WAIT)
    killed = test_cluster.leader(cluster.nodes[0], 'mend.gate')
    fail_and_mend(site, (3, 4), 'node %d killed' % killed, cluster.nodes[killed - 1].kill)
    cluster.nodes[killed - 1].start()
    settle(site, 'a')
    fail_and_mend(site, (1, 2), 'engine a killed, who had the site and both shards', lambda: site.stop('policy-a', signal.SIGKILL))
    settle(site, 'b')
    assert restarts(site) == {1: 3, 2: 4, 3: 2, 4: 2}, restarts(site)
    assert '-> lost' not in site.log('attach'), site.log('attach')


def main():
    with rabbitmq.Cluster() as cluster:
        for _ in range(3):
            cluster.start()
        for user in ['mend', 'engine-a', 'engine-b', 'operator'] + ['agent-' + ID % number for number in GUESTS]:
            cluster.user(user, SECRET)
        with attachsite.Site(test_cluster.urls(cluster, 2), SECRET) as site:
            try:
                run(site, cluster)
            except (AssertionError, subprocess.TimeoutExpired):
                for log in ('policy-a', 'policy-b', 'attach'):
                    print('---- %s ----\n%s' % (log, site.log(log)[-6000:]))
                raise


if __name__ == '__main__':
    main()
