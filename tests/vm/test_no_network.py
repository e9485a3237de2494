#!/usr/bin/python3
"""A guest with no network card at all: its agent reaches the broker over a virtio-serial port and the host agent's relay, TLS and password
end to end. Whoever of those in between ends and comes back, the guest is there again."""
import os
import signal
import time
import unittest

import cloud
import guest

PORT = "<channel type='unix'><target type='virtio' name='io.mend.bus.0'/></channel>"
BROKER = 'virtio-serial:///dev/virtio-ports/io.mend.bus.0?tls=10.99.0.1'


class NoNetwork(unittest.TestCase):
    def agent(self, site, vm):
        try:
            return site.agents().get('matahariproject.org:mend-guest:' + vm.uuid, {})
        except AssertionError:                                 # the broker is away
            return {}

    def heal(self, site, vm, domain, service):
        """Kills the service and waits until Mend has brought it back."""
        before = guest.run(domain, '/bin/systemctl', 'show', '-P', 'MainPID', 'nginx')[1].strip()
        guest.run(domain, '/bin/systemctl', 'kill', '-s', 'KILL', 'nginx')

        def is_back():
            after = guest.run(domain, '/bin/systemctl', 'show', '-P', 'MainPID', 'nginx')[1].strip()
            return after not in ('', '0', before)
        try:
            cloud.mendsite.wait_for('nginx again', is_back, 60, 0.2)
        except AssertionError:
            print(site.why(service), site.mend('why-not', service, check=False).stdout)
            raise
        site.wait_state(service, 'running')

    def wait_agent(self, site, vm, timeout=40):
        cloud.mendsite.wait_for('the agent up', lambda: self.agent(site, vm).get('state') == 'up', timeout, 0.2)

    def kill_host_agent(self, host):
        for pid in host.pids():
            with open('/proc/%d/comm' % pid) as f:
                if f.read().strip() == 'mend-host':
                    os.kill(pid, signal.SIGKILL)
        host.agent.wait()

    def test_end_to_end(self):
        with cloud.Cloud() as site:
            a = site.hypervisor('a', 11)
            lone = site.guest('lone', None, '--broker', BROKER, '--service', 'systemd:nginx')
            domain = site.boot(lone, a, devices=PORT)
            nginx = 'service/%s/nginx' % lone.uuid
            self.assertEqual(guest.run(domain, '/bin/ls', '/sys/class/net')[1].split(), ['lo'])
            site.wait_state(nginx, 'running')
            self.heal(site, lone, domain, nginx)
            site.wait_why(nginx, 'healed')
            with cloud.Clock() as took:                        # the host's agent ends and comes back
                self.kill_host_agent(a)
                cloud.mendsite.wait_for('the agent away', lambda: self.agent(site, lone).get('state') != 'up', 40, 0.1)
                site.start_agent(a)
                self.wait_agent(site, lone)
            print('mend-host killed: the guest is back after %.1f s' % took.seconds)
            with cloud.Clock() as took:                        # the guest's agent is killed: nothing is said on the port
                guest.run(domain, '/bin/systemctl', 'kill', '-s', 'KILL', 'mend-guest')
                before = self.agent(site, lone).get('epoch')
                cloud.mendsite.wait_for('its next life', lambda: self.agent(site, lone).get('epoch') not in (None, before), 40, 0.2)
                self.wait_agent(site, lone)
            print('mend-guest killed: back after %.1f s' % took.seconds)
            with cloud.Clock() as took:
                site.stop('broker', signal.SIGKILL)
                site.start('broker', os.path.join(cloud.mendsite.BIN, 'mend'), 'broker', '--listen', '%s:%d' % (site.lan.address, site.port),
                           '--data', site.data)
                self.wait_agent(site, lone)
            print('broker killed: back after %.1f s' % took.seconds)
            self.heal(site, lone, domain, nginx)
            time.sleep(10)                                     # what a handshake needs is given back by then
            self.memory(domain)

    def test_live_migration(self):
        """The line moves with the guest: its agent is heard over the other host's relay, is never taken for lost, and obeys there."""
        import libvirt
        with cloud.Cloud() as site:
            a, b = site.hypervisor('a', 11), site.hypervisor('b', 12)
            lone = site.guest('lone', None, '--broker', BROKER, '--service', 'systemd:nginx')
            domain = site.boot(lone, a, devices=PORT)
            nginx, name = 'service/%s/nginx' % lone.uuid, 'matahariproject.org:mend-guest:' + lone.uuid
            site.wait_state(nginx, 'running')
            epoch = self.agent(site, lone)['epoch']
            domain.migrateToURI3(b.tcp_uri, {}, libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER | libvirt.VIR_MIGRATE_PERSIST_DEST |
                                 libvirt.VIR_MIGRATE_UNDEFINE_SOURCE | libvirt.VIR_MIGRATE_UNSAFE)
            with cloud.Clock() as took:
                cloud.mendsite.wait_for('the other relay', lambda: b.uuid in site.why('vm/' + lone.uuid), 30)
                domain = site.domain(lone, b)
                self.wait_agent(site, lone)
                self.heal(site, lone, domain, nginx)
            print('migrated: healed on the other host after %.1f s' % took.seconds)
            self.assertEqual(self.agent(site, lone)['epoch'], epoch)   # the same life of it
            self.assertEqual(site.runs_on(lone), ['b'])
            self.assertNotIn('agent.lost', site.why('agent/' + name))
            for never in ('vm.start', 'vm.reset', 'vm.stop'):
                self.assertNotIn('command      ' + never, site.why('vm/' + lone.uuid))

    def memory(self, domain):
        code, pid = guest.run(domain, '/bin/systemctl', 'show', '-P', 'MainPID', 'mend-guest')
        status = guest.run(domain, '/bin/cat', '/proc/%s/status' % pid.strip())[1]
        kib = {line.split()[0]: int(line.split()[1]) for line in status.splitlines() if line.startswith(('VmRSS', 'RssAnon'))}
        print('mend-guest over virtio-serial and TLS: %d KiB resident, %d of them its own' % (kib['VmRSS:'], kib['RssAnon:']))
        self.assertLess(kib['VmRSS:'], 8 * 1024)


if __name__ == '__main__':
    cloud.skip_unless_available()
    unittest.main(verbosity=2)
