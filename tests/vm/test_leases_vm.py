#!/usr/bin/python3
"""Leases on shared storage with real libvirt and QEMU: who holds a VM's lease runs it, and nobody else ever does."""
import json
import os
import signal
import subprocess
import threading
import time
import unittest

import cloud
import mendsite
import tinyguest

POLICY = '''
mend: 1
applications:
  - name: shop
    vms:
      - {name: web, match: {name: web}, ha: true}
'''
VALID = 16  # seconds
WEB = '5ca1ab1e-0000-4000-8000-000000000001'


class Watcher:
    """All the time: on which hosts a process of the VM is, and what its lease says; each change with its time."""

    def __init__(self, site, vm, lease):
        self.site, self.vm, self.lease, self.on = site, vm, lease, True
        self.hosts, self.owners, self.renewals = [], [], []  # of (time, value)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while self.on:
            block = self.read()
            self.note(self.hosts, tuple(name for name, host in self.site.hosts.items() if host.is_on and self.runs(host)))
            if block is not None:
                self.note(self.owners, block[0])
                self.note(self.renewals, block[1:])
            time.sleep(0.01)

    def runs(self, host):
        try:
            return host.qemu_pid(self.vm) is not None
        except (OSError, AttributeError):
            return False  # it went off while it was looked at

    def read(self):
        """(owner, generation, renewals); None: there is none, or it is just being written."""
        try:
            with open(self.lease) as f:
                words = f.read().split()
        except OSError:
            return None
        return words[3:6] if words[:2] == ['mend-lease', '1'] and len(words) == 7 else None

    @staticmethod
    def note(all, value):
        if not all or all[-1][1] != value:
            all.append((time.monotonic(), value))

    def stop(self):
        self.on = False
        self.thread.join()

    def when(self, all, value, after=0):
        return next((at for at, each in all if each == value and at >= after), None)


class LeaseCase(cloud.Case):
    POLICY = POLICY
    VALID = VALID
    OPTIONS = ('--lease-io', '1s')

    def setUp(self):
        site = self.site
        self.shared = site.path('shared')
        os.mkdir(self.shared)
        self.tiny = tinyguest.Tiny(self.shared)
        for name, index in (('a', 11), ('b', 12)):
            site.hypervisor(name, index, '--storage', 'san1=' + self.shared, '--storage-interval', '500ms', '--storage-gone', '4s', '--storage-silent', '5s', '--lease-storage', 'san1',
                            '--lease-valid', '%ds' % self.VALID, *self.OPTIONS, '--peer', 'f00dcafe-0000-4000-8000-000000000011=10.99.0.11',
                            '--peer', 'f00dcafe-0000-4000-8000-000000000012=10.99.0.12', '--peer-interval', '500ms', '--sample', '1s')
        self.a, self.b = site.hosts['a'], site.hosts['b']
        self.vm = 'vm/' + WEB
        self.lease = os.path.join(self.shared, '.mend', 'lease-' + WEB)
        self.xml = self.tiny.xml('web', self.tiny.disk('web', '4G'), write='vda', uuid=WEB, agent=False)
        for name in ('a', 'b'):
            mendsite.wait_for('libvirt of ' + name, lambda: 'is there' in site.log('mend-host-' + name), 60)
        self.watcher = Watcher(site, WEB, self.lease)
        self.addCleanup(self.watcher.stop)

    # ---- what is done

    def call(self, host, method, *arguments, timeout=60):
        """(rc, text) of the method's answer."""
        answer = self.site.mend('call', 'mend-host:' + host.uuid, 'Hypervisor', method, 'name=' + WEB, 'timeout_ms=%d' % (timeout * 1000), *arguments,
                                '--timeout', '%ds' % (timeout + 10), '--json', timeout=timeout + 30)
        found = json.loads(answer.stdout)
        print('%s on %s: %s' % (method, host.name, found['text']))
        return found['rc'], found['text']

    def start(self, host):
        rc, text = self.call(host, 'vm_start', 'host=' + host.uuid, 'definition=' + self.xml)
        self.assertEqual(rc, 0, text)
        self.tiny.wait('web', 'TINY-UP')
        self.site.wait_state(self.vm, 'running')

    def children(self, host, verb):
        """Numbers of the agent's processes of this kind."""
        return [pid for pid in host.pids() if verb in words_of(pid)]

    def kill_agent(self, host):
        for pid in self.children(host, '--credentials'):
            os.kill(pid, signal.SIGKILL)

    # ---- what is so

    def owner(self):
        block = self.watcher.read()
        return block and block[0]

    def runs_on(self):
        return [name for name, host in self.site.hosts.items() if host.is_on and host.qemu_pid(WEB)]

    def data(self):
        return self.site.entities()[self.vm]['data']

    def check_never_twice(self):
        self.watcher.stop()
        for unused, hosts in self.watcher.hosts:
            self.assertLessEqual(len(hosts), 1, 'it ran twice: %s' % self.watcher.hosts)

    def ends_up_on_b(self, timeout=120):
        try:
            mendsite.wait_for('the VM on b', lambda: self.runs_on() == ['b'], timeout, 0.05)
        except AssertionError:
            print(self.site.why(self.vm)[-6000:])
            print(self.site.why('host/' + self.a.uuid)[-3000:])
            print(self.watcher.hosts, self.watcher.owners, self.watcher.renewals[-1:])
            raise
        self.tiny.wait('web', 'TINY-UP', times=2)
        self.tiny.wait_more('web', 'TICK')
        self.check_never_twice()


class Leases(LeaseCase):
    def check_gone_then_taken(self, limit=VALID):
        """No process of it was on a any more @limit seconds after a's last renewal; b took the lease after it was over; then a process was on b."""
        taken = self.watcher.when(self.watcher.owners, self.b.uuid)
        renewed = max(at for at, unused in self.watcher.renewals if at < taken)
        ran = self.watcher.when(self.watcher.hosts, ('a',))
        gone = self.watcher.when(self.watcher.hosts, (), ran)
        runs = self.watcher.when(self.watcher.hosts, ('b',), gone)
        print('after the last renewal (valid for %d s): gone from a %.1f s, lease taken by b %.1f s, runs on b %.1f s'
              % (VALID, gone - renewed, taken - renewed, runs - renewed))
        self.assertLess(gone - renewed, limit)
        self.assertGreater(taken - renewed, VALID)
        self.assertGreater(runs, taken)

    # ---- tests

    def test_moves_with_its_vm(self):
        self.start(self.a)
        self.assertEqual(self.owner(), self.a.uuid)
        mendsite.wait_for('word of its lease', lambda: self.data().get('lease') is True, 30)
        rc, text = self.call(self.a, 'vm_migrate', 'to=' + self.b.uuid, 'uri=' + self.b.tcp_uri)
        self.assertEqual(rc, 0, text)
        mendsite.wait_for('its lease on b', lambda: self.owner() == self.b.uuid, 30)
        self.site.wait_state(self.vm, 'running')
        self.assertEqual(self.data()['host'], self.b.uuid)
        mendsite.wait_for('word of its lease on b', lambda: self.data().get('lease') is True, 30)
        began = time.monotonic()
        while time.monotonic() < began + 2.5 * VALID:  # nobody's guard takes it for one without a lease
            self.tiny.wait_more('web', 'TICK')
            time.sleep(1)
        self.watcher.stop()
        self.assertEqual([owner for unused, owner in self.watcher.owners], [self.a.uuid, self.b.uuid])
        self.assertEqual(self.watcher.hosts[-1][1], ('b',))
        self.assertEqual(self.tiny.count('web', 'TINY-UP'), 1)
        self.assertNotIn('FAILED', self.tiny.said('web'))

    def host_with_another(self, before):
        """The host with a qemu that is not @before, which may still be ending."""
        return next((host for host in self.site.hosts.values() if host.is_on and host.qemu_pid(WEB) not in (None, 0, before)), None)

    def test_killed_qemu_starts_again(self):
        self.start(self.a)
        for unused in range(2):
            before = self.a.qemu_pid(WEB)
            os.kill(before, signal.SIGKILL)
            host = mendsite.wait_for('another qemu', lambda: self.host_with_another(before), 60, 0.05)
            self.assertEqual(self.owner(), host.uuid)
            self.site.wait_why(self.vm, 'healed', 60)
            if host is not self.a:
                break
        began = time.monotonic()
        while time.monotonic() < began + 1.5 * VALID:  # with its lease: the guard lets it run
            self.tiny.wait_more('web', 'TICK')
            time.sleep(1)
        self.check_never_twice()

    def test_host_without_its_storage(self):
        self.start(self.a)
        # what is open stays so: the VM could go on writing to its disk for ever
        self.a.run(['mount', '-t', 'tmpfs', 'none', self.shared])
        self.ends_up_on_b()
        self.assertEqual(self.owner(), self.b.uuid)
        self.check_gone_then_taken()

    def test_storage_that_hangs(self):
        self.start(self.a)
        for pid in self.children(self.a, 'lease-keeper') + self.children(self.a, 'storage-probe'):
            os.kill(pid, signal.SIGSTOP)  # as one that waits for its disk
        self.ends_up_on_b()
        self.assertEqual(self.owner(), self.b.uuid)
        self.check_gone_then_taken()

    def test_agent_and_libvirtd_start_anew(self):
        self.start(self.a)
        before = self.a.qemu_pid(WEB)
        self.kill_agent(self.a)
        self.site.start_agent(self.a)
        time.sleep(VALID / 4)
        self.a.stop_libvirtd(signal.SIGKILL)
        time.sleep(VALID / 2)
        self.a.start_libvirtd()
        began = time.monotonic()
        while time.monotonic() < began + 1.5 * VALID:
            self.tiny.wait_more('web', 'TICK')
            time.sleep(1)
        self.assertEqual((self.a.qemu_pid(WEB), self.owner()), (before, self.a.uuid))
        self.check_never_twice()

    def test_agent_is_gone(self):
        self.start(self.a)
        self.kill_agent(self.a)
        self.ends_up_on_b()
        self.assertEqual(self.owner(), self.b.uuid)
        self.check_gone_then_taken()

    def test_dead_host_that_nobody_can_fence(self):
        self.start(self.a)
        self.a.space.kill()
        self.ends_up_on_b()
        self.assertEqual(self.owner(), self.b.uuid)
        self.check_gone_then_taken()
        self.assertIn('lease', self.site.why(self.vm))

    def test_two_starts_race(self):
        answers = {}

        def start(host):
            answers[host.name] = self.call(host, 'vm_start', 'host=' + host.uuid, 'definition=' + self.xml)

        for unused in range(3):
            both = [threading.Thread(target=start, args=(host,)) for host in (self.a, self.b)]
            for one in both:
                one.start()
            for one in both:
                one.join()
            won = [name for name, (rc, unused) in answers.items() if rc == 0]
            self.assertEqual(len(won), 1, answers)
            self.assertIn('lease', answers['b' if won == ['a'] else 'a'][1])
            self.assertEqual(self.runs_on(), won)
            host = self.site.hosts[won[0]]
            rc, text = self.call(host, 'vm_stop', 'intent=admin')
            self.assertEqual(rc, 0, text)
            mendsite.wait_for('a free lease', lambda: self.owner() == '-', 30)
        self.check_never_twice()


class PathLost(LeaseCase):
    """A host cannot reach its storage any more, the other one can; its VM still runs and is moved in time, without the old host's lease."""
    VALID = 40
    OPTIONS = ('--lease-io', '1s', '--migrate-to', 'f00dcafe-0000-4000-8000-000000000012=qemu+tcp://10.99.0.12/system')

    def test_vm_goes_on_elsewhere(self):
        self.start(self.a)
        # what mend-host sees; QEMU opens its disk once more before it leaves
        self.a.run(['mount', '-t', 'tmpfs', 'none', os.path.join(self.shared, '.mend')])
        mendsite.wait_for('the VM on b', lambda: self.runs_on() == ['b'], 60, 0.05)
        self.assertEqual(self.owner(), self.a.uuid)
        mendsite.wait_for('its lease on b', lambda: self.owner() == self.b.uuid, 2 * self.VALID)
        began = time.monotonic()
        while time.monotonic() < began + 1.5 * self.VALID:
            self.tiny.wait_more('web', 'TICK')
            time.sleep(1)
        self.assertEqual(self.runs_on(), ['b'])
        self.assertEqual(self.tiny.count('web', 'TINY-UP'), 1)
        self.assertNotIn('FAILED', self.tiny.said('web'))


def words_of(pid):
    try:
        with open('/proc/%d/cmdline' % pid) as f:
            return f.read().split('\0')
    except OSError:
        return []


if __name__ == '__main__':
    cloud.skip_unless_available()
    why = tinyguest.missing()
    if why:
        print('skipped: ' + why)
        raise SystemExit(77)
    unittest.main(verbosity=2)
