#!/usr/bin/python3
"""MOM's rules on real QEMUs: a balloon shrinks and a disk is limited as the rules say; and a VM leaves a host that is short of memory when its balloon
cannot help."""
import os
import unittest

import cloud
import mendsite
import tinyguest

RULES = '''
(def shrink (guest) {
    (guest.Control "balloon_target" (max guest.balloon_min (/ guest.balloon_max 2)))
    (if (valid guest.io_tune) (with guest.io_tune tune (let ((most tune.maximum)) (tune.setTotalIopsSec most.total_iops_sec))) 0)
})
(with Guests guest (if (valid guest.balloon_cur) (shrink guest) (debug "no word from" (guest.Prop "name"))))
'''

MEMINFO = 'MemTotal: 8388608 kB\nMemFree: %d kB\nMemAvailable: %d kB\nBuffers: 0 kB\nCached: 0 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n'


def policy(more):
    """The rules' text stands in the policy itself, as `mend policy load` would have put it there."""
    return 'mend: 1\nstartup_guard: 0\nmom:\n  files: [rules.policy]\n  every: 1s\n%smom_files:\n  - name: rules.policy\n    text: |\n%s' % (
        more, ''.join('      %s\n' % line for line in RULES.strip().splitlines()))


class Memory(unittest.TestCase):
    def host(self, site, name, index, *options):
        """What this host says it has available is a file of the test's: all hosts here are one machine."""
        host = site.hypervisor(name, index, '--sample', '1s', *options)
        host.meminfo = os.path.join(host.folder, 'meminfo')
        self.available(host, 4194304)
        host.run(['mount', '--bind', host.meminfo, '/proc/meminfo'])
        return host

    def available(self, host, kb):
        with open(host.meminfo, 'w') as out:
            out.write(MEMINFO % (kb, kb))

    def boot(self, site, host, **more):
        tiny = tinyguest.Tiny(site.storage)
        disk = tiny.disk('web') if more.pop('disk', False) else None
        domain = host.connect().defineXML(tiny.xml('web', disk=disk, memory_mib=256, **more))
        domain.create()
        tiny.wait('web', 'TINY-UP')
        return domain

    def test_rules_shrink_a_balloon_and_limit_a_disk(self):
        with cloud.Cloud(policy=policy('  guests: [{vm: web, memory_min: 160MiB, disks: [{disk: vda, total_iops_sec: 500}]}]\n')) as site:
            a = self.host(site, 'a', 11)
            domain = self.boot(site, a, disk=True)
            vm = 'vm/' + domain.UUIDString()
            site.wait_state(vm, 'running')
            # half of 256 MiB is less than its minimum: it keeps that
            mendsite.wait_for('the balloon at 160 MiB', lambda: domain.memoryStats().get('actual') == 160 * 1024, 60, 0.2)
            mendsite.wait_for('the limit of vda', lambda: domain.blockIoTune('vda').get('total_iops_sec') == 500, 60, 0.2)
            site.wait_why(vm, 'control mom: done')

    def test_a_vm_leaves_a_host_that_is_short(self):
        with cloud.Cloud(policy=policy('  guests: [{vm: web, memory_min: 240MiB}]\n  eject: {floor: 1GiB, within: 10s}\n')) as site:
            b = self.host(site, 'b', 12)
            a = self.host(site, 'a', 11, '--migrate-to', '%s=%s' % (b.uuid, b.tcp_uri))
            domain = self.boot(site, a)
            uuid = domain.UUIDString()
            site.wait_state('vm/' + uuid, 'running')
            mendsite.wait_for('the balloon at its minimum', lambda: domain.memoryStats().get('actual') == 240 * 1024, 60, 0.2)
            self.assertTrue(a.qemu_pid(uuid))
            self.available(a, 900 * 1024)
            mendsite.wait_for('web on b alone', lambda: b.qemu_pid(uuid) and not a.qemu_pid(uuid), 90, 0.2)
            site.wait_why('vm/' + uuid, 'healed')
            why = site.why('vm/' + uuid)
            self.assertIn('short of memory', why)
            self.assertIn('vm.migrate', why)


if __name__ == '__main__':
    cloud.skip_unless_available()
    why = tinyguest.missing()
    if why:
        print('skipped: ' + why)
        raise SystemExit(77)
    unittest.main(verbosity=2)
