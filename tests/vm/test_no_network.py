#!/usr/bin/python3
"""A guest with no network card at all: its agent reaches the broker over a virtio-serial port and the host agent's relay, TLS and password
end to end. Whoever of those in between ends and comes back, the guest is there again."""
import os
import signal
import unittest

import cloud
import guest

PORT = "<channel type='unix'><target type='virtio' name='io.mend.bus.0'/></channel>"
BROKER = 'virtio-serial:///dev/virtio-ports/io.mend.bus.0?tls=10.99.0.1'


class NoNetwork(unittest.TestCase):
    def agent(self, site, vm):
        return site.agents().get('matahariproject.org:mend-guest:' + vm.uuid, {})

    def heal(self, site, vm, domain, service):
        """Kills the service and waits until Mend has brought it back."""
        before = guest.run(domain, '/bin/systemctl', 'show', '-P', 'MainPID', 'nginx')[1].strip()
        guest.run(domain, '/bin/systemctl', 'kill', '-s', 'KILL', 'nginx')

        def is_back():
            after = guest.run(domain, '/bin/systemctl', 'show', '-P', 'MainPID', 'nginx')[1].strip()
            return after not in ('', '0', before)
        cloud.mendsite.wait_for('nginx again', is_back, 60, 0.2)
        site.wait_state(service, 'running')

    def wait_agent(self, site, vm, state='up', timeout=40):
        cloud.mendsite.wait_for('the agent %s' % state, lambda: self.agent(site, vm).get('state') == state, timeout, 0.2)

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
            self.memory(domain)
            with cloud.Clock() as took:                        # the host's agent ends and comes back
                a.agent.kill()
                a.agent.wait()
                self.wait_agent(site, lone, 'closed')
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

    def memory(self, domain):
        code, pid = guest.run(domain, '/bin/systemctl', 'show', '-P', 'MainPID', 'mend-guest')
        status = guest.run(domain, '/bin/cat', '/proc/%s/status' % pid.strip())[1]
        kib = {line.split()[0]: int(line.split()[1]) for line in status.splitlines() if line.startswith(('VmRSS', 'RssAnon'))}
        print('mend-guest over virtio-serial and TLS: %d KiB resident, %d of them its own' % (kib['VmRSS:'], kib['RssAnon:']))
        self.assertLess(kib['RssAnon:'], 8 * 1024)


if __name__ == '__main__':
    cloud.skip_unless_available()
    unittest.main(verbosity=2)
