#!/usr/bin/python3
"""Leases by sanlock: two hosts, each with a sanlock daemon of its own (without a watchdog), keeper and guard as mend-host runs them; their
VMs are processes that sleep."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

BUILD = os.environ.get('MEND_BUILD_DIR') or 'build'
STAND = os.path.join(BUILD, 'tests', 'lease_stand')
IDS = {'a': 'aaaaaaaa-0000-4000-8000-000000000001', 'b': 'bbbbbbbb-0000-4000-8000-000000000002'}
VM = '0b8c1d5e-9f7a-4b36-8a51-3c2d1e0f9a99'
VALID = 16  # seconds: sanlock's io_timeout is 2 s


def missing():
    if not shutil.which('sanlock'):
        return 'needs sanlock (packaging/debian-packages-test.txt)'
    if os.geteuid() != 0:
        return 'needs root: a sanlock daemon of its own'
    with tempfile.TemporaryDirectory() as folder:
        answer = subprocess.run([STAND, 'lease-free', folder, IDS['a'], folder, str(VALID * 10**6), '1000000', 'sanlock', VM],
                                env=dict(os.environ, SANLOCK_RUN_DIR=folder), stderr=subprocess.PIPE, text=True)
        return 'mend-host was built without it (libsanlock-dev)' if 'built without' in answer.stderr else None


def wait_for(what, check, timeout):
    deadline = time.monotonic() + timeout
    while not check():
        if time.monotonic() > deadline:
            raise AssertionError('%s did not come within %d s' % (what, timeout))
        time.sleep(0.02)


class Host:
    def __init__(self, folder, name, shared):
        self.name, self.id, self.shared = name, IDS[name], shared
        self.folder = os.path.join(folder, name)
        for part in ('run', 'data', 'vms'):
            os.makedirs(os.path.join(self.folder, part))
        self.environment = dict(os.environ, SANLOCK_RUN_DIR=self.folder + '/run', SANLOCK_PRIVILEGED='0', LEASE_STAND_VMS=self.folder + '/vms')
        self.log = open(self.folder + '/log', 'a+')
        self.lines, self.all, self.keeper, self.vm = [], [], None, None
        self.daemon = subprocess.Popen(['sanlock', 'daemon', '-D', '-w', '0', '-h', '0', '-l', '0', '-U', 'root', '-G', 'root', '-e', self.id],
                                       stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=self.environment)
        wait_for('the daemon of ' + name, lambda: os.path.exists(self.folder + '/run/sanlock.sock'), 20)
        self.start()

    def start(self):
        """The guard's agent is the keeper here: they die together, as they do when the agent dies."""
        if self.keeper is not None:
            self.keeper.stdin.close()
        times = [str(VALID * 10**6), '1000000', 'sanlock']
        where = [self.shared, self.id, self.folder + '/data']
        guard = [STAND, 'lease-guard', self.folder + '/data', str(VALID * 10**6 // 8)] + where + times
        self.keeper = subprocess.Popen(['bash', '-c', '%s </dev/null >&2 & exec "$@"' % ' '.join(guard), 'keeper', STAND, 'lease-keeper'] + where + times,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=self.environment)
        threading.Thread(target=self.read, args=(self.keeper.stdout,), daemon=True).start()

    def read(self, stream):
        with stream:
            self.read_lines(stream)

    def read_lines(self, stream):
        for line in stream:
            print('%8.1f %s: %s' % (time.monotonic() % 1000, self.name, line.strip()), flush=True)
            self.lines.append(line.strip())
            self.all.append(line.strip())

    def say(self, line):
        del self.lines[:]
        self.keeper.stdin.write(line + '\n')
        self.keeper.stdin.flush()

    def answer(self, line, *answers, timeout=20):
        """The one of @answers (first words) that @line got."""
        self.say(line)
        wait_for(' or '.join(answers), lambda: any(each.split()[0] in answers for each in list(self.lines)), timeout)
        return next(each.split()[0] for each in self.lines if each.split()[0] in answers)

    def take(self, timeout=60):
        """What a host agent does that may start it: until the host has joined, and as long as it is held by one who is silent."""
        deadline = time.monotonic() + timeout
        while self.answer('take ' + VM, 'taken', 'held', 'later', 'failed', timeout=timeout) != 'taken':
            if time.monotonic() > deadline:
                raise AssertionError('%s does not get it: %s' % (self.name, self.lines))
            time.sleep(0.3)

    def run_vm(self):
        self.vm = subprocess.Popen(['sleep', '1000'])
        threading.Thread(target=self.vm.wait, daemon=True).start()
        with open(os.path.join(self.folder, 'vms', VM), 'w') as f:
            f.write(str(self.vm.pid))

    def runs(self):
        return self.vm is not None and self.vm.poll() is None

    def end(self):
        if self.keeper is not None:
            self.keeper.stdin.close()
        for process in (self.keeper, self.daemon, self.vm):
            if process is not None and process.poll() is None:
                process.kill()
                if process is self.daemon:
                    process.send_signal(signal.SIGCONT)
                process.wait()
        self.log.close()


class Sanlock(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='mend-sanlock-')
        self.addCleanup(shutil.rmtree, self.folder, True)
        shared = os.path.join(self.folder, 'shared')
        os.mkdir(shared)
        self.hosts = {}
        self.addCleanup(lambda: [host.end() for host in self.hosts.values()])
        for name in IDS:
            self.hosts[name] = Host(self.folder, name, shared)
        self.a, self.b = self.hosts['a'], self.hosts['b']

    def check_held_by_a(self):
        def is_so():
            self.assertEqual(self.b.answer('take ' + VM, 'taken', 'held'), 'held')
            return 'held %s %s live' % (VM, self.a.id) in self.b.lines

        wait_for('a that lives', is_so, 30)  # a while after it was first seen


class Quick(Sanlock):
    def test_one_has_it_until_it_gives_it_back(self):
        self.b.take()  # both are in the lockspace now
        self.assertEqual(self.b.answer('release ' + VM, 'released'), 'released')
        self.a.take()
        self.check_held_by_a()
        self.a.keeper.kill()
        self.a.keeper.wait()
        self.check_held_by_a()  # by the host, without a keeper
        self.a.start()
        self.a.take()
        time.sleep(1.5 * VALID)
        self.check_held_by_a()
        self.assertNotIn('lost', ' '.join(self.a.lines))
        self.assertEqual(self.a.answer('release ' + VM, 'released'), 'released')
        self.b.take()

    def test_agent_is_gone(self):
        self.b.take()
        self.b.answer('release ' + VM, 'released')
        self.a.take()
        self.a.run_vm()
        self.a.keeper.kill()
        self.a.keeper.wait()
        self.assertTrue(self.a.runs())
        # not "released", which its agent would say
        wait_for('the end of its lease', lambda: 'seen %s expired %s' % (VM, self.a.id) in self.b.all, 5 * VALID)
        self.assertFalse(self.a.runs())
        self.b.take()


class Dead(Sanlock):
    def test_daemon_that_hangs(self):
        self.b.take()
        self.b.answer('release ' + VM, 'released')
        self.a.take()
        self.a.run_vm()
        time.sleep(VALID)  # as long as it is renewed it runs
        self.assertTrue(self.a.runs())
        self.a.daemon.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        wait_for('the end of its VM', lambda: not self.a.runs(), VALID + 5)
        gone = time.monotonic() - began
        self.assertEqual(self.b.answer('take ' + VM, 'taken', 'held'), 'held')
        self.b.take(timeout=150)
        print('its daemon hung: VM gone after %.1f s, lease taken after %.1f s' % (gone, time.monotonic() - began))
        self.assertGreater(time.monotonic() - began, VALID)
        self.a.daemon.send_signal(signal.SIGCONT)  # it was over meanwhile, and it says so
        wait_for('word that it is lost', lambda: 'lost ' + VM in self.a.lines, 30)
        self.assertIsNone(self.a.keeper.poll())  # sanlock did not end it
        self.a.answer('release ' + VM, 'released', 'failed')
        self.assertNotEqual(self.a.answer('take ' + VM, 'taken', 'held', 'later', 'failed', timeout=60), 'taken')
        wait_for('a in the lockspace anew', lambda: self.a.answer('take ' + VM, 'held', 'later', 'failed') == 'held', 60)
        self.assertEqual(self.b.answer('release ' + VM, 'released'), 'released')
        self.a.take()
        self.assertNotIn('seen %s expired %s' % (VM, self.b.id), self.a.all)  # a saw nothing while it hung, b least of all


if __name__ == '__main__':
    why = missing()
    if why:
        print('skipped: ' + why)
        sys.exit(77)
    unittest.main(verbosity=2)
