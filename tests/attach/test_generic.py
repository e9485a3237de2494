#!/usr/bin/python3
"""`mend attach --dialect generic` beside a broker that knows nothing of Mend: Mend's own without its plugin, with plain queues and topics."""
import os
import signal
import subprocess

import attachsite
import mendsite

WAIT = 60
ID = attachsite.ID % 1
WEB = 'service/%s/web' % ID


def main():
    with mendsite.Site() as broker:
        broker.broker('--no-plugin', '--lab')
        with attachsite.Site('amqp://127.0.0.1:%d?dialect=generic' % broker.port, 'unused') as site:
            # in a laboratory everybody is whom he says; the dialect has no way to make nodes, the broker makes queues at the first attach
            site.start('attach', os.path.join(mendsite.BIN, 'mend'), 'attach', '--broker', site.url, '--data', site.path('attach'), '--log', 'debug')
            mendsite.wait_for('mend attach', lambda: 'dialect generic' in site.log('attach'), WAIT)
            site.start('policy', os.path.join(mendsite.BIN, 'mend'), 'policy', 'run', '--data', site.path('policy'), '--broker', site.url)
            site.start('guest1', os.path.join(mendsite.BIN, 'mend-guest'), '--broker', site.url, '--anonymous', '--id', ID, '--data', site.path('guest1'), '--log', 'debug',
                       '--service=process:web=/bin/sleep 1000')
            site.anonymous = True
            mendsite.wait_for('the agent', lambda: site.states().get(ID) == 'up', WAIT)
            mendsite.wait_for('an engine that acts', lambda: 'acts, epoch' in site.log('policy'), WAIT)
            mendsite.wait_for('its service', lambda: site.states().get(WEB) == 'running', WAIT)
            found = subprocess.run(['pgrep', '-P', str(site.running['guest1'].pid), '-x', 'sleep'], capture_output=True, text=True, check=True)
            os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
            mendsite.wait_for('the restart', lambda: 'restart: 0 started' in site.log('guest1'), WAIT)
            mendsite.wait_for('the end of the incident', lambda: 'healed' in site.mend('why', WEB).stdout, WAIT)
            assert site.log('guest1').count('restart: 0 started') == 1


if __name__ == '__main__':
    main()
