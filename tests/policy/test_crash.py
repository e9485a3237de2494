#!/usr/bin/python3
"""kill -9 of the policy process between any two of {event taken, decision journaled, command sent, result taken, result journaled}: after
its restart the service is healed, and no command ran twice."""
import random
import sys
import time
import unittest

from engine_site import EngineSite, wait_for
from world import VM

ENTITY = 'service/%s/nginx' % VM
POINTS = ['event-taken', 'journaled', 'command-sent', 'result-taken', 'result-journaled']


def healed(site, entity):
    story = site.ask('why', entity)
    return story and [i for i in story['incidents'] if i['state'] == 'healed'] and story


class Crash(unittest.TestCase):
    def crash_at(self, point):
        with EngineSite() as site:
            site.start(crash_at=point)
            site.world.publish(ENTITY, 'failed')
            self.assertEqual(site.engine.wait(15), -9, 'it did not reach ' + point)
            site.start()
            story = wait_for('the healing', lambda: healed(site, ENTITY))
            self.assertEqual(len(site.world.runs), 1, 'each failure needs one restart, and got %s' % site.world.runs)
            self.assertEqual(len({identity for identity, _ in site.world.received}), 1, 'repeated under another id')
            self.assertEqual(len(story['incidents']), 1)
            whats = [line['what'] for line in story['incidents'][0]['lines']]
            for what in ('event', 'rule', 'command', 'result', 'verified'):
                self.assertIn(what, whats)
            self.assertNotIn('would have decided otherwise', site.log())

    def test_no_command_before_its_commit(self):
        """The commit that would make the command durable fails, as on a full disk: the command must never be seen. Then the disk is well
        again, and the event, which nobody accepted, is healed by one command."""
        with EngineSite() as site:
            site.start(fail_at='commit')
            site.world.publish(ENTITY, 'failed')
            self.assertEqual(site.engine.wait(15), 1)
            self.assertIn('nothing is done any more', site.log())
            time.sleep(0.3)                                   # what had left would be here by now
            self.assertEqual(site.world.received, [], 'a command left, and no journal knows of it')
            site.start()
            wait_for('the healing', lambda: healed(site, ENTITY))
            self.assertEqual(len(site.world.runs), 1)

    def test_killed_between_decision_and_commit(self):
        with EngineSite() as site:
            site.start(crash_at='decided')
            site.world.publish(ENTITY, 'failed')
            self.assertEqual(site.engine.wait(15), -9)
            time.sleep(0.3)
            self.assertEqual(site.world.received, [])
            site.start()
            wait_for('the healing', lambda: healed(site, ENTITY))
            self.assertEqual(len(site.world.runs), 1)

    def test_at_random_moments(self):
        """Eight services fail again and again while the engine is killed again and again."""
        seed = random.randrange(1 << 30)
        dice = random.Random(seed)
        services = ['service/%s/s%d' % (VM, n) for n in range(8)]
        print('seed', seed)
        with EngineSite(policy='mend: 1\nstartup_guard: 0\nflapping: off\ndefaults: {attempts: 100, backoff: {first: 10ms, max: 50ms}, '
                               'healed_when: {for: 0}, timeout: 2s}\n') as site:
            site.start()
            for _ in range(12):
                for service in dice.sample(services, 3):
                    if site.world.states.get(service, ('running',))[0] == 'running':
                        site.world.publish(service, 'failed')
                time.sleep(dice.random() * 0.05)
                site.kill()
                site.start()
            for service in services:
                wait_for(service, lambda: site.world.states.get(service, ('running',))[0] == 'running')
            wait_for('an end of all incidents', lambda: site.ask('incidents') == [])
            self.assertEqual(len(site.world.runs), len(set(site.world.runs)))
            self.assertNotIn('would have decided otherwise', site.log())


for name in POINTS:
    setattr(Crash, 'test_' + name.replace('-', '_'), lambda self, point=name: self.crash_at(point))

if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1], verbosity=2)
