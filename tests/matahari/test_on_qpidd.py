#!/usr/bin/python3
"""The real qpidd, with AMQP 0-10 and 1.0, Mend beside it by `mend attach`, and Matahari's agents on it.

Skipped where no qpidd with AMQP 1.0 is on the PATH. Agents: the stand-in on 1.0 always; Matahari's own matahari-qmf-serviced, on 0-10 and
on 1.0, where that is on the PATH, too.
"""
import os
import shutil
import subprocess
import sys
import time
import unittest

FOLDER = os.path.dirname(os.path.abspath(__file__))
for folder in ('../lib', '../attach', '.'):
    sys.path.insert(0, os.path.join(FOLDER, folder))
import attachsite  # noqa: E402
import mendsite  # noqa: E402
from mendsite import BIN, wait_for  # noqa: E402
from test_matahari import POLICY, StandIn  # noqa: E402

DUMMY = '/usr/lib/ocf/resource.d/heartbeat/Dummy'
PLUGIN = '{"watch_interval_s": 0.5}'


class Qpidd(attachsite.Site):
    """qpidd without users: everybody is believed, as in a laboratory."""

    def __init__(self):
        self.port = attachsite.free_port()
        super().__init__('amqp://127.0.0.1:%d' % self.port, 'none')
        self.port, self.anonymous = int(self.url.rpartition(':')[2]), True

    def broker(self):
        process = self.start('qpidd', 'qpidd', '--auth', 'no', '--no-data-dir', '--interface', '127.0.0.1', '--port', str(self.port))
        wait_for('qpidd', lambda: 'Listening on TCP' in self.log('qpidd') or process.poll() is not None, 30)
        assert process.poll() is None, self.log('qpidd')

    def attach(self, *options):
        process = self.start('attach', os.path.join(BIN, 'mend'), 'attach', '--broker', self.url, '--lab', '--data', self.path('attach'),
                             '--plugin-config', PLUGIN, '--log', 'debug', *options)
        wait_for('mend attach', lambda: 'attached to' in self.log('attach') or process.poll() is not None, 60)
        assert process.poll() is None, self.log('attach')

    def policy(self, text):
        return self.start('policy', os.path.join(BIN, 'mend'), 'policy', 'run', '--data', self.path('policy'), '--broker', self.url,
                          '--policy', self.write('policy.yaml', text))


class OnQpidd(unittest.TestCase):
    def setUp(self):
        self.mend = Qpidd()
        self.addCleanup(lambda: self.mend.__exit__(AssertionError if mendsite.failed(self) else None, None, None))
        self.mend.broker()

    def state(self, name):
        found = [each for path, each in self.mend.entities().items() if path.startswith('service/') and path.endswith('/' + name)]
        return found[0]['state'] if found else None

    def await_state(self, name, state):
        wait_for('%s %s' % (name, state), lambda: self.state(name) == state, 60, 0.2)

    def record(self, part, state='up'):
        return next((each for name, each in self.mend.agents().items() if part in name and each['state'] == state), None)

    def check_stand_in(self, agent):
        self.assertIsNone(agent.process.poll(), self.mend.log(agent.name))
        for event in ('deaf', 'died', 'undecodable'):
            self.assertEqual(agent.events(event), [])

    def test_stand_in_on_1_0_is_monitored_and_healed(self):
        self.mend.attach()
        self.mend.policy(POLICY)
        service = StandIn(self.mend, 'service', protocol='1.0')
        for name in ('mhdemo.init', 'mhdemo.running', 'vip.started'):
            service.touch(name)
        wait_for('the record', lambda: self.record(service.agent), 60)
        self.await_state('mhdemo', 'running')
        self.await_state('vip', 'running')
        for name in ('mhdemo.running', 'vip.started'):
            service.remove(name)
            wait_for('the restart by ' + name, lambda: os.path.exists(os.path.join(service.state, name)), 60)
        self.check_stand_in(service)

    def test_agents_that_were_there_first_are_discovered(self):
        service = StandIn(self.mend, 'service', speed=0.01, protocol='1.0')
        time.sleep(1)
        self.mend.attach()
        wait_for('the record', lambda: self.record(service.agent), 45)
        self.check_stand_in(service)

    def real(self, protocol):
        if shutil.which('matahari-qmf-serviced') is None or not os.path.exists(DUMMY):
            self.skipTest('no matahari-qmf-serviced on the PATH, or no OCF agents')
        self.mend.attach()
        os.environ['QPID_PROTOCOL_DEFAULTS'] = protocol
        self.addCleanup(os.environ.pop, 'QPID_PROTOCOL_DEFAULTS')
        process = self.mend.start('serviced', 'matahari-qmf-serviced', '-b', '127.0.0.1', '-p', str(self.mend.port))
        record = wait_for('the record', lambda: self.record(':service:'), 90)
        name = 'mend-test-%d' % os.getpid()
        self.mend.policy(POLICY.replace('old-service', record['hostname']).replace('vip', name).replace('mhdemo', 'no-such-service-%d' % os.getpid()))
        state = '/run/resource-agents/Dummy-%s.state' % name
        self.addCleanup(lambda: os.path.exists(state) and os.unlink(state))
        wait_for('the start', lambda: os.path.exists(state), 90)   # it was not running: that is a failure, and healed
        self.await_state(name, 'running')
        os.unlink(state)
        wait_for('the restart', lambda: os.path.exists(state), 90)
        self.await_state(name, 'running')
        wait_for('its story', lambda: self.mend.mend('why', name).stdout.count('service.restart, attempt') >= 2, 30, 0.5)
        self.assertIsNone(process.poll(), self.mend.log('serviced'))
        self.assertEqual(self.mend.json('call', record['name'], 'Resources', 'list_standards')['standards'][0], 'ocf')

    def test_mataharis_own_agent_on_0_10(self):
        self.real('amqp0-10')

    def test_mataharis_own_agent_on_1_0(self):
        self.real('amqp1.0')

    def dies(self, protocol):
        """Killed, all of them without a user: known at once, though its silence would tell after three minutes only."""
        if shutil.which('matahari-qmf-serviced') is None:
            self.skipTest('no matahari-qmf-serviced on the PATH')
        os.environ['QPID_PROTOCOL_DEFAULTS'] = protocol
        self.addCleanup(os.environ.pop, 'QPID_PROTOCOL_DEFAULTS')
        serviced = ('matahari-qmf-serviced', '-b', '127.0.0.1', '-p', str(self.mend.port))
        early = self.mend.start('early', *serviced)         # here before mend attach is
        time.sleep(3)
        self.assertIsNone(early.poll(), self.mend.log('early'))
        self.mend.attach()
        first = wait_for('the first record', lambda: self.record(':service:'), 90)['name']
        time.sleep(4)                                       # its name has been asked for by now
        late = self.mend.start('late', *serviced)
        wait_for('both records', lambda: len([name for name in self.mend.agents() if ':service:' in name]) == 2, 90)
        second = next(name for name in self.mend.agents() if ':service:' in name and name != first)
        time.sleep(6)
        for process, name in ((early, first), (late, second)):
            process.kill()
            wait_for('the end of ' + name, lambda: self.mend.agents()[name]['state'] == 'closed', 20)
            if process is early:
                self.assertEqual(self.mend.agents()[second]['state'], 'up')
        again = self.mend.start('again', *serviced)
        wait_for('a third record', lambda: self.record(':service:'), 60)
        self.assertIsNone(again.poll())

    def test_the_end_of_one_on_0_10_is_known_at_once(self):
        self.dies('amqp0-10')

    def test_the_end_of_one_on_1_0_is_known_at_once(self):
        self.dies('amqp1.0')

    def others(self, protocol):
        """hostd, networkd and sysconfigd: here, called, and gone at once when they are killed."""
        calls = {'host': ('Host', 'get_uuid', 'lifetime=Agent'), 'network': ('Network', 'get_ip_address', 'iface=lo'),
                 'sysconfig': ('Sysconfig', 'is_configured', 'key=mend-test')}
        here = {kind: program for kind, program in ((kind, shutil.which('matahari-qmf-%sd' % kind)) for kind in calls) if program}
        if not here:
            self.skipTest('no matahari-qmf-hostd, -networkd or -sysconfigd on the PATH')
        os.environ['QPID_PROTOCOL_DEFAULTS'] = protocol
        self.addCleanup(os.environ.pop, 'QPID_PROTOCOL_DEFAULTS')
        self.mend.attach()
        processes = {kind: self.mend.start(kind, program, '-b', '127.0.0.1', '-p', str(self.mend.port)) for kind, program in here.items()}
        records = {kind: wait_for(kind, lambda kind=kind: self.record(':%s:' % kind) or self.record(':%s:' % kind.capitalize()), 90) for kind in here}
        answers = {kind: self.mend.json('call', records[kind]['name'], *calls[kind]) for kind in here}
        self.assertEqual(answers.get('network', {'ip': '127.0.0.1'}), {'ip': '127.0.0.1'})
        self.assertEqual(answers.get('sysconfig', {'status': 'unknown'}), {'status': 'unknown'})
        self.assertIn('uuid', answers.get('host', {'uuid': ''}))
        self.assertEqual(len({record['vm'] for record in records.values()}), 1, 'agents of one machine on several: %s' % records)
        time.sleep(6)
        for kind, process in processes.items():
            self.assertIsNone(process.poll(), self.mend.log(kind))
            process.kill()
            wait_for('the end of ' + kind, lambda kind=kind: self.mend.agents()[records[kind]['name']]['state'] == 'closed', 20)

    def test_the_other_agents_on_0_10(self):
        self.others('amqp0-10')

    def test_the_other_agents_on_1_0(self):
        self.others('amqp1.0')

    def rpc(self, protocol):
        """rpcd, whose objects have made-up names, and which ends when an argument is left out."""
        plugins = '/usr/lib/matahari/plugins'
        if shutil.which('matahari-qmf-rpcd') is None or not os.access(plugins, os.W_OK):
            self.skipTest('no matahari-qmf-rpcd on the PATH, or no %s to put a plug-in into' % plugins)
        name = 'mend_test_%d' % os.getpid()
        plugin = os.path.join(plugins, name + '.py')
        self.addCleanup(lambda: [os.unlink(each) for each in (plugin, plugin + 'c') if os.path.exists(each)])
        with open(plugin, 'w') as out:
            out.write('def add(*args, **more):\n    return sum(args) + more.get("more", 0)\n')
        os.environ['QPID_PROTOCOL_DEFAULTS'] = protocol
        self.addCleanup(os.environ.pop, 'QPID_PROTOCOL_DEFAULTS')
        self.mend.attach()
        rpcd = self.mend.start('rpcd', 'matahari-qmf-rpcd', '-b', '127.0.0.1', '-p', str(self.mend.port))
        agent = wait_for('its record', lambda: self.record(':rpc:'), 90)['name']
        wait_for('its plug-in', lambda: self.mend.mend('call', agent, name, 'add', check=False).returncode == 0, 60, 1)  # loaded after it is here
        self.assertEqual(self.mend.json('call', agent, name, 'add', 'args=["1", "2"]', 'kwargs={"more": "39"}')['result'], '42')
        self.assertEqual(self.mend.json('call', agent, name, 'add')['result'], '0')
        refused = self.mend.mend('call', agent, name, 'add', 'args=["null"]', check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn('TypeError', refused.stderr)
        self.assertIn('its classes are', self.mend.mend('call', agent, 'none', 'add', check=False).stderr)
        self.assertIsNone(rpcd.poll(), self.mend.log('rpcd'))

    def test_the_rpc_agent_on_0_10(self):
        self.rpc('amqp0-10')

    def test_the_rpc_agent_on_1_0(self):
        self.rpc('amqp1.0')

    def guest(self):
        self.mend.attach()
        self.mend.start('guest', os.path.join(BIN, 'mend-guest'), '--broker', self.mend.url, '--anonymous', '--data', self.mend.path('guest'),
                        '--id', attachsite.ID % 1)
        wait_for('the guest', lambda: self.record('mend-guest'), 60)

    def test_consoles_on_libqmf2_see_mends_agents(self):
        console = os.path.join(os.path.dirname(BIN), 'tests', 'qmf2-console')
        if not os.path.exists(console):
            self.skipTest('no libqmf2 to build a console with, or a build with sanitizers')
        self.guest()
        for protocol in ('amqp0-10', 'amqp1.0'):
            said = subprocess.run([console, '127.0.0.1:%d' % self.mend.port, '6', "{protocol: '%s'}" % protocol], capture_output=True, text=True, timeout=60)
            self.assertEqual(said.returncode, 0, said.stderr)
            for line in ('agent matahariproject.org:mend-guest:', 'object matahariproject.org:mend-guest:', 'answer matahariproject.org:mend-guest:',
                         'agent matahariproject.org:mend-broker:'):
                self.assertIn(line, said.stdout, protocol + said.stderr)

    def test_mataharis_shell_sees_mends_agents(self):
        """It is of Python's QMF console, which asks for classes in the binary form of QMFv1."""
        if shutil.which('mhsh') is None:
            self.skipTest('no mhsh on the PATH')
        self.guest()
        with open(self.mend.path('mhsh'), 'w') as out:
            shell = subprocess.Popen(['mhsh', '-b', '127.0.0.1', '-p', str(self.mend.port)], stdin=subprocess.PIPE, stderr=subprocess.STDOUT, stdout=out, text=True)
        self.addCleanup(lambda: (shell.kill(), shell.wait(), shell.stdin.close()))

        def said(line, part):
            shell.stdin.write(line + '\n')
            shell.stdin.flush()
            with open(self.mend.path('mhsh')) as text:
                return part in text.read()
        wait_for('our agent in its list', lambda: said('list agents', 'mend-guest:' + attachsite.ID % 1), 60, 1)

    def test_consoles_of_that_age_see_mends_agents(self):
        self.guest()
        said = subprocess.run(['/usr/bin/python3', os.path.join(FOLDER, 'console.py'), '--port', str(self.mend.port), '--for', '3', '--protocol', '1.0'],
                              capture_output=True, text=True, timeout=60)
        self.assertIn('mend-guest', said.stdout, said.stderr)


class QpiddWithUsers(Qpidd):
    """qpidd that knows users: Mend's, and one that all of Matahari's agents share."""

    def __init__(self):
        super().__init__()
        self.url, self.anonymous = self.url + '?sasl=PLAIN', False

    def broker(self):
        for user in ('mend', 'operator', 'matahari'):
            subprocess.run(['saslpasswd2', '-c', '-p', '-f', self.path('sasldb'), '-u', 'QPID', user], input=self.secret, text=True, check=True)
        os.makedirs(self.path('sasl'))
        self.write('sasl/qpidd.conf', 'pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: %s\nmech_list: PLAIN\n' % self.path('sasldb'))
        process = self.start('qpidd', 'qpidd', '--auth', 'yes', '--sasl-config', self.path('sasl'), '--no-data-dir', '--interface', '127.0.0.1', '--port', str(self.port))
        wait_for('qpidd', lambda: 'Listening on TCP' in self.log('qpidd') or process.poll() is not None, 30)
        assert process.poll() is None, self.log('qpidd')

    def attach(self, *options):
        super().attach('--user', 'mend', '--password-file', self.path('password'), *options)


class WithUsers(unittest.TestCase):
    def test_the_end_of_one_that_shares_its_user_is_known_at_once(self):
        if shutil.which('saslpasswd2') is None or shutil.which('matahari-qmf-serviced') is None:
            self.skipTest('no saslpasswd2 or no matahari-qmf-serviced on the PATH')
        mend = QpiddWithUsers()
        self.addCleanup(lambda: mend.__exit__(AssertionError if mendsite.failed(self) else None, None, None))
        mend.broker()
        mend.attach()
        serviced = ('matahari-qmf-serviced', '-b', '127.0.0.1', '-p', str(mend.port), '-u', 'matahari', '-P', mend.secret)
        agents, names = [], []
        for number in range(2):
            agents.append(mend.start('agent%d' % number, *serviced))
            wait_for('its record', lambda: len([name for name in mend.agents() if ':service:' in name]) > len(names), 90)
            names.append(next(name for name in mend.agents() if ':service:' in name and name not in names))
        agents[0].kill()
        wait_for('its end', lambda: mend.agents()[names[0]]['state'] == 'closed', 20)
        self.assertEqual(mend.agents()[names[1]]['state'], 'up')


def qpidd_is_here():
    if shutil.which('qpidd') is None:
        return False
    told = subprocess.run(['qpidd', '--help'], capture_output=True, text=True)
    return told.returncode == 0 and 'AMQP 1.0' in told.stdout  # its module is loaded


if __name__ == '__main__':
    if not qpidd_is_here():
        print('skipped: no qpidd with AMQP 1.0 on the PATH')
        sys.exit(77)
    unittest.main()
