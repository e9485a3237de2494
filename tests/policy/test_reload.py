#!/usr/bin/python3
"""The policy of a running engine: loaded whole or not at all, listed, gone back to, also after a kill; what it was doing goes on."""
import json
import subprocess
import unittest

from engine_site import MEND, POLICY, EngineSite, wait_for
from world import VM

NGINX = 'service/%s/nginx' % VM
PATIENT = POLICY + 'hold_max: 5m\n'
OTHER = POLICY + 'hold_max: 7m\n'


def mend(site, *words):
    done = subprocess.run([MEND, 'policy', *words, '--broker', site.url, '--engine', 'main'], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=20)
    return done.returncode, done.stdout, done.stderr


def versions(site):
    code, out, error = mend(site, 'versions', '--json')
    assert code == 0, error
    return [(v['number'], v['from'], v['in_force']) for v in json.loads(out)]


def write(site, name, text):
    path = '%s/%s' % (site.folder.name, name)
    with open(path, 'w') as out:
        out.write(text)
    return path


class Reload(unittest.TestCase):
    def test_load_list_and_go_back(self):
        with EngineSite() as site:
            site.start()
            self.assertEqual(versions(site), [(1, 'start', False), (2, 'file', True)])
            code, out, error = mend(site, 'load', write(site, 'patient.yaml', PATIENT))
            self.assertEqual((code, error), (0, ''))
            self.assertIn('is in force', out)
            self.assertEqual(versions(site)[-1], (3, 'load', True))
            self.assertEqual(mend(site, 'versions', '3')[1], PATIENT)
            code, out, error = mend(site, 'rollback')
            self.assertEqual((code, error), (0, ''))
            self.assertIn('version 2', out)
            self.assertEqual(versions(site)[-1], (4, 'rollback', True))
            self.assertEqual(mend(site, 'versions', '4')[1], POLICY)
            self.assertEqual(mend(site, 'rollback', '99')[0], 1)
            self.assertIn('no version 99: 1 to 4 are kept', mend(site, 'rollback', '99')[2])
            self.assertIn('version 2 is the one in force', mend(site, 'rollback', '2')[2])
            self.assertEqual(mend(site, 'rollback', 'two')[0], 2)

    def test_a_wrong_policy_is_refused_with_all_that_is_wrong(self):
        with EngineSite() as site:
            site.start()
            wrong = 'mend: 1\nhold_max: ten\nrules:\n  - {name: r, on: service.faild, ladder: [{do: service.restart}]}\n'
            code, out, error = mend(site, 'load', write(site, 'wrong.yaml', wrong))
            self.assertEqual((code, out), (1, ''))
            self.assertIn('wrong.yaml:2:11: hold_max: "ten" is no duration', error)
            self.assertIn('wrong.yaml:4:19: unknown event "service.faild", did you mean "service.failed"?', error)
            self.assertIn('the running policy stays', error)
            self.assertEqual(len(versions(site)), 2)
            # the engine itself refuses, too, whatever a client did not look at
            done = subprocess.run([MEND, 'call', 'mend-policy:main', 'Policy', 'load', 'name=w', 'policy=mend: 2', 'who=x', '--broker', site.url],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20)
            self.assertEqual(done.returncode, 1)
            self.assertIn('w:1:7: mend: this program reads policies of version 1', done.stderr)
            site.world.publish(NGINX, 'failed')
            wait_for('the restart', lambda: len(site.world.runs) == 1)

    def test_what_was_loaded_outlives_a_kill_until_the_file_changes(self):
        with EngineSite() as site:
            site.start()
            mend(site, 'load', write(site, 'patient.yaml', PATIENT))
            site.kill()
            site.start()
            self.assertEqual(versions(site)[-1], (3, 'load', True))
            self.assertEqual(mend(site, 'rollback')[0], 0)
            site.kill()
            site.start()
            self.assertEqual(versions(site)[-1], (4, 'rollback', True))
            site.kill()
            write(site, 'policy.yaml', OTHER)
            site.start()
            self.assertEqual(versions(site)[-1], (5, 'file', True))
            self.assertEqual(mend(site, 'versions', '5')[1], OTHER)
            self.assertEqual(mend(site, 'rollback', '3')[0], 0)
            self.assertEqual(mend(site, 'versions', '6')[1], PATIENT)

    def test_an_open_incident_goes_on_under_the_new_policy(self):
        with EngineSite(answer=lambda command: None, policy=POLICY.replace('timeout: 3s', 'timeout: 500ms')) as site:
            site.start()
            site.world.publish(NGINX, 'failed')
            wait_for('the first attempt', lambda: len(site.world.runs) >= 1)
            self.assertEqual(mend(site, 'load', write(site, 'patient.yaml', PATIENT.replace('timeout: 3s', 'timeout: 500ms')))[0], 0)
            wait_for('a human', lambda: [i['state'] for i in site.ask('incidents') or []] == ['needs-human'], 20)
            self.assertEqual(len(set(site.world.runs)), 3, 'attempts are counted over the change')


if __name__ == '__main__':
    unittest.main()
