#!/usr/bin/python3
"""A host dies with its VMs. They run on the other host after it is proven that they run nowhere else, and never before."""
import os
import subprocess
import threading
import time

import bmc
import cloud
import lvhost
import mendsite
import unittest

POLICY = '''
mend: 1
applications:
  - name: shop
    vms:
      - {name: web, match: {name: web}, ha: true, services: [{name: nginx, standard: systemd}]}
'''
IDS = {name: 'f00dcafe-0000-4000-8000-%012d' % index for name, index in (('a', 11), ('b', 12))}


class Watcher:
    """Looks all the time on how many hosts a VM runs: more than one is the end."""

    def __init__(self, site, vm):
        self.site, self.vm, self.twice, self.on = site, vm, None, True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while self.on:
            hosts = self.site.runs_on(self.vm)
            if len(hosts) > 1:
                self.twice = hosts
            time.sleep(0.02)

    def stop(self):
        self.on = False
        self.thread.join()
        return self.twice


class HostDies(cloud.Case):
    POLICY = POLICY

    def setUp(self):
        site, self.bmcs = self.site, {}
        shared = site.path('shared')
        os.mkdir(shared)
        site.debian.folder = shared
        for name in ('a', 'b'):
            # It answers for the power switch, not for the host: a host that crashed is still on.
            self.bmcs[name] = bmc.Bmc(off=lambda name=name: site.hosts[name].power_cut(), address=site.lan.address, port=6230 + ord(name),
                                      popen=site.lan.popen)
            self.addCleanup(self.bmcs[name].close)
        fencing = site.write('fencing.yaml', self.fencing())
        site.write('bmc.password', self.bmcs['a'].password + '\n')
        for name in ('fencing.yaml', 'bmc.password'):
            os.chmod(site.path(name), 0o600)
        for name, index in (('a', 11), ('b', 12)):
            site.hypervisor(name, index, '--fencing', fencing, '--fencing-check', '0s', '--storage', 'shared=' + shared, '--shared-folder', shared,
                            '--storage-interval', '500ms', '--storage-gone', '4s', '--peer', IDS['a'] + '=10.99.0.11',
                            '--peer', IDS['b'] + '=10.99.0.12', '--peer-interval', '500ms', '--sample', '1s')
        self.a, self.b = site.hosts['a'], site.hosts['b']
        self.web = site.guest('web', '10.99.0.50', '--service', 'systemd:nginx')
        self.vm, self.host_a = 'vm/' + self.web.uuid, 'host/' + self.a.uuid
        site.boot(self.web, self.a)
        site.wait_state(self.vm, 'running')
        site.wait_state('service/%s/nginx' % self.web.uuid, 'running')
        self.watcher = Watcher(site, self.web)
        time.sleep(6)  # each has seen the other on every channel, and the definition has found its way

    def fencing(self):
        parameters = '{ip: %s, ipport: %d, username: mend, lanplus: 1, cipher: 3}'
        return 'fencing: 1\ndevices:\n' + ''.join(
            '  - {name: bmc-%s, agent: fence_ipmilan, parameters: %s, password_file: bmc.password, retries: 0}\n'
            % (name, parameters % (each.address, each.port)) for name, each in self.bmcs.items()
        ) + 'hosts:\n' + ''.join('  - {id: %s, name: %s, levels: [bmc-%s]}\n' % (IDS[name], name, name) for name in self.bmcs)

    def crash(self, host):
        """Everything on it is dead, and its power is still on."""
        host.space.kill()

    def test_crashed_host_is_fenced_and_its_vm_starts_elsewhere(self):
        self.crash(self.a)
        with cloud.Clock() as took:
            mendsite.wait_for('the fence', lambda: 'off' in self.bmcs['a'].calls, 90, 0.05)
        with cloud.Clock() as after:
            mendsite.wait_for('the VM on b', lambda: self.site.runs_on(self.web) == ['b'], 60, 0.05)
        print('crashed; fenced after %.1f s, its VM runs on b %.2f s after that' % (took.seconds, after.seconds))
        self.web.wait('GUEST-UP', times=2)
        self.site.wait_state('service/%s/nginx' % self.web.uuid, 'running', 60)
        self.assertIsNone(self.watcher.stop(), 'it ran twice')
        self.site.wait_why(self.vm, 'healed')

    def test_dead_bmc_needs_a_person_and_takes_its_word(self):
        self.bmcs['a'].kill()
        self.crash(self.a)
        self.site.wait_why(self.host_a, 'needs a human', 180)
        self.assertEqual(self.site.runs_on(self.web), [])
        done = self.site.mend('operate', 'confirm-off', self.host_a, '--comment', 'I pulled its plug', '--who', 'anna', check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        mendsite.wait_for('the VM on b', lambda: self.site.runs_on(self.web) == ['b'], 60, 0.05)
        self.assertIsNone(self.watcher.stop(), 'it ran twice')
        self.assertIn('anna', self.site.why(self.host_a) + self.site.why(self.vm))


if __name__ == '__main__':
    cloud.skip_unless_available()
    why = bmc.missing()
    if why:
        print('skipped: ' + why)
        raise SystemExit(77)
    unittest.main(verbosity=2)
