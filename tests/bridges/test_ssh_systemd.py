#!/usr/bin/python3
"""Units of a real systemd behind a real sshd inside a guest that has nothing of ours: seen by signals, healed by policy, unknown when out
of reach, and an administrator's stop is none of Mend's business."""
import os
import re
import shutil
import subprocess
import sys
import time
import unittest

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(FOLDER, '..', 'lib'))
import mendsite  # noqa: E402
import rig  # noqa: E402
import sshserver  # noqa: E402
import sshsite  # noqa: E402
from mendsite import BIN, wait_for  # noqa: E402

POLICY = """
mend: 1
applications:
  - name: shop
    vms:
      - name: web
        match: {id: %s}
        services: [{name: nginx, standard: systemd}, {name: cron, standard: systemd}]
rules:
  - name: heal
    on: service.failed
    ladder:
      - {do: service.restart, attempts: 5, within: 10m, healed_when: {state: running}}
"""

UNIT = """[Unit]
Description=the only way in
[Service]
ExecStart=/usr/sbin/sshd -D -e -f /etc/ssh/sshd_config
KillMode=control-group
RuntimeDirectory=sshd
"""


def libraries(program):
    said = subprocess.run(['ldd', program], capture_output=True, text=True, check=True).stdout
    return re.findall(r'(/\S+\.so\S*)', said)


class Systemd(unittest.TestCase):
    def setUp(self):
        self.mend = mendsite.Site()
        self.addCleanup(lambda: self.mend.__exit__(AssertionError if mendsite.failed(self) else None, None, None))
        self.guests = rig.Rig()
        self.addCleanup(self.guests.close)
        self.server = sshserver.Server(self.mend)
        self.guest = self.guests.prepare('web')
        self.agent = 'matahariproject.org:mend-ssh:' + self.guest.id

    def give_sshd(self, *more):
        """This machine's sshd, which the guests' tree has not."""
        for path in [sshserver.SSHD, *libraries(sshserver.SSHD)]:
            if not os.path.exists(self.guest.path(path)):
                self.guest.copy(path, path)
        for path in ('passwd', 'group'):
            with open(self.guest.path('etc/' + path)) as file:
                text = file.read()
            if 'sshd:' not in text and path == 'passwd':
                self.guest.write('etc/passwd', text + 'sshd:x:199:65534::/run/sshd:/usr/sbin/nologin\n')
        for key in ('host_key', 'authorized_keys'):
            self.guest.copy(self.server.path(key), 'etc/ssh/' + key, 0o600)
        self.guest.write('etc/ssh/sshd_config', '\n'.join([
            'Port %d' % self.server.port, 'ListenAddress 127.0.0.1', 'HostKey /etc/ssh/host_key', 'AuthorizedKeysFile /etc/ssh/authorized_keys',
            'StrictModes no', 'UsePAM no', 'PasswordAuthentication no', 'PermitRootLogin yes', 'PidFile none', *more]) + '\n')
        self.guest.write('etc/systemd/system/sshd-test.service', UNIT)
        self.guest.enable('sshd-test.service')

    def begin(self, *sshd_options):
        self.give_sshd(*sshd_options)
        self.guest.boot()
        self.mend.broker('--anonymous')
        self.mend.policy('--policy', self.mend.write('policy.yaml', POLICY % self.guest.id))
        guests = self.mend.write('guests.yaml', 'guests:\n  - {id: %s, name: web, host: 127.0.0.1, port: %d, user: root, identity: %s, known-hosts: %s,\n'
                                 '     services: ["systemd:nginx", "systemd:cron"]}\n'
                                 % (self.guest.id, self.server.port, self.server.client_key, self.server.known_hosts))
        self.mend.start('bridge', os.path.join(BIN, 'mend-bridge'), 'ssh', '--guests', guests, '--anonymous', '--log', 'debug', '--alive', '1s',
                        '--broker', 'amqp://127.0.0.1:%d' % self.mend.port, '--data', self.mend.path('b'), '--heartbeat', '1s')

    def entity(self, name):
        return self.mend.entities().get('service/%s/%s' % (self.guest.id, name), {})

    def await_state(self, name, state, timeout=60):
        wait_for('%s %s' % (name, state), lambda: self.entity(name).get('state') == state, timeout, 0.1)

    def test_units(self):
        self.begin()
        for name in ('nginx', 'cron'):
            self.await_state(name, 'running')

        killed_us = self.guest.kill_service('nginx')
        self.assertIsNotNone(self.guest.wait_active('nginx', killed_us, 60))
        self.await_state('nginx', 'running')
        story = wait_for('its story', lambda: self.mend.mend('why', 'service/%s/nginx' % self.guest.id, check=False).stdout, 30, 0.5)
        self.assertIn('rule heal', story)
        self.assertIn('killed by signal 9', story)

        self.guest.stop_service('cron')
        self.await_state('cron', 'stopped')
        self.assertEqual(self.entity('cron')['data']['intent'], 'admin')

        answer = self.mend.json('call', self.agent, 'Guest', 'restart', 'name=nginx')
        self.assertEqual((answer['rc'], answer['state']), (0, 'running'))

        began_us = rig.now_us()
        self.guest.run('systemctl', 'kill', '-s', 'KILL', 'sshd-test')
        self.await_state('nginx', 'unknown')
        self.guest.kill_service('nginx')  # nobody sees it
        time.sleep(2)
        self.assertEqual(self.mend.agents()[self.agent]['state'], 'up')
        self.assertEqual(self.entity('nginx').get('state'), 'unknown')
        answer = self.mend.mend('call', self.agent, 'Guest', 'restart', 'name=nginx', check=False)
        self.assertIn('rc = 189', answer.stdout)  # no connection, nothing was done
        self.guest.start_service('sshd-test')
        self.assertIsNotNone(self.guest.wait_active('nginx', began_us, 90))
        self.await_state('nginx', 'running')
        self.await_state('cron', 'stopped')  # still nobody's wish that it runs
        self.assertEqual(self.mend.stop('bridge'), 0)

    def test_a_bus_that_is_kept_back(self):
        self.begin('AllowStreamLocalForwarding no')
        wait_for('a word on it', lambda: 'AllowStreamLocalForwarding' in self.mend.log('bridge'), 60)
        self.await_state('nginx', 'unknown')
        wait_for('the agent', lambda: self.mend.agents()[self.agent]['state'] == 'up', 30)
        time.sleep(2)
        self.assertNotIn('nginx: failed', self.mend.log('bridge'))
        self.assertEqual(self.mend.stop('bridge'), 0)


if __name__ == '__main__':
    if os.geteuid() != 0 or not os.path.exists(sshserver.SSHD) or shutil.which('ldd') is None:
        print('skipped: needs root, and sshd (apt-get install openssh-server)')
        sys.exit(77)
    rig.skip_unless_available()
    unittest.main()
