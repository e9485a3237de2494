#!/usr/bin/python3
"""What a highly available VM is made from is asked of its host agent while that lives, and sent to the host that starts it without having known it."""
import datetime
import hashlib
import json
import os
import subprocess
import time
import unittest
import uuid

from proton import Message
from proton.reactor import ApplicationEvent

import engine_site
from engine_site import EngineSite, wait_for
from world import Binding, World

HOST = 'matahariproject.org:mend-host:%s'
XML = '<domain type="kvm"><name>db</name><uuid>0c2f</uuid><description>%s</description></domain>' % ('a disk or two ' * 400)
HASH = hashlib.sha256(XML.encode()).hexdigest()


class Hosts(World):
    """Two host agents, h1 and h2; h1 has the definition of db."""
    definition = XML

    def __init__(self, url, answer=None):
        self.definitions_asked, self.commands = 0, []
        super().__init__(url, answer)

    def on_start(self, event):
        super().on_start(event)
        for name, options in (('mend.control.' + HOST % 'h1', None), ('mend.control.' + HOST % 'h2', None), ('qmf.default.direct', Binding('direct', HOST % 'h1'))):
            event.container.create_receiver(self.connection, name, name='host ' + name, options=options)
            self.wanted += 1

    def on_message(self, event):
        if not event.receiver.name.startswith('host '):
            super().on_message(event)
        elif event.receiver.name == 'host qmf.default.direct':
            self.on_object_query(event.message)
        else:
            self.commands.append((event.receiver.name.rsplit(':')[-1], bytes(event.message.body), dict(event.message.properties)))

    def on_object_query(self, request):
        if b'definition:db' not in bytes(request.body):
            return
        self.definitions_asked += 1
        node, _, key = request.reply_to.partition('/')
        body = [{'_object_id': {'_object_name': 'definition:db', '_agent_name': HOST % 'h1'},
                 '_schema_id': {'_package_name': 'org.matahariproject.mend', '_class_name': 'Definition'},
                 '_values': {'name': 'db', 'definition_hash': HASH, 'definition': self.definition}}]
        self.replies.send(Message(address=node, subject=key or None, correlation_id=request.correlation_id, body=body, properties={
            'qmf.opcode': '_query_response', 'qmf.content': '_data', 'qmf.agent': HOST % 'h1', 'method': 'response', 'x-amqp-0-10.app-id': 'qmf2'}))

    def tell(self, kind, entity, by, **data):
        self.injector.trigger(ApplicationEvent('tell', subject=(kind, entity, by, data)))

    def on_tell(self, event):
        kind, entity, by, data = event.subject
        self.sequence += 1
        now = datetime.datetime.now(datetime.timezone.utc).isoformat().replace('+00:00', 'Z')
        attributes = {'specversion': '1.0', 'id': str(uuid.uuid4()), 'type': 'org.matahariproject.mend.%s.v1' % kind, 'source': HOST % by, 'subject': entity,
                      'time': now, 'sequence': str(self.sequence), 'severity': '3', 'bootid': by + '-a'}
        self.events.send(Message(subject='%s.%s' % (kind, entity.replace('/', '.')), durable=True, inferred=True, content_type='application/json',
                                 body=json.dumps(data).encode(), properties={'cloudEvents_' + key: value for key, value in attributes.items()}))

    def hosts_and_vm(self, **more):
        self.tell('host.up', 'host/h1', 'h1', boot_id='h1-a')
        self.tell('host.up', 'host/h2', 'h2', boot_id='h2-a')
        self.tell('vm.running', 'vm/db', 'h1', host='h1', intent='none', definition_hash=HASH, **more)

    def h1_dies(self):
        self.tell('agent.closed', 'agent/' + HOST % 'h1', 'h1')
        self.tell('host.evidence', 'host/h1', 'h2', channel='bmc', says='off')


class Liar(Hosts):
    definition = XML.replace('disk', 'desk')


class Definitions(unittest.TestCase):
    def site(self, world):
        engine_site.World = world
        self.addCleanup(setattr, engine_site, 'World', World)
        return EngineSite(policy=engine_site.POLICY.replace('3s', '30s'))

    def kept(self, site):
        folder = os.path.join(site.folder.name, 'definitions-main')
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []

    def test_it_starts_where_nobody_knew_it(self):
        with self.site(Hosts) as site:
            site.start()
            site.world.hosts_and_vm(ha=True)
            wait_for('the definition', lambda: self.kept(site) == [HASH + '.xml'])
            path = os.path.join(site.folder.name, 'definitions-main', HASH + '.xml')
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
            site.kill()                                         # what was asked once is at hand after a crash, when nobody can be asked
            asked = site.world.definitions_asked
            site.start()
            site.world.h1_dies()
            host, body, properties = wait_for('the start', lambda: site.world.commands and site.world.commands[0])
            self.assertEqual((host, properties['mend.entity']), ('h2', 'vm/db'))
            self.assertIn(XML.encode(), body)
            self.assertNotIn(b'definition_hash', body)
            self.assertEqual((asked, site.world.definitions_asked), (1, 1))
            journal = subprocess.run([engine_site.MEND, 'journal', 'export', os.path.join(site.folder.name, 'policy-main.journal')], stdout=subprocess.PIPE,
                                     text=True, timeout=20).stdout
            self.assertIn('"definition_hash":"%s"' % HASH, journal)
            self.assertNotIn('a disk or two', journal)

    def test_a_text_that_is_not_its_hash_s_is_not_sent(self):
        with self.site(Liar) as site:
            site.start()
            site.world.hosts_and_vm(ha=True)
            wait_for('the question', lambda: site.world.definitions_asked)
            wait_for('the refusal', lambda: 'are not what the hash' in site.log())
            self.assertEqual(self.kept(site), [])
            site.world.h1_dies()
            _, body, _ = wait_for('the start', lambda: site.world.commands and site.world.commands[0])
            self.assertNotIn(b'<domain', body)

    def test_nobody_asks_for_what_need_not_come_back(self):
        with self.site(Hosts) as site:
            site.start()
            site.world.hosts_and_vm(ha=False)
            site.world.tell('vm.running', 'vm/other', 'h1', host='h1', intent='none', ha=True, definition_hash='not a hash')
            site.world.tell('vm.crashed', 'vm/other', 'h1', host='h1', intent='none')
            wait_for('the start', lambda: site.world.commands)
            time.sleep(0.3)                                      # it looks a tenth of a second after an event
            self.assertEqual((site.world.definitions_asked, self.kept(site)), (0, []))


if __name__ == '__main__':
    unittest.main()
