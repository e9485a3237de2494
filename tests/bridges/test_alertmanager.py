#!/usr/bin/python3
"""A real Alertmanager: Mend's incidents arrive there as alerts and end there, with the story of what was tried; its webhooks come back as signs
that a policy acts on. Skipped where prometheus-alertmanager is not installed."""
import json
import os
import shutil
import sys
import time
import unittest
import urllib.error
import urllib.request

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(FOLDER, '..', 'lib'))
import mendsite  # noqa: E402
from mendsite import BIN, wait_for  # noqa: E402
from sshserver import free_port  # noqa: E402

ALERTMANAGER = shutil.which('prometheus-alertmanager')
VM, OTHER = '6f1a2b3c-0000-4000-8000-000000000001', '6f1a2b3c-0000-4000-8000-000000000002'

POLICY = """
mend: 1
applications:
  - name: shop
    vms:
      - name: web
        match: {id: %s}
        services: [{name: front, standard: ocf, provider: test, agent: Svc}]
rules:
  - name: what an alert says
    on: service.failed
    where: entity.name == "alert.ShopSlow"
    ladder: [{do: app.restart, attempts: 1, within: 10m}]
  - {name: heal, on: service.failed, where: entity.name == "front" && event.intent == "none", ladder: [{do: service.restart, attempts: 1, within: 10m}]}
""" % VM

SVC = """#!/bin/sh
f=%s/$OCF_RESOURCE_INSTANCE
[ "$1" = monitor ] || echo "$1" >>"$f.log"
case $1 in
start) [ -e "$f.broken" ] && exit 1; : >"$f" ;;
stop) rm -f "$f" ;;
monitor) [ -e "$f" ] && exit 0; exit 7 ;;
*) exit 3 ;;
esac
"""


class Alertmanager(unittest.TestCase):
    def setUp(self):
        self.mend = mendsite.Site()
        self.addCleanup(lambda: self.mend.__exit__(AssertionError if mendsite.failed(self) else None, None, None))
        self.mend.broker('--anonymous')
        os.makedirs(self.mend.path('ocf/resource.d/test'))
        with open(self.mend.path('ocf/resource.d/test/Svc'), 'w') as script:
            script.write(SVC % self.mend.folder)
        os.chmod(script.name, 0o755)
        self.mend.write('front', '')
        self.mend.start('guest', os.path.join(BIN, 'mend-guest'), '--anonymous', '--broker', self.broker(), '--id', VM, '--data', self.mend.path('guest'),
                        '--ocf-root', self.mend.path('ocf'), '--heartbeat', '1s', '--service', 'ocf:test:Svc:front?interval=300ms')
        self.mend.policy('--policy', self.mend.write('policy.yaml', POLICY))
        self.listen = free_port()
        self.port = free_port()

    def broker(self):
        return 'amqp://127.0.0.1:%d' % self.mend.port

    def alertmanager(self):
        config = self.mend.write('alertmanager.yml', json.dumps({
            'route': {'receiver': 'mend', 'group_by': ['...'], 'group_wait': '100ms', 'group_interval': '200ms', 'repeat_interval': '1h'},
            'receivers': [{'name': 'mend', 'webhook_configs': [{'url': 'http://127.0.0.1:%d/alerts' % self.listen, 'send_resolved': True}]}]}))
        self.mend.start('alertmanager', ALERTMANAGER, '--config.file', config, '--storage.path', self.mend.path('am'), '--cluster.listen-address=',
                        '--web.listen-address', '127.0.0.1:%d' % self.port)
        wait_for('the Alertmanager', lambda: self.get('/-/ready') is not None, 30)

    def get(self, path):
        with urllib.request.urlopen('http://127.0.0.1:%d%s' % (self.port, path), timeout=5) as answer:
            return answer.read()

    def alerts(self):
        found = json.loads(self.get('/api/v2/alerts'))
        return {each['labels']['alertname']: each for each in found if each['labels']['alertname'].startswith('Mend')}

    def fire(self, ends=None, port=None):
        alert = {'labels': {'alertname': 'ShopSlow', 'severity': 'critical', 'host': 'web1'}, 'annotations': {'summary': 'the shop is slow'}}
        if ends:
            alert['endsAt'] = ends
        request = urllib.request.Request('http://127.0.0.1:%d/api/v2/alerts' % self.port, json.dumps([alert]).encode(), {'Content-Type': 'application/json'})
        urllib.request.urlopen(request, timeout=5).close()

    def bridge(self, *options):
        rules = self.mend.write('rules.yaml', """
vms: {web1: %s, web2: %s}
alerts:
  - {match: {alertname: "Mend*"}, ignore: true}
  - {match: {alertname: "Shop*"}, vm: "{host}", service: "alert.{alertname}"}
""" % (VM, OTHER))
        self.addCleanup(self.bridge_ends_well)
        self.mend.start('bridge', os.path.join(BIN, 'mend-bridge'), 'alertmanager', '--anonymous', '--broker', self.broker(), '--data', self.mend.path('b'),
                        '--alertmanager', 'http://127.0.0.1:%d' % self.port, '--interval', '500ms', '--label', 'site=north', '--heartbeat', '1s',
                        '--operator-credentials', self.operator(), '--listen', '127.0.0.1:%d' % self.listen, '--rules', rules, '--log', 'debug', *options)
        wait_for('the webhook', lambda: 'webhooks come in' in self.mend.log('bridge'), 20)

    def operator(self):
        return self.mend.write('operator.cred', 'user: operator\npassword: %s\nurl: %s\n' % (self.mend.password('operator'), self.broker()))

    def bridge_ends_well(self):
        if 'bridge' in self.mend.running:
            self.assertEqual(self.mend.stop('bridge'), 0, self.mend.log('bridge')[-3000:])

    def entity(self, path):
        return self.mend.entities().get(path, {})

    def test_incidents_are_told_and_end(self):
        self.alertmanager()
        self.bridge()
        wait_for('front', lambda: self.entity('service/%s/front' % VM).get('state') == 'running', 30)
        self.assertEqual(self.alerts(), {})
        self.mend.write('front.broken', '')
        os.unlink(self.mend.path('front'))
        alert = wait_for('the alert', lambda: self.alerts().get('MendNeedsHuman'), 60, 0.2)
        self.assertEqual((alert['labels']['vm'], alert['labels']['service'], alert['labels']['site']), (VM, 'front', 'north'))
        self.assertEqual(alert['labels']['severity'], 'critical')
        wait_for('its story', lambda: 'service.restart' in self.alerts()['MendNeedsHuman']['annotations'].get('description', ''), 30, 0.2)
        time.sleep(3)  # more than the time in which an alert that is not repeated ends
        self.assertIn('MendNeedsHuman', self.alerts())
        os.unlink(self.mend.path('front.broken'))
        self.mend.write('front', '')  # somebody has mended it
        wait_for('the end', lambda: 'MendNeedsHuman' not in self.alerts(), 60, 0.2)

    def test_an_alertmanager_that_is_not_there_is_told_later(self):
        self.bridge()
        wait_for('the guest', lambda: self.entity('service/%s/front' % VM).get('state') == 'running', 30)
        self.mend.write('front.broken', '')
        os.unlink(self.mend.path('front'))
        wait_for('the word', lambda: 'not told everywhere' in self.mend.log('bridge'), 30)
        self.alertmanager()
        wait_for('the alert', lambda: self.alerts().get('MendNeedsHuman'), 60, 0.2)
        wait_for('the word', lambda: 'are told again' in self.mend.log('bridge'), 30)

    def test_a_silent_engine_is_told(self):
        self.alertmanager()
        self.bridge()
        wait_for('front', lambda: self.entity('service/%s/front' % VM).get('state') == 'running', 30)
        self.mend.stop('policy', 9)
        alert = wait_for('the alert', lambda: self.alerts().get('MendPolicySilent'), 90, 0.2)
        self.assertEqual(alert['labels']['entity'], 'policy/main')
        self.mend.policy('--policy', self.mend.path('policy.yaml'))
        wait_for('its end', lambda: 'MendPolicySilent' not in self.alerts(), 60, 0.2)

    def test_an_alert_is_a_sign_that_a_policy_acts_on(self):
        self.alertmanager()
        self.bridge()
        wait_for('front', lambda: self.entity('service/%s/front' % VM).get('state') == 'running', 30)
        self.fire()
        sign = wait_for('the sign', lambda: self.entity('service/%s/alert.ShopSlow' % VM).get('state') == 'failed' and self.entity('service/%s/alert.ShopSlow' % VM), 30)
        self.assertIn('the shop is slow', sign['data']['reason'])
        wait_for('the restart', lambda: os.path.exists(self.mend.path('front.log')), 60)
        with open(self.mend.path('front.log')) as log:
            wait_for('both', lambda: log.seek(0) == 0 and log.read().split() == ['stop', 'start'], 30)
        self.bridge_ends_well()
        self.bridge()  # it still fires: that was kept
        self.assertEqual(self.entity('service/%s/alert.ShopSlow' % VM)['state'], 'failed')
        self.fire(ends=time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() - 1)))
        wait_for('its end', lambda: self.entity('service/%s/alert.ShopSlow' % VM).get('state') == 'running', 60)
        story = self.mend.mend('why', 'service/%s/alert.ShopSlow' % VM).stdout
        self.assertIn('app.restart', story)

    def post(self, body, **headers):
        request = urllib.request.Request('http://127.0.0.1:%d%s' % (self.listen, headers.pop('path', '/alerts')), body, headers, method=headers.pop('method', 'POST'))
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def test_webhooks_that_are_none(self):
        token = self.mend.write('token', 'secret\n')
        os.chmod(token, 0o600)
        self.bridge('--listen-token-file', token)
        good = json.dumps({'version': '4', 'alerts': [{'status': 'firing', 'labels': {'alertname': 'ShopSlow', 'host': 'web9'}, 'fingerprint': 'f'}]}).encode()
        for status, part, body, headers in (
                (401, 'a token is wanted', good, {}), (401, 'not the token', good, {'Authorization': 'Bearer wrong!'}),
                (400, 'body:1:1', b'{', {'Authorization': 'Bearer secret'}), (400, 'version', b'{}', {'Authorization': 'Bearer secret'}),
                (400, 'alerts[0]', b'{"version": "4", "alerts": [{}]}', {'Authorization': 'Bearer secret'}),
                (404, 'there is only /alerts', good, {'path': '/x', 'Authorization': 'Bearer secret'}),
                (200, '"unknown":1', good, {'Authorization': 'Bearer secret'})):
            said = self.post(body, **headers)
            self.assertEqual(said[0], status, said)
            self.assertIn(part.replace(' ', ''), said[1].replace(' ', ''))
        try:
            said = self.post(b' ' * (20 << 20), Authorization='Bearer secret')
            self.assertEqual(said[0], 413)
        except (urllib.error.URLError, ConnectionError):
            pass  # it did not read all that
        self.assertEqual(self.post(good, Authorization='Bearer secret')[0], 200)

    def test_open_to_others_needs_a_token(self):
        rules = self.mend.write('r.yaml', 'vms: {a: %s}\nalerts: [{match: {alertname: x}, ignore: true}]\n' % VM)
        process = self.mend.start('open', os.path.join(BIN, 'mend-bridge'), 'alertmanager', '--anonymous', '--data', self.mend.path('o'), '--listen', '0.0.0.0:0',
                                  '--rules', rules)
        self.assertEqual(process.wait(20), 1)
        self.assertIn('--token-file is needed', self.mend.log('open'))


if __name__ == '__main__':
    if ALERTMANAGER is None:
        print('skipped: no prometheus-alertmanager (apt-get install prometheus-alertmanager)')
        sys.exit(77)
    unittest.main()
