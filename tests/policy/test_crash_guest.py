#!/usr/bin/python3
"""The crash tests once more with nothing invented: broker with plugin, mend-guest, a process it watches, the policy engine with a journal;
all authenticated. The policy process is killed at each point; the service is running again, restarted once."""
import json
import os
import signal
import sys
import unittest

import mendsite
from mendsite import wait_for

POINTS = ['event-taken', 'journaled', 'command-sent', 'result-taken', 'result-journaled']


class CrashWithGuest(unittest.TestCase):
    def entity(self, site):
        found = [(path, values) for path, values in site.entities().items() if path.startswith('service/') and path.endswith('/web')]
        return found[0] if found else (None, {})

    def running(self, site):
        path, values = self.entity(site)
        return path if values.get('state') == 'running' and values['data'].get('pid') else None

    def engine_acts(self, site):
        return site.json('status').get('engine', {}).get('acting')

    def story(self, site, path, state):
        done = site.mend('why', path, '--json', check=False)
        story = json.loads(done.stdout) if done.returncode == 0 else {'incidents': []}
        return story if [i for i in story['incidents'] if i['state'] == state] else None

    def crash_at(self, point):
        with mendsite.Site() as site:
            site.write('policy.yaml', 'mend: 1\nstartup_guard: 0\ndefaults: {healed_when: {for: 200ms}}\n')
            site.broker()
            site.start('guest', os.path.join(mendsite.BIN, 'mend-guest'), '--site', site.data, '--broker', 'amqp://127.0.0.1:%d' % site.port,
                       '--data', site.path('guest-data'), '--service', 'process:web=/bin/sleep 1000', '--stop-at-exit')
            path = wait_for('the service', lambda: self.running(site), 20)
            pid = self.entity(site)[1]['data']['pid']
            os.environ['MEND_CRASH_AT'] = point
            try:
                engine = site.policy('--policy', site.path('policy.yaml'))
            finally:
                del os.environ['MEND_CRASH_AT']
            wait_for('the engine', lambda: self.engine_acts(site), 20)
            os.kill(pid, signal.SIGKILL)
            self.assertEqual(engine.wait(20), -9, 'it did not reach ' + point)
            site.running.pop('policy')
            site.policy('--policy', site.path('policy.yaml'))
            story = wait_for('the healing', lambda: self.story(site, path, 'healed'), 30)
            self.assertEqual([i['attempts'] for i in story['incidents']], [1])
            now = self.entity(site)[1]
            self.assertEqual(now['state'], 'running')
            self.assertNotEqual(now['data']['pid'], pid)
            os.kill(now['data']['pid'], 0)                   # it lives
            restarts = [i for i in story['incidents'][0]['lines'] if i['what'] == 'indication' and ': running' in i['text']]
            self.assertLessEqual(len(restarts), 1, restarts)


for name in POINTS:
    setattr(CrashWithGuest, 'test_' + name.replace('-', '_'), lambda self, point=name: self.crash_at(point))

if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1], verbosity=2)
