#!/usr/bin/python3
"""mend-guest with all of Matahari's classes switched on, across the broker, called as a console of libqmf2 calls."""
import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import unittest

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, FOLDER)
from console import Console  # noqa: E402
import mendsite  # noqa: E402
from mendsite import BIN, Site, wait_for  # noqa: E402
from peer import Link  # noqa: E402
from qmf import DIRECT, TOPIC  # noqa: E402
from wire import U32  # noqa: E402

ID = '11111111-2222-4333-8444-666666666666'
AGENT = 'matahariproject.org:mend-guest:' + ID
PLUGIN = '''
def testFunction():
    return 'Result of the testFunction() function'
class TestClass(object):
    pass
def testException():
    raise Exception('Exception thrown by the testException() function')
def showArgs(*args, **kwargs):
    return {'args': args, 'kwargs': kwargs}
def _hidden():
    raise Exception('This method should not be visible')
'''
PUPPET = '''#!/bin/sh
case $1 in
--version) echo 7.23.0;;
apply) echo ran >>%s; . "$3";;
esac
'''


class Caller(Console):
    """The stand-in console, asked one thing after another."""

    def __init__(self, mend):
        super().__init__(argparse.Namespace(host='127.0.0.1', port=mend.port, log='/dev/null', user='operator',
                                            password=mend.password('operator'), call=None))
        self.said = []
        self.links = [Link(TOPIC, True, self.key), Link(DIRECT, False), Link(TOPIC, True, 'agent.#', None), Link(TOPIC, False)]
        self.connect()
        self.until(lambda: AGENT in self.agents, 'the agent', lambda: self.request(TOPIC, 'console.request.agent_locate', '_agent_locate_request', []))

    def say(self, event, **more):
        self.said.append(dict(more, event=event))

    def until(self, check, what, again=None, patience=20):
        ends, next_ask = time.monotonic() + patience, 0
        while not check():
            if time.monotonic() > ends:
                raise AssertionError('%s did not come' % what)
            if again and time.monotonic() > next_ask:
                again()
                next_ask = time.monotonic() + 1
            self.step(0.1)

    def ask(self, opcode, body):
        """The answer's kind and body."""
        node, subject = TOPIC, self.agents[AGENT]['_direct_subject']
        self.request(node, subject, opcode, body)
        mine = str(self.number)
        self.until(lambda: any(each.get('correlation') == mine and not each.get('partial') for each in self.said), 'an answer to %r' % body)
        return next((each['event'], each['body']) for each in self.said if each.get('correlation') == mine)

    def call(self, target, method, **arguments):
        """What came out; an exception's body when it was one."""
        event, body = self.ask('_method_request', {'_method_name': method, '_arguments': arguments,
                                                   '_object_id': {'_agent_name': AGENT, '_object_name': target, '_agent_epoch': U32(1)}})
        return body['_arguments'] if event == 'returned' else body

    def error(self, target, method, **arguments):
        return self.call(target, method, **arguments)['_values']['error_text']

    def objects(self, package, name):
        return self.ask('_query_request', {'_what': 'OBJECT', '_schema_id': {'_package_name': package, '_class_name': name, '_type': '_data'}})[1]

    def events(self, name):
        found = []
        for each in self.said:
            if each['event'] == 'data' and each['content'] == '_event':
                found += [one['_values'] for one in each['body'] if one['_schema_id']['_class_name'] == name]
        return found


class GuestClasses(unittest.TestCase):
    def setUp(self):
        self.mend = Site()
        self.addCleanup(self.end)
        self.mend.broker('--anonymous')

    def end(self):
        self.mend.__exit__(AssertionError if mendsite.failed(self) else None, None, None)

    def guest(self, *options):
        self.mend.start('guest', os.path.join(BIN, 'mend-guest'), '--broker', 'amqp://127.0.0.1:%d' % self.mend.port, '--anonymous', '--id', ID,
                        '--data', self.mend.path('guest'), *options)
        wait_for('the agent', lambda: self.mend.agents()[AGENT]['state'] == 'up', 20)
        return Caller(self.mend)

    def test_what_is_off_is_not_there(self):
        console = self.guest()
        for name in ('Network', 'Sysconfig', 'DBusBridge'):
            self.assertEqual(console.objects('org.matahariproject', name), [])
            self.assertEqual(console.error(name, 'list'), 'No data object found with the specified address')

    def test_ten_beats_in_ten_seconds_and_none(self):
        console = self.guest()
        self.assertEqual(console.call('Guest', 'set_properties', object='Host', values={'update_interval': 1}), {})
        before = len(console.events('heartbeat'))
        ends = time.monotonic() + 10
        while time.monotonic() < ends:
            console.step(ends - time.monotonic())
        beats = console.events('heartbeat')[before:]
        self.assertIn(len(beats), (9, 10, 11))
        self.assertEqual([each['sequence'] for each in beats], list(range(beats[0]['sequence'], beats[0]['sequence'] + len(beats))))
        self.assertEqual(console.objects('org.matahariproject', 'Host')[0]['_values']['update_interval'], 1)
        console.call('Guest', 'set_properties', object='Host', values={'update_interval': 0})
        before = len(console.events('heartbeat'))
        ends = time.monotonic() + 6
        while time.monotonic() < ends:
            console.step(ends - time.monotonic())
        self.assertEqual(len(console.events('heartbeat')), before)

    def test_uuids_live_as_long_as_they_say(self):
        console = self.guest()
        self.assertEqual(console.call('Host', 'set_uuid', lifetime='Custom', uuid='rack-7'), {'rc': 0})
        self.assertEqual(console.call('Host', 'set_uuid', lifetime='Reboot', uuid='rack-7'), {'rc': 23})
        first = {life: console.call('Host', 'get_uuid', lifetime=life)['uuid'] for life in ('Filesystem', 'Hardware', 'Reboot', 'Agent', 'Custom')}
        console.close()
        self.mend.stop('guest')
        console = self.guest()
        now = {life: console.call('Host', 'get_uuid', lifetime=life)['uuid'] for life in first}
        self.assertNotEqual(now.pop('Agent'), first.pop('Agent'))
        self.assertEqual(now, first)

    def test_network(self):
        console = self.guest('--network')
        self.assertIn('lo', console.call('Network', 'list')['iface_map'])
        self.assertEqual(console.call('Network', 'status', iface='lo'), {'status': 0})
        self.assertEqual(console.call('Network', 'get_ip_address', iface='lo'), {'ip': '127.0.0.1'})
        self.assertEqual(console.call('Network', 'get_mac_address', iface='lo'), {'mac': '00:00:00:00:00:00'})
        self.assertEqual(console.call('Network', 'status', iface='nothing'), {'status': 1})
        self.assertEqual(console.error('Network', 'stop', iface='nothing'), 'Invalid Arguments')
        self.assertIn('You are not authorized for specified action', console.error('Network', 'stop', iface='lo'))
        console.close()
        self.mend.stop('guest')
        console = self.guest('--network', '--network-allow', '*')
        self.assertIn("the agent's own connection", console.error('Network', 'stop', iface='lo'))

    def test_sysconfig(self):
        tools, ran = self.mend.path('tools'), self.mend.path('ran')
        os.mkdir(tools)
        with open(os.path.join(tools, 'puppet'), 'w') as out:
            out.write(PUPPET % ran)
        os.chmod(os.path.join(tools, 'puppet'), 0o755)
        path, os.environ['PATH'] = os.environ['PATH'], tools + ':' + os.environ['PATH']
        self.addCleanup(os.environ.__setitem__, 'PATH', path)
        console = self.guest('--sysconfig', '--sysconfig-allow', 'puppet', '--sysconfig-uri', 'file://' + self.mend.folder)
        manifest = self.mend.write('site.pp', 'exit 0\n')
        for flags, text, status, runs in ((0, 'exit 0', 'OK', 1), (0, 'exit 4', 'OK', 1), (1, 'exit 4', 'FAILED\n4', 2), (0, 'exit 0', 'FAILED\n4', 2)):
            self.assertEqual(console.call('Sysconfig', 'run_string', text=text, flags=flags, scheme='puppet', key='web'), {'status': status})
            with open(ran) as lines:
                self.assertEqual(len(lines.readlines()), runs)
        self.assertEqual(console.call('Sysconfig', 'run_uri', uri='file://' + manifest, flags=0, scheme='puppet', key='site'), {'status': 'OK'})
        self.assertEqual(console.call('Sysconfig', 'is_configured', key='site'), {'status': 'OK'})
        self.assertEqual(console.call('Sysconfig', 'is_configured', key='other'), {'status': 'unknown'})
        self.assertEqual(console.error('Sysconfig', 'run_string', text='', flags=0, scheme='make', key='k'), 'Invalid Arguments')
        for scheme in ('http', 'ftp', 'https'):
            self.assertIn('--sysconfig-uri', console.error('Sysconfig', 'run_uri', uri=scheme + '://127.0.0.1/x', flags=0, scheme='puppet', key='k'))
        self.assertIn('--sysconfig-allow', console.error('Sysconfig', 'run_string', text='', flags=0, scheme='augeas', key='k'))
        console.call('Guest', 'set_properties', object='Sysconfig', values={'is_postboot_configured': 1})
        self.assertEqual(console.objects('org.matahariproject', 'Sysconfig')[0]['_values']['is_postboot_configured'], 1)

    def test_rpc_example(self):
        os.mkdir(self.mend.path('plugins'), 0o755)
        os.chmod(self.mend.write('plugins/example.py', PLUGIN), 0o644)
        console = self.guest('--rpc-plugins', self.mend.path('plugins'))
        found = []
        console.until(lambda: found or found.extend(console.objects('org.matahariproject.rpc.plugin', 'example')), 'the plug-in')
        example = found[0]['_object_id']['_object_name']
        self.assertEqual(console.call(example, 'testFunction', args=[], kwargs={}), {'result': '"Result of the testFunction() function"'})
        self.assertEqual(console.error(example, 'TestClass', args=[], kwargs={}), 'Unknown method: TestClass')
        self.assertEqual(console.error(example, '_hidden', args=[], kwargs={}), 'Unknown method: _hidden')
        said = console.call(example, 'showArgs', args=['1', '"two"'], kwargs={'three': '[3]'})
        self.assertEqual(json.loads(said['result']), {'args': [1, 'two'], 'kwargs': {'three': [3]}})
        raised = console.call(example, 'testException', args=[], kwargs={})
        self.assertEqual(raised['_schema_id']['_class_name'], 'PluginException')
        self.assertEqual(sorted(raised['_values']), ['traceback', 'type', 'value'])
        self.assertEqual((raised['_values']['type'], raised['_values']['value']),
                         ('Exception', 'Exception thrown by the testException() function'))

    @unittest.skipUnless(shutil.which('dbus-daemon'), 'no dbus-daemon here')
    def test_dbus_bridge(self):
        address = 'unix:path=' + self.mend.path('bus')
        self.mend.start('bus', 'dbus-daemon', '--session', '--nofork', '--address=' + address)
        wait_for('the bus', lambda: os.path.exists(self.mend.path('bus')))
        console = self.guest('--dbus-bridge', '--dbus-address', address, '--dbus-allow', 'org.freedesktop.DBus/org.freedesktop.DBus.*')
        self.assertIn('org.freedesktop.DBus', console.call('DBusBridge', 'list_dbus_objects', only_well_known=True)['dbus_objects'])
        bus = {'bus_name': 'org.freedesktop.DBus', 'object_path': '/org/freedesktop/DBus', 'interface': 'org.freedesktop.DBus'}
        self.assertEqual(console.call('DBusBridge', 'add_dbus_object', **bus), {'result': 0})
        bridged = 'org.freedesktop.DBus@/org/freedesktop/DBus@org.freedesktop.DBus'
        names = console.call(bridged, 'ListNames')
        self.assertIn('org.freedesktop.DBus', [name for each in names.values() for name in each])
        schema = console.objects('org.freedesktop.DBus@/org/freedesktop/DBus', 'org.freedesktop.DBus')[0]['_schema_id']
        self.assertEqual(schema['_package_name'], 'org.freedesktop.DBus@/org/freedesktop/DBus')
        subprocess.run(['dbus-send', '--bus=' + address, '--dest=org.freedesktop.DBus', '/', 'org.freedesktop.DBus.GetId'], check=True, timeout=20)
        console.until(lambda: console.events('org.freedesktop.DBus.NameOwnerChanged'), 'NameOwnerChanged')
        self.assertIn('--dbus-allow', console.error('DBusBridge', 'list_object_paths', bus_name='org.freedesktop.systemd1'))
        self.assertEqual(self.mend.agents()[AGENT]['state'], 'up')   # a class the plugin has never heard of is no offence


if __name__ == '__main__':
    unittest.main(warnings="ignore")
