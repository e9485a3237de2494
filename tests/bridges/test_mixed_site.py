#!/usr/bin/python3
"""One application over four kinds of machines: a Matahari agent of 2012, a mend-guest, a guest that has only sshd, and a VM of oVirt. One
policy, the right order, the right transport for each; `mend why` reads the same for all."""
import os
import sys
import unittest

FOLDER = os.path.dirname(os.path.abspath(__file__))
for folder in ('../lib', '../matahari', '../../bridges/ovirt/tests', '.'):
    sys.path.insert(0, os.path.join(FOLDER, folder))
import engine as ovirt  # noqa: E402
import mendsite  # noqa: E402
import sshserver  # noqa: E402
from mendsite import BIN, wait_for  # noqa: E402
from test_matahari import StandIn  # noqa: E402

STOCK, WEB, MAIL, NODE = ('6f1a2b3c-0000-4000-8000-0000000000%02d' % each for each in (2, 1, 3, 9))

POLICY = """
mend: 1
applications:
  - name: shop
    vms:
      - name: books
        match: {name: old-service}
        services: [{name: mhdemo, standard: lsb}]
      - name: stock
        match: {id: %s}
        services: [{name: api, standard: ocf, provider: test, agent: Svc, after: [books/mhdemo], needs: [books/mhdemo]}]
      - name: web
        match: {id: %s}
        services: [{name: front, standard: ocf, provider: test, agent: Svc, after: [stock/api], needs: [stock/api]}]
      - name: mail
        match: {name: mail}
        ha: true
rules:
  - name: all-hangs-on-the-books
    on: service.failed
    where: entity.name == "mhdemo" && event.intent == "none"
    ladder: [{do: app.restart, attempts: 3, within: 10m}]
  - default
""" % (STOCK, WEB)

SVC = """#!/bin/sh
f=%s/$OCF_RESOURCE_INSTANCE
[ "$1" = monitor ] || echo "$(date +%%s%%N) $OCF_RESOURCE_INSTANCE $1" >>%s/order
case $1 in
start) : >"$f" ;;
stop) rm -f "$f" ;;
monitor) [ -e "$f" ] && exit 0; exit 7 ;;
*) exit 3 ;;
esac
"""


class MixedSite(unittest.TestCase):
    def new_site(self):
        return mendsite.Site()

    def policy_text(self):
        return POLICY

    def setUp(self):
        self.mend = self.new_site()
        self.addCleanup(lambda: self.mend.__exit__(AssertionError if mendsite.failed(self) else None, None, None))
        self.mend.broker('--anonymous', '--plugin-config', '{"watch_interval_s": 0.5}')
        self.ocf = self.mend.path('ocf')
        os.makedirs(os.path.join(self.ocf, 'resource.d/test'))
        with open(os.path.join(self.ocf, 'resource.d/test/Svc'), 'w') as script:
            script.write(SVC % (self.mend.folder, self.mend.folder))
        os.chmod(script.name, 0o755)
        for name in ('api', 'front'):
            self.mend.write(name, '')
        self.books()
        self.stock()
        self.web()
        self.mail()
        self.mend.policy('--policy', self.mend.write('policy.yaml', self.policy_text()))

    def books(self):
        self.old = StandIn(self.mend, 'service')
        self.old.touch('mhdemo.init')
        self.old.touch('mhdemo.running')
        self.books_name, self.books_file = 'mhdemo', os.path.join(self.old.state, 'mhdemo.running')

    def stock(self):
        self.mend.start('guest', os.path.join(BIN, 'mend-guest'), '--anonymous', '--broker', 'amqp://127.0.0.1:%d' % self.mend.port, '--id', STOCK,
                        '--data', self.mend.path('guest'), '--ocf-root', self.ocf, '--heartbeat', '1s', '--service', 'ocf:test:Svc:api?interval=300ms')

    def web(self):
        server = sshserver.Server(self.mend)
        server.start()
        self.addCleanup(server.cut)
        guests = self.mend.write('guests.yaml', """
guests:
  - {id: %s, host: 127.0.0.1, port: %d, name: web, user: root, identity: %s, known-hosts: %s,
     services: [{name: front, standard: ocf, provider: test, agent: Svc, interval: 300ms}]}
""" % (WEB, server.port, server.client_key, server.known_hosts))
        self.bridge('ssh', '--anonymous', '--guests', guests, '--ocf-root', self.ocf)

    def mail(self):
        self.engine = ovirt.Engine()
        self.engine.add_host(NODE, 'node')
        self.engine.add_vm(MAIL, 'mail', host=NODE)
        os.mkdir(self.mend.path('tls'))
        ovirt.make_certificates(self.mend.path('tls'))
        server = ovirt.Server(self.engine, self.mend.path('tls'))
        self.addCleanup(server.close)
        os.chmod(self.mend.write('password', ovirt.PASSWORD + '\n'), 0o600)
        self.bridge('ovirt-engine', '--url', server.url, '--ca', self.mend.path('tls/ca.pem'), '--password-file', self.mend.path('password'),
                    '--poll', '200ms', '--inventory', '2s', *self.credentials())

    def credentials(self):
        os.mkdir(self.mend.path('credentials'), 0o700)
        with open(self.mend.path('credentials/host-' + NODE), 'w') as out:
            out.write(self.mend.mend('enrol', '--host', NODE).stdout)
        return ('--credentials', self.mend.path('credentials'))

    def bridge(self, system, *options):
        self.mend.start(system, os.path.join(BIN, 'mend-bridge'), system, '--data', self.mend.path('bridge'), '--heartbeat', '1s',
                        '--broker', 'amqp://127.0.0.1:%d' % self.mend.port, *options)

    def state(self, path):
        return next((each['state'] for name, each in self.mend.entities().items() if name == path or
                     (path[0] == '*' and name.startswith('service/') and name.endswith(path[1:]))), None)

    def all_run(self):
        for path in ('*/' + self.books_name, '*/api', '*/front', 'vm/' + MAIL):
            wait_for(path + ' running', lambda: self.state(path) == 'running', 90, 0.2)

    def order(self):
        with open(self.mend.path('order')) as lines:
            return [(int(at), name, action) for at, name, action in (line.split() for line in lines)]

    def story(self, path):
        """What `mend why` says, without what is each machine's own."""
        wait_for('the end of ' + path, lambda: 'healed' in self.mend.mend('why', path, check=False).stdout, 60, 0.5)
        return self.mend.json('why', path)

    def test_each_is_mended_over_its_own_way(self):
        self.all_run()
        for name in ('api', 'front'):
            os.unlink(self.mend.path(name))
            wait_for('the restart of ' + name, lambda: os.path.exists(self.mend.path(name)), 60)
        self.engine.crash(MAIL)
        wait_for('the VM in oVirt', lambda: self.engine.vms[MAIL]['status'] == 'up', 60)
        self.all_run()
        self.assertEqual([each[1:] for each in self.order()], [('api', 'stop'), ('api', 'start'), ('front', 'stop'), ('front', 'start')])
        self.assertEqual(len(self.engine.asked('POST /ovirt-engine/api/vms/%s/start' % MAIL)), 1)
        stories = [self.story(path) for path in ('service/%s/api' % STOCK, 'service/%s/front' % WEB, 'vm/' + MAIL)]
        shapes = [sorted(story['incidents'][0]) for story in stories]
        kinds = [[line['what'] for line in story['incidents'][0]['lines']] for story in stories]
        self.assertEqual(shapes[0], shapes[1])
        self.assertEqual(shapes[0], shapes[2])
        for each in kinds:
            for what in ('event', 'rule', 'command', 'result'):
                self.assertIn(what, each)

    def test_the_whole_restarts_in_order(self):
        self.all_run()
        os.unlink(self.books_file)
        wait_for('the start of front', lambda: ('front', 'start') in [each[1:] for each in self.order()], 90, 0.2)
        self.all_run()
        order = self.order()
        self.assertEqual([each[1:] for each in order], [('front', 'stop'), ('api', 'stop'), ('api', 'start'), ('front', 'start')])
        begun = os.stat(self.books_file).st_mtime_ns
        self.assertTrue(order[1][0] < begun < order[2][0], (order, begun))  # the Matahari service between them
        for action in ('shutdown', 'start'):  # a VM without services we know of is restarted itself
            self.assertEqual(len(self.engine.asked('POST /ovirt-engine/api/vms/%s/%s' % (MAIL, action))), 1, action)
        story = next(path for path in self.mend.entities() if path.startswith('service/') and path.endswith('/' + self.books_name))
        self.assertIn('all-hangs-on-the-books', self.mend.mend('why', story).stdout)


if __name__ == '__main__':
    if os.geteuid() != 0 or not os.path.exists(sshserver.SSHD):
        print('skipped: needs root, and sshd (apt-get install openssh-server)')
        sys.exit(77)
    unittest.main()
