#!/usr/bin/python3
"""mend-host fences by the installed fence agents: fence_ipmilan on simulated BMCs, fence_dummy behind them. Wrong passwords, dead and slow
BMCs; and the password is nowhere: on no command line, in no log, on no bus, in no file but its own."""
import json
import os
import subprocess
import sys
import threading
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))

import bmc       # noqa: E402
import mendsite  # noqa: E402

SECRET = 'c0rrect-h0rse&b'  # ipmi_sim takes 16 bytes
PROXY, VICTIM, TWO, LONE = (str(uuid.uuid4()) for _ in range(4))
MEND_HOST = os.path.join(mendsite.BIN, 'mend-host')


class Watch:
    """Every command line of this machine, as often as can be read."""

    def __enter__(self):
        self.seen, self.bad, self.on = set(), [], True
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def run(self):
        while self.on:
            for pid in filter(str.isdigit, os.listdir('/proc')):
                try:
                    with open('/proc/%s/cmdline' % pid, 'rb') as f:
                        line = f.read()
                except OSError:
                    continue
                self.seen.add(os.path.basename(line.split(b'\0')[0]))
                if SECRET.encode() in line:
                    self.bad.append(line)

    def __exit__(self, *unused):
        self.on = False
        self.thread.join()


class Fencing(mendsite.Site):
    def __init__(self, one, two):
        super().__init__()
        os.mkdir(self.path('secrets'), 0o700)
        self.password_file = self.write('secrets/bmc', SECRET + '\n')
        os.chmod(self.password_file, 0o600)
        self.dummy = self.write('dummy', 'on')
        self.file = self.write('fencing.yaml', '''fencing: 1
devices:
  - name: bmc-victim
    agent: fence_ipmilan
    parameters: {ip: %s, ipport: %d, username: mend, lanplus: 1, cipher: 3}
    password_file: secrets/bmc
    retries: 0
  - {name: bmc-two, agent: fence_ipmilan, parameters: {ip: %s, ipport: %d, username: mend, lanplus: 1, cipher: 3}, password_file: secrets/bmc, retries: 0}
  - {name: strip, agent: fence_dummy, parameters: {type: file, status_file: %s}}
hosts:
  - {id: %s, name: victim, levels: [bmc-victim], addresses: [127.0.0.1]}
  - {id: %s, name: two, levels: [bmc-two, strip]}
''' % (one.address, one.port, two.address, two.port, self.dummy, VICTIM, TWO))
        os.chmod(self.file, 0o600)

    def start_host(self, *options):
        with open(self.path('host.cred'), 'w') as out:
            out.write(self.mend('enrol', '--host', PROXY).stdout)
        os.chmod(self.path('host.cred'), 0o600)
        self.start('mend-host', MEND_HOST, '--credentials', self.path('host.cred'), '--data', self.path('host'), '--id', PROXY, '--libvirt-uri',
                   'test:///default', '--fencing', self.file, '--log', 'debug', '--heartbeat', '1s', *options)
        mendsite.wait_for('the host agent', lambda: any('mend-host' in name for name in self.agents()), 20)

    def fence(self, host, method='off', timeout=60):
        done = self.mend('call', 'matahariproject.org:mend-host:' + PROXY, 'Hypervisor', 'host_fence', 'name=' + host, 'method=' + method,
                         'timeout_ms=%d' % (timeout * 1000), '--timeout', '%ds' % (timeout + 5), '--json', timeout=timeout + 20, check=False)
        answer = json.loads(done.stdout) if done.stdout.strip().startswith('{') else {}
        answer['said'] = done.stdout + done.stderr
        return answer

    def set_password(self, text):
        with open(self.password_file, 'w') as out:
            out.write(text + '\n')

    def assert_secret_is_nowhere(self):
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, 'rb') as f:
                    assert path == self.password_file or SECRET.encode() not in f.read(), 'the password is in ' + path


def check_power(site, one):
    began = time.monotonic()
    answer = site.fence(VICTIM)
    assert answer['state'] == 'off' and one.calls == ['off'], (answer, one.calls)
    print('off, verified, in %.1f s' % (time.monotonic() - began))
    began = time.monotonic()
    answer = site.fence(VICTIM)
    assert answer['state'] == 'off' and 'already' in answer['text'] and one.calls == ['off'], answer
    print('off already, verified, in %.1f s' % (time.monotonic() - began))
    assert site.fence(VICTIM, 'status')['state'] == 'off'
    assert site.fence(VICTIM, 'on')['state'] == 'on' and one.calls == ['off', 'on']
    assert site.fence(VICTIM, 'reboot')['state'] == 'on' and one.calls == ['off', 'on', 'off', 'on'], one.calls


def check_stuck(site, one):
    one.stuck = True
    began = time.monotonic()
    answer = site.fence(VICTIM, timeout=20)
    assert answer['rc'] != 0 and answer['state'] == '', answer
    assert time.monotonic() - began < 25, 'it did not end by its deadline'
    one.stuck = False
    print('a switch that does nothing: %s' % answer['text'])


def check_slow(site, one):
    one.delay = 1.5
    answer = site.fence(VICTIM)
    assert answer['state'] == 'off', answer
    one.delay = 0
    assert site.fence(VICTIM, 'on')['state'] == 'on'


def check_wrong_password(site):
    site.set_password('wrong')
    answer = site.fence(VICTIM)
    assert answer['rc'] != 0 and 'bmc-victim' in answer['text'], answer
    site.set_password(SECRET)
    print('wrong password: %s' % answer['text'])


def check_dead(site, one, two):
    one.kill()
    two.kill()
    began = time.monotonic()
    answer = site.fence(TWO, timeout=80)
    assert answer['state'] == 'off' and answer['values']['level'] == 2 and 'bmc-two' in answer['values']['failed'], answer
    with open(site.dummy) as f:
        assert f.read().strip() == 'off'
    print('dead BMC, off by level 2 in %.1f s: %s' % (time.monotonic() - began, answer['text']))
    began = time.monotonic()
    answer = site.fence(VICTIM, timeout=40)
    assert answer['rc'] != 0 and answer['state'] == '' and time.monotonic() - began < 45, answer
    one.start()
    two.start()


def check_refusals(site):
    assert 'add it under hosts in ' + site.file in site.fence(LONE)['said']
    assert 'does not fence itself' in site.fence(PROXY)['said']


def check_terminal(site, one):
    def run(*options):
        done = subprocess.run([MEND_HOST, 'fence-check', *options], capture_output=True, text=True, timeout=120)
        assert SECRET not in done.stdout + done.stderr
        return done

    good = run('--fencing', site.file)
    assert good.returncode == 0 and '2 hosts, 3 devices: all well' in good.stdout, good
    print(good.stdout)
    one.kill()
    bad = run('--fencing', site.file)
    assert bad.returncode == 1 and 'bmc-victim       fence_ipmilan      FAILED' in bad.stdout, bad
    one.start()
    os.chmod(site.file, 0o644)
    open_to_all = run('--fencing', site.file)
    os.chmod(site.file, 0o600)
    assert open_to_all.returncode == 1 and 'chmod o= ' + site.file in open_to_all.stdout, open_to_all


def check_health(site, one):
    """Fed by looks at the devices alone: nobody fences anything."""
    follow = site.start('events', os.path.join(mendsite.BIN, 'mend'), 'events', '--follow', '--json', '--data', site.data)
    port = bmc.free_port()
    site.start_host('--fencing-check', '2s', '--kdump', '--kdump-port', str(port))

    def told(*words):
        return any(all(word in line for word in words) for line in site.log('events').splitlines())

    mendsite.wait_for('the BMC channel', lambda: told('host.evidence', VICTIM, '"bmc"', '"alive"'), 30)
    mendsite.wait_for('that it can be fenced', lambda: told('host.fenceable', VICTIM), 30)
    site.set_password('wrong')
    mendsite.wait_for('an alarm', lambda: told('host.unfenceable', VICTIM, 'unreachable'), 90)
    site.set_password(SECRET)
    one.power = False
    mendsite.wait_for('that it is off', lambda: told('host.evidence', VICTIM, '"bmc"', '"off"'), 90)
    one.power = True
    sender = '/usr/libexec/fence-agents/fence_kdump_send'
    if os.path.exists(sender):
        subprocess.run([sender, '-p', str(port), '-c', '2', '-i', '1', '127.0.0.1'], check=True, stdout=subprocess.DEVNULL)
        mendsite.wait_for('the dump', lambda: told('host.evidence', VICTIM, '"kdump"', '"alive"'), 20)
    assert follow.poll() is None
    site.stop('mend-host')


def main():
    why = bmc.missing()
    if why:
        print('skipped: ' + why)
        return 77
    with Watch() as watch, bmc.Bmc(password=SECRET) as one, bmc.Bmc(password=SECRET) as two, Fencing(one, two) as site:
        site.broker()
        check_terminal(site, one)
        site.start_host('--fencing-check', '0s')
        check_power(site, one)
        check_slow(site, one)
        check_stuck(site, one)
        check_refusals(site)
        check_wrong_password(site)
        check_dead(site, one, two)
        site.stop('mend-host')
        check_health(site, one)
        site.assert_secret_is_nowhere()
    assert b'ipmitool' in watch.seen, 'the watch saw no ipmitool: it proves nothing'
    assert not watch.bad, watch.bad[0]
    return 0


if __name__ == '__main__':
    sys.exit(main())
