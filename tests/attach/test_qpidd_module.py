#!/usr/bin/python3
"""Mend's plugin inside a real qpidd, by the module mend.so: one process, an agent found, a command that goes through, a quick end."""
import os
import signal
import sys
import time

import attachsite
import mendsite
import test_qpidd

MODULE = os.path.join(os.path.dirname(mendsite.BIN), 'lib', 'mend', 'qpidd', 'mend.so')
WAIT = 60


def start(site, *options):
    program, loads = test_qpidd.find()
    return test_qpidd.start(site, program, [*loads, '--load-module', MODULE], int(site.url.rpartition(':')[2]), *options)


def end(site, process):
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    status = process.wait(WAIT)
    del site.running['qpidd']
    assert status in (0, -signal.SIGTERM), (status, site.log('qpidd'))
    assert time.monotonic() - began < 30, 'qpidd waited for Mend at its end'


def healed(site, guest):
    os.kill(test_qpidd.web_pid(site), signal.SIGKILL)
    mendsite.wait_for('restart %d' % guest, lambda: site.log('guest1').count('restart: 0 started') == guest, WAIT)
    mendsite.wait_for('the service', lambda: site.states().get(test_qpidd.WEB) == 'running', WAIT)


def main():
    test_qpidd.find()
    if not os.path.exists(MODULE):
        print('skipped: the module is not built (no headers of qpidd, or a build with sanitizers)')
        sys.exit(77)
    with attachsite.Site('amqp://127.0.0.1:%d' % attachsite.free_port(), 'unused') as site:
        site.anonymous = True
        process = start(site)
        mendsite.wait_for('its word', lambda: 'no --mend-data' in site.log('qpidd') and 'Broker (pid=' in site.log('qpidd'), WAIT)
        end(site, process)
        process = start(site, '--mend-data', site.path('inside'), '--mend-lab', '--mend-plugin-config', '{"late": "soon"}')
        mendsite.wait_for('its refusal', lambda: "Mend's plugin does not run" in site.log('qpidd'), WAIT)
        assert process.poll() is None, 'a wrong setting of ours ended the broker: ' + site.log('qpidd')
        end(site, process)
        inside = ('--mend-data', site.path('inside'), '--mend-lab')
        process = start(site, *inside)
        mendsite.wait_for('the plugin', lambda: "Mend's plugin runs in here" in site.log('qpidd'), WAIT)
        site.start('policy', os.path.join(mendsite.BIN, 'mend'), 'policy', 'run', '--data', site.path('policy'), '--broker', site.url)
        site.start('guest1', os.path.join(mendsite.BIN, 'mend-guest'), '--broker', site.url, '--anonymous', '--id', test_qpidd.ID, '--data', site.path('guest1'),
                   '--log', 'debug', '--service=process:web=/bin/sleep 1000')
        mendsite.wait_for('the agent', lambda: site.states().get(test_qpidd.ID) == 'up', WAIT)
        mendsite.wait_for('an engine that acts', lambda: 'acts, epoch' in site.log('policy'), WAIT)
        mendsite.wait_for('its service', lambda: site.states().get(test_qpidd.WEB) == 'running', WAIT)
        healed(site, 1)
        end(site, process)
        process = start(site, *inside)  # it knows its agents from before
        mendsite.wait_for('the agent again', lambda: site.states().get(test_qpidd.ID) == 'up', WAIT)
        healed(site, 2)
        end(site, process)


if __name__ == '__main__':
    main()
