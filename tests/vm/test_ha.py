#!/usr/bin/python3
"""Virtual machines that must not stay down, on real hosts with real libvirt: what ends them, what Mend does about it, and that no VM
ever runs twice."""
import os
import signal
import subprocess
import time
import unittest

import cloud
import guest
import mendsite

POLICY = '''
mend: 1
applications:
  - name: shop
    vms:
      - {name: web, match: {name: web}, ha: true, services: [{name: nginx, standard: systemd}]}
'''


class HighAvailability(cloud.Case):
    POLICY = POLICY

    def setUp(self):
        self.a = self.site.hypervisor('a', 11, '--sample', '1s')
        self.web = self.site.guest('web', '10.99.0.50', '--service', 'systemd:nginx')
        self.vm = 'vm/' + self.web.uuid

    def test_killed_qemu_starts_again(self):
        domain = self.site.boot(self.web, self.a)
        self.site.wait_state(self.vm, 'running')
        before = self.a.qemu_pid(self.web.uuid)
        os.kill(before, signal.SIGKILL)
        with cloud.Clock() as took:
            mendsite.wait_for('another qemu', lambda: self.a.qemu_pid(self.web.uuid) not in (None, before), 30)
        print('qemu killed, another one after %.2f s' % took.seconds)
        self.web.wait('GUEST-UP', times=2)
        self.site.wait_state('service/%s/nginx' % self.web.uuid, 'running')
        self.assertEqual(self.site.runs_on(self.web), ['a'])
        self.site.wait_why(self.vm, 'healed')
        self.assertIn('lost-qemu', self.site.why(self.vm))

    def test_shut_down_on_purpose_stays_down(self):
        domain = self.site.boot(self.web, self.a)
        self.site.wait_state(self.vm, 'running')
        guest.run(domain, '/bin/systemctl', 'poweroff')
        self.site.wait_state(self.vm, 'stopped', 60)
        time.sleep(5)
        self.assertEqual(self.site.runs_on(self.web), [])

    def test_panic_starts_it_again(self):
        domain = self.site.boot(self.web, self.a)
        self.site.wait_state('service/%s/nginx' % self.web.uuid, 'running')
        before = self.a.qemu_pid(self.web.uuid)
        crash(domain, 'c')
        self.site.wait_why(self.vm, 'crashed', 60)
        mendsite.wait_for('another qemu', lambda: self.a.qemu_pid(self.web.uuid) not in (None, before), 60)
        self.web.wait('GUEST-UP', times=2)
        self.site.wait_why(self.vm, 'healed', 120)

    def test_stopped_kernel_is_hung_and_reset(self):
        domain = self.site.boot(self.web, self.a)
        self.site.wait_state('service/%s/nginx' % self.web.uuid, 'running')
        time.sleep(6)  # its agent and its vCPU have been seen alive
        before = self.a.qemu_pid(self.web.uuid)
        crash(domain, 'halt')
        self.site.wait_why(self.vm, 'hung', 120)
        self.web.wait('GUEST-UP', times=2)
        self.assertEqual(self.a.qemu_pid(self.web.uuid), before)  # a reset, no new start
        self.site.wait_why(self.vm, 'healed', 120)

    def test_failing_disk_pauses_it_and_it_resumes(self):
        trigger, socket = self.site.path('broken'), self.site.path('nbd')
        nbd = subprocess.Popen(['nbdkit', '-f', '-U', socket, '--filter=error', 'memory', '16M', 'error=EIO', 'error-rate=100%', 'error-file=' + trigger])
        self.addCleanup(nbd.wait)
        self.addCleanup(nbd.kill)
        mendsite.wait_for('nbdkit', lambda: os.path.exists(socket))
        domain = self.site.boot(self.web, self.a, disks="<disk type='network' device='disk'><driver name='qemu' type='raw' cache='none' "
                                "error_policy='stop'/><source protocol='nbd'><host transport='unix' socket='%s'/></source>"
                                "<target dev='vdc' bus='virtio'/></disk>" % socket)
        self.site.wait_state(self.vm, 'running')
        guest.ask(domain, 'guest-exec', {'path': '/bin/sh', 'arg': ['-c', 'while :; do dd if=/dev/zero of=/dev/vdc bs=4k count=1 oflag=direct; sleep 0.1; done']})
        before = self.a.qemu_pid(self.web.uuid)
        open(trigger, 'w').close()
        self.site.wait_why(self.vm, 'io-error', 60)
        self.assertEqual(self.site.runs_on(self.web), ['a'])
        os.unlink(trigger)
        self.site.wait_state(self.vm, 'running', 60)
        self.assertEqual(self.a.qemu_pid(self.web.uuid), before)
        why = self.site.why(self.vm)
        self.assertIn('vm.resume', why)
        self.assertNotIn('command      vm.migrate', why)


def crash(domain, how):
    """Inside the guest: "c" panics it, "halt" stops its kernel for good. Nobody answers."""
    command = 'echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger' if how == 'c' else '/bin/systemctl halt -f -f'
    try:
        guest.ask(domain, 'guest-exec', {'path': '/bin/sh', 'arg': ['-c', '(sleep 0.5; %s) &' % command]})
    except Exception:
        pass


if __name__ == '__main__':
    cloud.skip_unless_available()
    unittest.main(verbosity=2)
