#!/usr/bin/python3
"""The consoles and the conductor of Pacemaker Cloud find what they knew: a real broker, a real policy engine, VMs of a cloud that can fail, a console that
behaves as libqmf2's on the wire, and a conductor that takes hooks."""
import base64
import os
import queue
import sys
import threading
import time
import types
import unittest
import urllib.error
import urllib.request
import xml.etree.ElementTree
from http.server import BaseHTTPRequestHandler, HTTPServer

FOLDER = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.join(FOLDER, '..', '..', '..')
sys.path[:0] = [os.path.join(TOP, folder) for folder in ('bridges/deltacloud/tests', 'tests/lib', 'tests/matahari', 'tests/bridges')]
import cloud as stand_in  # noqa: E402
import mendsite  # noqa: E402
from console import Console  # noqa: E402
from mendsite import wait_for  # noqa: E402
from peer import Lost  # noqa: E402
from qmf import DIRECT, TOPIC  # noqa: E402
from sshserver import free_port  # noqa: E402
from wire import Text, U32  # noqa: E402

CLOUD, CPE = 'dddddddd-0000-4000-8000-00000000000d', 'cccccccc-0000-4000-8000-00000000000c'
DB, WEB = '22222222-0000-4000-8000-000000000002', '33333333-0000-4000-8000-000000000003'
BLOG = '''<deployable name="blog" uuid="blog" monitor="pcloud-cape-sshd">
  <assemblies>
    <assembly name="db" uuid="%s"><services><service name="mysqld" class="lsb" type="mysqld"/></services></assembly>
    <assembly name="web" uuid="%s" escalation_failures="2" escalation_period="300"><services/></assembly>
  </assemblies>
</deployable>
''' % (DB, WEB)
POLICY = '''mend: 1 # the site's own
applications:
  - {name: shop, vms: [{name: cart, match: {name: cart}}]}
rules: [default] # and nothing else
'''


class Cpe(Console):
    """Their shell: finds the agent by its vendor, the object by its class, and calls with the name twice. Follows the events."""

    def __init__(self, site):
        super().__init__(types.SimpleNamespace(host='127.0.0.1', port=site.port, log='/dev/null', user='operator', password=site.password('operator'), protocol='1.0',
                                               call=None, seconds=0))
        self.fallen_back = True
        self.events, self.answers, self.asked, self.object, self.lock = [], {}, queue.Queue(), None, threading.Lock()
        self.ending = False
        self.links = []
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def follow(self):
        from peer import Link
        self.links = [Link(TOPIC, True, self.key), Link(DIRECT, False), Link(TOPIC, True, 'agent.#', None), Link(TOPIC, False)]
        self.connect()
        self.request(TOPIC, 'console.request.agent_locate', '_agent_locate_request', [Text('eq'), Text('_vendor'), [Text('quote'), Text('pacemakercloud.org')]],
                     'agent-locate')
        while not self.ending:
            try:
                self.step(0.05)
            except Lost:
                return
            while not self.asked.empty():
                node, subject, opcode, body, number = self.asked.get()
                self.request(node, subject, opcode, body, number)
        self.close()

    def end(self):
        self.ending = True
        self.thread.join(20)
        self.log.out.close()

    def on_agent(self, name, attributes):
        if attributes.get('_vendor') == 'pacemakercloud.org':
            with self.lock:
                self.agents[name] = attributes

    def on_message(self, link, message):
        opcode, agent = message.properties.get('qmf.opcode'), message.properties.get('qmf.agent')
        if opcode in ('_agent_heartbeat_indication', '_agent_locate_response'):
            self.on_agent(agent, message.body['_values'])
        elif opcode == '_data_indication' and message.properties.get('qmf.content') == '_event' and 'pacemakercloud' in agent:
            for each in message.body if isinstance(message.body, list) else [message.body]:
                with self.lock:
                    self.events.append((each['_schema_id']['_class_name'], dict(each['_values'])))
        elif message.correlation_id is not None:
            with self.lock:
                self.answers[str(message.correlation_id)] = (opcode, message.body)

    def ask(self, opcode, body, timeout=60):
        with self.lock:
            self.number += 1
            number = str(self.number)
            name, attributes = next(iter(self.agents.items()))
        node, subject = (TOPIC, attributes['_direct_subject']) if '_direct_subject' in attributes else (DIRECT, name)
        self.asked.put((node, subject, opcode, body(name), number))
        return wait_for('an answer', lambda: self.answers.get(number), timeout)

    def query(self, name):
        body = {'_what': 'OBJECT', '_schema_id': {'_package_name': 'org.pacemakercloud', '_class_name': name, '_type': '_data'}}
        return self.ask('_query_request', lambda _: body)

    def call(self, method, *given, target='cpe'):
        """rc, or the text of the exception."""
        arguments = dict(zip(('name', 'uuid', 'monitor'), given))
        opcode, body = self.ask('_method_request', lambda name: {'_method_name': method, '_arguments': arguments, '_object_id': {
            '_agent_name': name, '_object_name': target, '_agent_epoch': U32(1)}})
        return body['_arguments'] if opcode == '_method_response' else body['_values']['error_text']

    def said(self, kind, **values):
        with self.lock:
            return any(name == kind and all(each.get(key) == value for key, value in values.items()) for name, each in self.events)

    def forget(self):
        """What was heard so far is not what is waited for."""
        with self.lock:
            self.events.clear()

    def heard(self, kind, timeout=60, **values):
        try:
            wait_for('%s %s' % (kind, values), lambda: self.said(kind, **values), timeout)
        except AssertionError:
            print('\n'.join(map(repr, self.events)))
            raise


class Conductor(BaseHTTPRequestHandler):
    def answer(self, status, *headers):
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0)).decode()
        self.server.seen.append((self.command, self.path, self.headers.get('Authorization'), body))
        status = self.server.refuses.pop(0) if self.server.refuses else status
        self.send_response(status)
        for name, value in headers if status < 300 else ():
            self.send_header(name, value)
        self.send_header('Content-Length', '0')
        self.end_headers()

    def do_POST(self):
        self.answer(201, ('Location', 'http://127.0.0.1:%d/conductor/api/hooks/7' % self.server.server_port))

    def do_DELETE(self):
        self.answer(204)

    def log_message(self, *_):
        pass


class PacemakerCloud(unittest.TestCase):
    POLICY = POLICY

    def setUp(self):
        self.site = mendsite.Site()
        self.addCleanup(self.end)
        self.cloud = stand_in.Cloud('mock', 0.0)
        self.cloud.add(DB, 'db', state='STOPPED')
        self.cloud.add(WEB, 'web', state='STOPPED')
        server = stand_in.Server(self.cloud)
        self.addCleanup(server.close)
        self.site.broker()
        os.mkdir(self.site.path('credentials'), 0o700)
        self.enrol('host-' + CLOUD, '--host', CLOUD)
        for each in (CPE, DB, WEB):
            self.enrol('agent-' + each, each)
        password = self.site.write('password', stand_in.PASSWORD + '\n')
        os.chmod(password, 0o600)
        if self.POLICY:
            self.site.policy('--policy', self.site.write('policy.yaml', self.POLICY))
        else:
            self.site.policy()
        self.program('cloud', 'deltacloud', '--url', server.url, '--user', stand_in.USER, '--password-file', password, '--id', CLOUD, '--poll', '200ms',
                     '--stopped', 'crashed')
        wait_for('the VMs', lambda: {'vm/' + DB, 'vm/' + WEB} <= set(self.site.entities()), 60)
        os.mkdir(self.site.path('deployables'))
        self.deployable('blog', BLOG)

    def enrol(self, user, *arguments):
        with open(os.path.join(self.site.path('credentials'), user), 'w') as out:
            out.write(self.site.mend('enrol', *arguments).stdout)

    def program(self, name, system, *options):
        self.site.start(name, os.path.join(mendsite.BIN, 'mend-bridge'), system, '--credentials', self.site.path('credentials'), '--data', self.site.path(name),
                        '--heartbeat', '1s', *options)

    def bridge(self, *options):
        self.program('bridge', 'pacemaker-cloud', '--site', self.site.data, '--id', CPE, '--folder', self.site.path('deployables'), '--interval', '300ms', *options)
        self.cpe = Cpe(self.site)
        self.addCleanup(self.cpe.end)
        wait_for('the agent', lambda: self.cpe.agents, 60)

    def end(self):
        statuses = {name: self.site.stop(name) for name in ('bridge', 'cloud') if name in self.site.running}
        statuses.update({name: self.site.stop(name) for name in ('policy',) if name in self.site.running})
        bad = any(statuses.values()) or any('Sanitizer' in self.site.log(each[:-4]) for each in os.listdir(self.site.folder) if each.endswith('.log'))
        self.site.__exit__(AssertionError if bad or mendsite.failed(self) else None, None, None)
        self.assertEqual(set(statuses.values()) - {0}, set())

    def deployable(self, name, text):
        with open(os.path.join(self.site.path('deployables'), name + '.xml'), 'w') as out:
            out.write(text)

    def states(self):
        return self.cloud.state(DB), self.cloud.state(WEB)

    def in_force(self):
        versions = self.site.json('policy', 'versions')
        return self.site.mend('policy', 'versions', str((versions['versions'] if isinstance(versions, dict) else versions)[-1]['number'])).stdout

    def started(self):
        self.cpe.forget()
        self.assertEqual(self.cpe.call('deployable_start', 'blog', 'blog', 'pcloud-cape-sshd'), {'rc': 0})
        wait_for('both VMs', lambda: self.states() == ('RUNNING', 'RUNNING'), 60)
        self.cpe.heard('deployable_state_change', deployable='blog', state='running', reason='all assemblies active')


class Qmf(PacemakerCloud):
    def test_start_stop_and_start_again(self):
        self.bridge()
        opcode, objects = self.cpe.query('cpe')
        self.assertEqual((opcode, len(objects)), ('_query_response', 1))
        self.started()
        self.cpe.heard('assembly_state_change', deployable='blog', assembly='web', state='running', reason='All good')
        self.assertIn(POLICY, self.in_force())
        self.assertIn('name: blog', self.in_force())
        self.assertEqual(self.cpe.call('deployables_list', target='dpe'), {'deployables': ['blog']})
        self.cloud.become(WEB, 'STOPPED')  # it is Mend's now: brought back
        wait_for('web again', lambda: self.cloud.did('start', WEB) == 2 and self.cloud.state(WEB) == 'RUNNING', 60)
        wait_for('no incident', lambda: 'app/blog' not in self.site.mend('incidents').stdout and 'vm/' not in self.site.mend('incidents').stdout, 60)

        self.cpe.forget()
        self.assertEqual(self.cpe.call('deployable_stop', 'blog', 'blog', ''), {'rc': 0})
        wait_for('both down', lambda: self.states() == ('STOPPED', 'STOPPED'), 60)
        self.cpe.heard('deployable_state_change', deployable='blog', state='stopped')
        self.cpe.heard('assembly_state_change', deployable='blog', assembly='web', state='stopped')
        self.cloud.become(WEB, 'RUNNING')  # somebody else, and then it fails
        wait_for('web to be seen', lambda: self.site.entities()['vm/' + WEB]['state'] == 'running', 60)
        self.cloud.become(WEB, 'STOPPED')
        wait_for('its end to be seen', lambda: self.site.entities()['vm/' + WEB]['state'] != 'running', 60)
        time.sleep(4)  # nothing is to happen: only time can show that
        self.assertEqual(self.states(), ('STOPPED', 'STOPPED'))
        self.assertIn('was stopped by pacemaker-cloud: nothing to heal', self.site.mend('why', 'vm/' + WEB).stdout)

        starts = self.cloud.did('start', WEB)
        wait_for('the start', lambda: self.cpe.call('deployable_start', 'blog', 'blog', '') == {'rc': 0}, 60, 1)
        wait_for('both VMs', lambda: self.states() == ('RUNNING', 'RUNNING'), 60)
        self.assertEqual(self.cloud.did('start', WEB), starts + 1)

        wait_for('its end', lambda: 'app/blog' not in self.site.mend('incidents').stdout, 60, 0.2)
        self.cpe.forget()
        self.assertIn('app/blog is asked to stop: 2 things to do', self.site.mend('operate', 'stop', 'app/blog', '--who', 'anna').stdout)  # by who has no such console
        wait_for('both down', lambda: self.states() == ('STOPPED', 'STOPPED'), 60)
        self.cpe.heard('deployable_state_change', deployable='blog', state='stopped')
        self.assertIn('anna', self.site.mend('status', '--json').stdout)
        self.assertIn('the policy has no app/none', self.site.mend('operate', 'start', 'app/none', check=False).stderr)

    def test_when_the_engine_dies_the_other_one_is_asked(self):
        self.bridge()
        self.started()
        self.site.start('other', os.path.join(mendsite.BIN, 'mend'), 'policy', 'run', '--data', self.site.data, '--name', 'other',
                        '--policy', self.site.write('other.yaml', self.POLICY))
        self.addCleanup(lambda: 'other' in self.site.running and self.site.stop('other'))
        wait_for('one that stands by', lambda: 'stands by' in self.site.log('other'), 60)
        first = self.site.running.pop('policy')
        first.kill()
        first.wait()
        wait_for('the other one to act', lambda: 'other acts' in self.site.log('other'), 60)
        wait_for('the applications in its policy', lambda: '17 rules' in self.site.log('other'), 60)
        self.assertEqual(self.cpe.call('deployable_stop', 'blog', 'blog', 'pcloud-cape-sshd'), {'rc': 0})
        wait_for('both VMs down', lambda: self.states() == ('STOPPED', 'STOPPED'), 60)

    def test_what_cannot_be_started_says_why(self):
        self.bridge()
        before = self.in_force()
        self.deployable('shop', BLOG.replace('"blog"', '"shop"'))
        self.deployable('bad', '<deployable name="bad">\n <assemblies>\n  <assembly uuid="x"/>\n')
        self.deployable('half', '<deployable name="half">\n <assemblies>\n</deployable>\n')
        self.deployable('circle', '''<deployable name="circle"><assemblies><assembly name="a"><services><service name="x" type="x"/><service name="y" type="y"/></services>
</assembly></assemblies><constraints><service_dependancy first="rsc_a_x" then="rsc_a_y"/><service_dependancy first="rsc_a_y" then="rsc_a_x"/></constraints></deployable>''')
        self.deployable('other', BLOG)
        for name, *words in (('shop', 'an application named "shop" stands above already', 'policy.yaml:'), ('bad', 'bad.xml:3:', 'needs a name'), ('half', 'half.xml:3:'),
                             ('none', 'there is no deployable "none"', 'none.xml'), ('../blog', 'name, or uuid, of a deployable is wanted'), ('circle', 'circle'),
                             ('other', 'other.xml', '"blog"')):
            said = self.cpe.call('deployable_start', name, name, '')
            self.assertIsInstance(said, str, name)
            for word in words:
                self.assertIn(word, said)
        for method in ('deployable_stop', 'deployable_reload'):
            said = self.cpe.call(method, 'nobody', 'nobody', '')
            self.assertTrue('it was not started' in said or 'there is no deployable "nobody"' in said, said)
        self.assertEqual(self.in_force(), before)
        self.assertEqual(self.states(), ('STOPPED', 'STOPPED'))

    def test_reload_keeps_what_runs_and_a_load_of_others_is_outlived(self):
        self.bridge()
        self.started()
        starts = self.cloud.did('start', DB), self.cloud.did('start', WEB)
        self.deployable('blog', BLOG.replace('type="mysqld"', 'type="mariadb"'))
        self.assertEqual(self.cpe.call('deployable_reload', 'blog', 'blog', ''), {'rc': 0})
        self.assertIn('mariadb', self.in_force())
        self.deployable('blog', '<deployable>')
        self.assertIn('blog.xml:1:', self.cpe.call('deployable_reload', 'blog', 'blog', ''))
        self.assertIn('mariadb', self.in_force())
        self.site.mend('policy', 'load', self.site.write('other.yaml', POLICY.replace('and nothing else', 'and no more')))  # the site's people
        wait_for('ours in it', lambda: 'mariadb' in self.in_force(), 60)
        self.assertIn('and no more', self.in_force())
        self.site.stop('bridge')
        self.site.mend('policy', 'load', self.site.path('policy.yaml'))
        self.assertNotIn('mariadb', self.in_force())
        self.program('bridge', 'pacemaker-cloud', '--site', self.site.data, '--id', CPE, '--folder', self.site.path('deployables'), '--interval', '300ms')
        wait_for('ours in it', lambda: 'mariadb' in self.in_force(), 60)
        self.assertEqual((self.cloud.did('start', DB), self.cloud.did('start', WEB)), starts)

    def test_the_second_failure_of_a_vm_restarts_the_application(self):
        self.bridge()
        self.started()
        self.cloud.become(WEB, 'STOPPED')
        wait_for('web again', lambda: self.cloud.did('start', WEB) == 2 and self.cloud.state(WEB) == 'RUNNING', 60)
        wait_for('its incident to end', lambda: 'healed' in self.site.mend('why', 'vm/' + WEB).stdout, 60, 0.2)
        self.cloud.become(WEB, 'STOPPED')
        self.cpe.heard('deployable_state_change', deployable='blog', state='recovering', reason='assembly failure escalated to deployable')
        wait_for('app.restart in why', lambda: 'app.restart' in self.site.mend('why', 'vm/' + WEB).stdout, 60, 0.2)
        wait_for('web again', lambda: self.cloud.state(WEB) == 'RUNNING', 60)


class DefaultPolicy(PacemakerCloud):
    POLICY = None

    def test_beside_the_default_policy_and_out_again(self):
        self.bridge()
        self.assertEqual(self.cpe.call('deployable_load', 'blog', 'blog', target='dpe'), {'rc': 0})
        opcode, objects = self.cpe.query('dpe')
        self.assertEqual((opcode, objects[0]['_values']), ('_query_response', {'deployables': 1, 'assemblies': 2}))
        self.assertIn('name: blog', self.in_force())
        self.assertEqual(self.states(), ('STOPPED', 'STOPPED'))  # loaded, not started
        self.assertEqual(self.cpe.call('deployable_unload', 'blog', 'blog', target='dpe'), {'rc': 0})
        self.assertNotIn('name: blog', self.in_force())
        self.assertEqual(self.cpe.call('deployables_list', target='dpe'), {'deployables': []})
        self.site.stop('policy')
        self.assertIn('does not answer', self.cpe.call('deployable_start', 'blog', 'blog', ''))


class Rest(PacemakerCloud):
    def http(self, verb, path, body=None, **headers):
        request = urllib.request.Request('http://127.0.0.1:%d%s' % (self.port, path), body.encode() if body else None, headers, method=verb)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.headers.get_content_type(), answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers.get_content_type(), error.read().decode()

    def event(self, item, id, state):
        return self.http('POST', '/pacemaker-cloud/api', '<event><datetime>now</datetime><%s id="%s"><state>%s</state></%s></event>' % (item, id, state, item),
                         **{'Content-Type': 'application/xml'})

    def rest(self, *options):
        self.port = free_port()
        self.bridge('--listen', '127.0.0.1:%d' % self.port, *options)

    def test_the_paths_of_theirs(self):
        self.rest()
        self.started()
        status, kind, text = self.http('GET', '/pacemaker-cloud/api/deployments')
        self.assertEqual((status, kind), (200, 'application/xml'))
        found = xml.etree.ElementTree.fromstring(text)
        self.assertEqual((found.tag, found[0].get('id'), found[0].find('state').text), ('deployments', 'blog', 'running'))
        self.assertEqual({each.get('name'): each.find('state').text for each in found[0].findall('instance')}, {'db': 'running', 'web': 'running'})

        self.assertEqual(self.event('instance', WEB, 'FAILED'), (200, 'application/xml', ''))
        sign = wait_for('the sign', lambda: self.site.entities().get('service/%s/pacemaker-cloud' % WEB), 60)
        self.assertEqual((sign['state'], sign['data']['reason']), ('failed', 'the conductor says FAILED'))
        self.assertEqual(self.event('deployment', 'blog', 'STOPPED')[0], 200)
        wait_for('the other sign', lambda: self.site.entities().get('service/%s/pacemaker-cloud.deployment' % DB, {}).get('state') == 'failed', 60)
        self.assertIn('<said>STOPPED</said>', self.http('GET', '/pacemaker-cloud/api')[2])
        self.assertEqual(self.event('instance', WEB, 'STARTED')[0], 200)
        wait_for('its end', lambda: self.site.entities()['service/%s/pacemaker-cloud' % WEB]['state'] == 'running', 60)
        self.assertEqual(self.states(), ('RUNNING', 'RUNNING'))  # a word is no proof: nothing was done to the VMs

        self.assertEqual(self.event('instance', 'nobody', 'FAILED')[0], 200)
        self.assertEqual(self.event('cloud', 'c', 'FAILED')[0], 500)
        self.assertEqual(self.event('instance', WEB, 'ILL')[0], 500)
        self.assertEqual(self.http('POST', '/pacemaker-cloud/api', '<event>')[:2], (400, 'text/html'))
        self.assertEqual(self.http('GET', '/other')[0], 404)
        self.assertEqual(self.http('PUT', '/pacemaker-cloud/api', 'x')[0], 400)
        try:
            self.assertEqual(self.http('POST', '/pacemaker-cloud/api', ' ' * (1 << 20))[0], 413)
        except (urllib.error.URLError, ConnectionError):
            pass  # it did not read all that

    def test_who_may(self):
        token = self.site.write('token', 'secret\n')
        os.chmod(token, 0o600)
        self.rest('--listen-token-file', token, '--listen-user', 'conductor')
        basic = 'Basic ' + base64.b64encode(b'conductor:secret').decode()
        for status, headers in ((401, {}), (401, {'Authorization': 'Bearer wrong!'}), (401, {'Authorization': 'Basic ' + base64.b64encode(b'x:secret').decode()}),
                                (200, {'Authorization': 'Bearer secret'}), (200, {'Authorization': basic})):
            self.assertEqual(self.http('GET', '/pacemaker-cloud/api', **headers)[0], status, headers)
        open_to_all = self.site.start('open', os.path.join(mendsite.BIN, 'mend-bridge'), 'pacemaker-cloud', '--site', self.site.data, '--id', CPE, '--credentials',
                                      self.site.path('credentials'), '--data', self.site.path('open'), '--listen', '0.0.0.0:0')
        self.assertNotEqual(open_to_all.wait(30), 0)
        self.assertIn('token-file is needed', self.site.log('open'))

    def test_the_hook_at_the_conductor(self):
        conductor = HTTPServer(('127.0.0.1', 0), Conductor)
        conductor.seen, conductor.refuses = [], [503]
        thread = threading.Thread(target=conductor.serve_forever)
        thread.start()
        self.addCleanup(lambda: (conductor.shutdown(), conductor.server_close(), thread.join()))
        password = self.site.write('conductor', 'password\n')
        os.chmod(password, 0o600)
        self.rest('--conductor', 'http://127.0.0.1:%d/conductor' % conductor.server_port, '--conductor-user', 'admin', '--conductor-password-file', password)
        wait_for('the hook', lambda: 'sends its events to' in self.site.log('bridge'), 60)
        verb, path, login, body = conductor.seen[-1]
        self.assertEqual((verb, path, login), ('POST', '/conductor/api/hooks', 'Basic ' + base64.b64encode(b'admin:password').decode()))
        self.assertIn('<hook><uri>http://127.0.0.1:%d/pacemaker-cloud/api</uri><version>1</version></hook>' % self.port, body)
        self.assertEqual(self.site.stop('bridge'), 0)
        self.assertEqual(conductor.seen[-1][:2], ('DELETE', '/conductor/api/hooks/7'))


if __name__ == '__main__':
    unittest.main()
