"""What the host agent sees of VMs on a real libvirt and real QEMU: what ends them, what stops them, what it says of who wanted it; and
what it says after libvirtd was away. Each VM is a tiny guest that does its misdeed by itself (tinyguest.py)."""
import os
import signal
import subprocess
import sys
import time
import unittest
import uuid

import lvhost
import standagent
import tinyguest

why = lvhost.missing(['nbdkit']) or lvhost.network_missing() or tinyguest.missing()
if why:
    print('skipped: ' + why)
    sys.exit(77)

GOLD = '99999999-2222-4333-8444-555555555555'
PANIC = "<panic model='isa'/>"
WATCHDOG = "<watchdog model='i6300esb' action='%s'/>"


class Sight(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lan = cls.enterClassContext(lvhost.Lan())
        cls.host = cls.lan.host('a', 11).start()
        cls.tiny = tinyguest.Tiny(cls.lan.folder)
        cls.libvirt = cls.host.connect()
        cls.settings = ['sample_ms=500', 'still=3', 'data=' + cls.lan.folder + '/agent', 'storage=%s=%s' % (GOLD, cls.lan.folder)]
        os.mkdir(cls.lan.folder + '/agent')
        cls.agent = standagent.Agent(cls.host, *cls.settings, program='stand_libvirt')
        cls.addClassCleanup(lambda: cls.agent.close())

    def boot(self, name, wait='TINY-UP', define=False, **more):
        more.setdefault('agent', False)
        vm = str(uuid.uuid4())
        xml = self.tiny.xml(name, uuid=vm, **more)
        domain = self.libvirt.defineXML(xml) if define else self.libvirt.createXML(xml)
        if define:
            domain.create()
        self.addCleanup(self.end, vm)
        if wait:
            self.tiny.wait(name, wait)
        return vm, domain

    def end(self, vm):
        try:
            self.host.connect().lookupByUUIDString(vm).destroy()
        except Exception:
            pass

    def states(self, vm):
        """[(state, intent, reason), …] as told."""
        with self.agent.changed:
            return [(v['state'], v.get('intent'), v.get('reason')) for v in (e['values'] for e in self.agent.events if e.get('class') == 'vm_state')
                    if v['id'] == vm and v['state'] not in ('sample', 'evidence', 'job')]

    def told(self, vm, *wanted, timeout=60):
        """The next of its vm_state that is @wanted: (state, intent, reason); the values."""
        def is_it(e):
            v = e.get('values', {})
            return e.get('class') == 'vm_state' and v['id'] == vm and (v['state'], v.get('intent'), v.get('reason')) == wanted
        try:
            return self.agent.wait(is_it, timeout)['values']
        except AssertionError:
            raise AssertionError('%s was not told, but %s' % (wanted, self.states(vm))) from None

    def evidence(self, vm, channel, says, timeout=60, first=0):
        return self.agent.wait(lambda e: e.get('values', {}).get('channel') == channel and e['values']['id'] == vm and e['values']['says'] == says,
                               timeout, first)['values']

    def events(self, vm):
        with self.agent.changed:
            return [' '.join(filter(None, (v['event'], v['kind'], v['detail'])))
                    for v in (e['values'] for e in self.agent.events if e.get('class') == 'domain_event') if v['id'] == vm]

    def vms(self):
        """The last inventory's; None: it says nothing of VMs."""
        with self.agent.changed:
            return [e['values'].get('vms') for e in self.agent.events if e.get('class') == 'host_state' and e['values']['state'] == 'up'][-1]

    # ---- ends

    def test_a_life(self):
        vm, domain = self.boot('life', agent=True, define=True, disk=self.tiny.disk('life'), write='vda')
        state = self.told(vm, 'running', 'admin', 'unpaused')
        self.assertEqual((state['host'], state['name']), (self.agent.id, 'life'))
        self.evidence(vm, 'qga', 'alive')
        self.evidence(vm, 'progress', 'alive')
        full = self.agent.wait(lambda e: e.get('values', {}).get('memory_bytes') == 160 << 20 and e['values']['id'] == vm)['values']
        self.assertEqual((full['vcpus'], full['storage']), (1, [GOLD]))
        sample = self.agent.wait(lambda e: 'guest_available_bytes' in e.get('values', {}).get('sample', {}) and e['values']['id'] == vm, 60)['values']['sample']
        self.assertLess(sample['guest_available_bytes'], 160 << 20)
        self.assertGreater(sample['rss_bytes'], 10 << 20)
        self.assertGreaterEqual(sample['cpu_percent'], 0)
        self.assertIn('write_bytes_per_s', sample)
        self.assertEqual(sample['balloon_bytes'], 160 << 20)
        self.assertIn(vm, self.vms())
        domain.suspend()
        self.told(vm, 'paused', 'admin', 'user')
        domain.resume()
        domain.shutdown()
        self.told(vm, 'stopped', 'user', 'shutdown')
        standagent.until('it left the inventory', lambda: vm not in self.vms())
        self.assertTrue(os.path.exists('%s/agent/definitions/%s.xml' % (self.lan.folder, vm)), 'its definition is kept')
        domain.undefine()

    def test_killed_qemu(self):
        vm, domain = self.boot('killed')
        os.kill(self.host.qemu_pid('killed'), signal.SIGKILL)
        at = time.monotonic()
        self.told(vm, 'stopped', 'none', 'lost-qemu')
        print('qemu killed: told after %.0f ms' % ((time.monotonic() - at) * 1000))

    def test_off_from_inside(self):
        vm, domain = self.boot('off', does='off=0.5')
        self.told(vm, 'stopping', 'user', 'shutdown')
        self.told(vm, 'stopped', 'user', 'shutdown')

    def test_destroyed_by_hand_and_by_us(self):
        vm, domain = self.boot('destroyed', wait=None)
        self.told(vm, 'running', 'admin', 'unpaused')
        domain.destroy()
        self.told(vm, 'stopped', 'admin', 'destroyed')
        vm, domain = self.boot('commanded', wait=None)
        self.told(vm, 'running', 'admin', 'unpaused')
        self.agent.call('vm_stop', vm, intent='update').must('done', state='stopped')
        self.told(vm, 'stopped', 'update', 'destroyed')

    def test_rebooted_from_inside(self):
        vm, domain = self.boot('reboots', does='reboot=0.5')
        self.told(vm, 'rebooted', 'user', 'reset')
        self.assertEqual([s for s in self.states(vm) if s[0] == 'stopped'], [])

    # ---- the guest's kernel

    def test_panic(self):
        vm, domain = self.boot('panics', devices=PANIC, does='panic=0.5')
        self.told(vm, 'panicked', 'none', 'panicked')
        self.told(vm, 'crashed', 'none', 'panicked')
        self.assertEqual([e for e in self.events(vm) if 'crash' in e], ['lifecycle crashed panicked', 'lifecycle stopped crashed'])

    def test_panic_that_restarts(self):
        vm, domain = self.boot('panics-again', devices=PANIC, does='panic=0.5', on_crash='restart')
        self.told(vm, 'panicked', 'none', 'panicked')
        self.told(vm, 'rebooted', 'none', 'panicked')
        self.told(vm, 'running', 'none', 'rebooted')

    def test_watchdogs(self):
        for action, wanted in (('pause', ('hung', 'none', 'watchdog')), ('none', ('hung', 'none', 'watchdog')),
                               ('reset', ('rebooted', 'none', 'watchdog')), ('poweroff', ('stopped', 'none', 'watchdog'))):
            with self.subTest(action):
                vm, domain = self.boot('dog-' + action, devices=WATCHDOG % action, does='watchdog=2')
                self.told(vm, *wanted)
                self.assertIn('watchdog ' + action, self.events(vm))
                self.assertNotIn('paused', [s[0] for s in self.states(vm)])
                rebooted = [s for s in self.states(vm) if s[0] == 'rebooted']
                self.assertEqual(len(rebooted), 1 if action == 'reset' else 0, self.states(vm))
                self.end(vm)

    # ---- its storage

    def nbd(self, name):
        """A disk whose every request fails while the file exists: (file, XML)."""
        folder = self.lan.folder
        bad, socket = '%s/%s.bad' % (folder, name), '%s/%s.sock' % (folder, name)
        server = self.host.popen(['nbdkit', '-f', '-U', socket, '--filter=error', 'memory', '64M', 'error=EIO', 'error-rate=100%',
                                  'error-file=' + bad], stdin=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        standagent.until('nbdkit', lambda: os.path.exists(socket))
        return bad, ("<disk type='network' device='disk'><driver name='qemu' type='raw' cache='none' error_policy='stop'/>"
                     "<source protocol='nbd' name='disk'><host transport='unix' socket='%s'/></source><target dev='vda' bus='virtio'/></disk>" % socket)

    def test_io_errors(self):
        bad, xml = self.nbd('ill')
        vm, domain = self.boot('ill', wait='WROTE', disks=xml, write='vda')
        open(bad, 'w').close()
        at = time.monotonic()
        self.told(vm, 'paused', 'none', 'io-error')
        print('EIO: told after %.0f ms' % ((time.monotonic() - at) * 1000))
        standagent.until('both events of it', lambda: {'io-error pause', 'io-error-reason pause'} <= set(self.events(vm)))   # they come after the pause
        os.unlink(bad)
        n = len(self.states(vm))
        domain.resume()
        standagent.until('it runs', lambda: self.states(vm)[n:][:1] and self.states(vm)[n:][0][0] == 'running')
        self.tiny.wait_more('ill', 'WROTE')

    def test_no_space(self):
        folder = '/run/full'
        self.host.run(['mkdir', '-p', folder])
        self.host.run(['mount', '-t', 'tmpfs', '-o', 'size=3m', 'full', folder])
        self.host.run(['qemu-img', 'create', '-q', '-f', 'qcow2', folder + '/full.qcow2', '64M'])
        xml = ("<disk type='file' device='disk'><driver name='qemu' type='qcow2' error_policy='enospace'/>"
               "<source file='%s/full.qcow2'/><target dev='vda' bus='virtio'/></disk>" % folder)
        vm, domain = self.boot('full', wait='WROTE', disks=xml, write='vda')
        self.told(vm, 'paused', 'none', 'enospc', timeout=180)
        self.host.run(['mount', '-o', 'remount,size=64m', folder])
        n = len(self.states(vm))
        domain.resume()
        standagent.until('it runs', lambda: self.states(vm)[n:][:1] and self.states(vm)[n:][0][0] == 'running')

    # ---- progress

    def test_a_stopped_process_makes_no_progress(self):
        vm, domain = self.boot('stands')
        self.evidence(vm, 'progress', 'alive')
        pid = self.host.qemu_pid('stands')
        other, _ = self.boot('moves')
        self.evidence(other, 'progress', 'alive')
        first = len(self.agent.events)
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(os.kill, pid, signal.SIGCONT)
        at = time.monotonic()
        self.evidence(vm, 'progress', 'none')
        print('stopped process: no progress told after %.1f s (period 0.5 s, 3 of them)' % (time.monotonic() - at))
        now = len(self.agent.events)
        self.agent.wait(lambda e: 'sample' in e.get('values', {}) and e['values']['id'] == other, 20, now)   # others are not held up
        os.kill(pid, signal.SIGCONT)
        self.evidence(vm, 'progress', 'alive', first=now)

    # ---- libvirtd

    def test_what_happened_while_libvirtd_was_away(self):
        stays, _ = self.boot('stays', define=True)
        dies, _ = self.boot('dies', define=True)
        pauses, domain = self.boot('pauses', define=True)
        for vm in (stays, dies, pauses):
            self.told(vm, 'running', 'admin', 'unpaused')
        n = len(self.states(stays))
        self.host.stop_libvirtd(signal.SIGKILL)
        standagent.until('it says nothing of VMs', lambda: self.vms() is None)
        os.kill(self.host.qemu_pid('dies'), signal.SIGKILL)
        time.sleep(0.3)
        self.host.start_libvirtd()
        type(self).libvirt = self.host.connect()
        self.told(dies, 'crashed', 'none', 'crashed')
        standagent.until('it says what runs', lambda: self.vms() is not None and stays in self.vms() and dies not in self.vms())
        self.assertEqual(self.states(stays)[n:], [], 'nothing happened to it')
        # Another life of the agent: why a VM is off is not forgotten with libvirtd's next restart.
        self.agent.close()
        self.host.stop_libvirtd()
        self.host.start_libvirtd()
        type(self).libvirt = self.host.connect()
        type(self).agent = standagent.Agent(self.host, *self.settings, program='stand_libvirt')
        self.told(dies, 'crashed', 'none', 'crashed')
        self.told(stays, 'running', 'unknown', 'seen')
        for vm in (stays, dies, pauses):
            self.end(vm)
            self.libvirt.lookupByUUIDString(vm).undefine()

    def test_a_silent_libvirtd_is_left(self):
        pid = self.host.libvirtd_pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            at = time.monotonic()
            standagent.until('it is away', lambda: self.vms() is None, 40)
            print('libvirtd stopped: away after %.1f s' % (time.monotonic() - at))
        finally:
            os.kill(pid, signal.SIGCONT)
            os.kill(self.host.libvirtd.pid, signal.SIGCONT)   # nsenter stops with its child
        standagent.until('it is back', lambda: self.vms() is not None, 40)


if __name__ == '__main__':
    unittest.main(verbosity=2)
