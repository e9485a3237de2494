#!/usr/bin/python3
"""From a host that falls silent to its power being off: engine, proxy, fence_ipmilan, BMC; a host of which only the agent died is left
alone. And with a dead BMC: a person is asked, and a person's word counts, with their name and reason."""
import os
import signal
import subprocess
import sys
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))

import bmc       # noqa: E402
import mendsite  # noqa: E402

IDLE, PROXY, VICTIM = ('00000000-0000-4000-8000-%012d' % i for i in (1, 2, 3))  # the engine asks in this order
POLICY = 'mend: 1\nrules:\n  - {name: fence, on: host.dead, ladder: [{do: host.fence, attempts: 2}, {do: notify, to: oncall}]}\nnotify: {oncall: log}\n'


class Fenced(mendsite.Site):
    def host(self, name, ident, *options):
        credentials = self.write(name + '.cred', self.mend('enrol', '--host', ident).stdout)
        os.chmod(credentials, 0o600)
        self.start(name, os.path.join(mendsite.BIN, 'mend-host'), '--credentials', credentials, '--data', self.path(name), '--id', ident,
                   '--libvirt-uri', 'test:///default', '--heartbeat', '1s', '--fencing-check', '0s', '--storage-gone', '2s', '--storage-interval', '500ms',
                   '--storage', 'shared=' + self.path('shared'), *options)
        mendsite.wait_for(name, lambda: self.entities().get('host/' + ident, {}).get('state') == 'up', 30)

    def agent_dies(self):
        time.sleep(4)  # the others have seen its beats on storage
        self.stop('victim', signal.SIGKILL)

    def host_dies(self):
        """All its processes end at once: also the one that goes on beating when the agent is gone."""
        for line in subprocess.run(['pgrep', '-f', 'storage-probe .*' + VICTIM], stdout=subprocess.PIPE, text=True).stdout.split():
            os.kill(int(line), signal.SIGKILL)

    def why(self, *words, timeout=60):
        mendsite.wait_for(' '.join(words), lambda: all(word in self.mend('why', 'host/' + VICTIM, check=False).stdout for word in words), timeout, 0.2)
        return self.mend('why', 'host/' + VICTIM).stdout


def start(site, switch):
    os.mkdir(site.path('shared'))
    os.mkdir(site.path('secrets'), 0o700)
    os.chmod(site.write('secrets/bmc', switch.password + '\n'), 0o600)
    fencing = site.write('fencing.yaml', '''fencing: 1
devices: [{name: bmc, agent: fence_ipmilan, parameters: {ip: 127.0.0.1, ipport: %d, username: mend, lanplus: 1, cipher: 3}, password_file: secrets/bmc}]
hosts: [{id: %s, name: victim, levels: [bmc]}]
''' % (switch.port, VICTIM))
    os.chmod(fencing, 0o600)
    site.broker()
    site.policy('--policy', site.write('policy.yaml', POLICY))
    site.host('idle', IDLE, '--fencing', '/nonexistent')
    site.host('proxy', PROXY, '--fencing', fencing)
    site.host('victim', VICTIM)


def main():
    why = bmc.missing()
    if why:
        print('skipped: ' + why)
        return 77
    with bmc.Bmc() as switch, Fenced() as site:
        start(site, switch)
        site.agent_dies()
        time.sleep(25)  # several times what it takes to judge a host
        assert 'judged off' not in site.mend('why', 'host/' + VICTIM).stdout and switch.calls == [], 'a host was shot because its agent had died'

        site.host_dies()
        began = time.monotonic()
        story = site.why('judged off')
        assert switch.calls == ['off'] and not switch.power, switch.calls
        assert 'fencing, off: victim is off' in site.log('proxy') and 'fencing' not in site.log('idle').replace('fencing.yaml', ''), site.log('idle')
        print('off %.1f s after it fell silent\n%s' % (time.monotonic() - began, story))

        switch.power = True
        site.host('victim', VICTIM)
        site.why('judged alive')
        switch.kill()
        site.agent_dies()
        site.host_dies()
        site.why('needs-human', timeout=200)
        assert switch.calls == ['off']
        site.mend('operate', 'confirm-off', 'host/' + VICTIM, '--who', 'ada', '--comment', 'I pulled its plugs')
        print(site.why('ada asks: confirm-off: I pulled its plugs'))
        mendsite.wait_for('off', lambda: site.mend('why', 'host/' + VICTIM).stdout.count('judged off') == 2, 20)
    return 0


if __name__ == '__main__':
    sys.exit(main())
