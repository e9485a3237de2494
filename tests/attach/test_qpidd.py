#!/usr/bin/python3
"""Mend on a real qpidd, where one is: on the PATH, or named by QPIDD (its AMQP 1.0 module amqp.so beside it, or named by QPIDD_AMQP).

qpidd runs without authentication here, so `mend attach --lab` believes everybody; events of connections are real."""
import os
import shutil
import signal
import subprocess
import sys

import attachsite
import mendsite

WAIT = 60
ID = attachsite.ID % 1
WEB = 'service/%s/web' % ID


def find():
    """qpidd and the arguments that load its AMQP 1.0 module (none: it does so by itself), or a skip that says what is missing."""
    program = os.environ.get('QPIDD') or shutil.which('qpidd')
    if program is None:
        print('skipped: no qpidd on the PATH, and QPIDD names none')
        sys.exit(77)
    places = [os.environ.get('QPIDD_AMQP'), os.path.join(os.path.dirname(program), 'amqp.so'), '/usr/lib/qpid/daemon/amqp.so',
              '/usr/local/lib/qpid/daemon/amqp.so', '/usr/lib64/qpid/daemon/amqp.so']
    module = next((place for place in places if place and os.path.exists(place)), None)
    told = subprocess.run([program, '--help'], capture_output=True, text=True, check=False)
    if 'AMQP 1.0' in told.stdout:
        return program, []
    if module is None:
        print('skipped: %s has no AMQP 1.0 module (amqp.so; QPIDD_AMQP names it)' % program)
        sys.exit(77)
    return program, ['--no-module-dir', '--load-module', module]


def start(site, program, loads, port, *options):
    environment = dict(os.environ, LD_LIBRARY_PATH=os.path.dirname(program) + ':' + os.environ.get('LD_LIBRARY_PATH', ''))
    with open(site.path('qpidd.log'), 'ab') as log:
        site.running['qpidd'] = subprocess.Popen(
            [program, '--config', site.write('qpidd.conf', '\n'), *loads, '--auth', 'no', '--port', str(port),
             '--interface', '127.0.0.1', '--no-data-dir', '--log-to-stderr', 'yes', *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    return site.running['qpidd']


def web_pid(site):
    found = subprocess.run(['pgrep', '-P', str(site.running['guest1'].pid), '-x', 'sleep'], capture_output=True, text=True, check=False)
    return int(found.stdout.split()[0]) if found.stdout.split() else None


def main():
    program, loads = find()
    port = attachsite.free_port()
    with attachsite.Site('amqp://127.0.0.1:%d' % port, 'unused') as site:
        site.anonymous = True
        start(site, program, loads, port)
        site.start('attach', os.path.join(mendsite.BIN, 'mend'), 'attach', '--lab', '--broker', site.url, '--data', site.path('attach'), '--log', 'debug')
        mendsite.wait_for('mend attach', lambda: 'dialect qpidd' in site.log('attach'), WAIT)
        site.start('policy', os.path.join(mendsite.BIN, 'mend'), 'policy', 'run', '--data', site.path('policy'), '--broker', site.url)
        site.start('guest1', os.path.join(mendsite.BIN, 'mend-guest'), '--broker', site.url, '--anonymous', '--id', ID, '--data', site.path('guest1'),
                   '--log', 'debug', '--service=process:web=/bin/sleep 1000')
        mendsite.wait_for('the agent', lambda: site.states().get(ID) == 'up', WAIT)
        mendsite.wait_for('an engine that acts', lambda: 'acts, epoch' in site.log('policy'), WAIT)
        mendsite.wait_for('its service', lambda: site.states().get(WEB) == 'running', WAIT)
        os.kill(web_pid(site), signal.SIGKILL)
        mendsite.wait_for('the end of the incident', lambda: 'healed' in site.mend('why', WEB).stdout, WAIT)
        site.stop('qpidd', signal.SIGKILL) # and with it all that was not durable, here everything
        os.kill(web_pid(site), signal.SIGKILL)
        start(site, program, loads, port)
        mendsite.wait_for('the second restart', lambda: site.log('guest1').count('restart: 0 started') == 2, WAIT)
        mendsite.wait_for('the service', lambda: site.states().get(WEB) == 'running', WAIT)
        assert site.log('guest1').count('restart: 0 started') == 2, site.log('guest1')
        assert '-> lost' not in site.log('attach'), site.log('attach')


if __name__ == '__main__':
    main()
