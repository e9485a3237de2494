#!/usr/bin/python3
"""An oVirt engine for tests: the part of its REST API, version 4, that a bridge meets, made after oVirt's published API model.

Strict where the real one is, and a little more: paths, verbs, content types, the fields of bodies and queries, logins, tokens, faults.
Values travel as the real one sends them: numbers and booleans of objects as text, times as milliseconds, lists under the singular name,
an empty list as {}. Time inside goes by `step` seconds, so that tests are quick.

    engine.py [--tls FOLDER]     prints the port; POST /control {"do": NAME, ...} calls a method of Engine
"""
import base64
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USER, PASSWORD = 'admin@internal', 'pa ss&wörd'
RUNNING = ('up', 'powering_up', 'paused', 'migrating', 'reboot_in_progress', 'powering_down', 'wait_for_launch', 'saving_state', 'not_responding')
ACTION = {'async', 'grace_period', 'correlation_id'}
FIELDS = {  # of each action's body, beside ACTION; nested names by dots
    'start': {'pause', 'volatile', 'vm.placement_policy.hosts.host.id', 'vm.placement_policy.affinity', 'use_cloud_init', 'filter'},
    'stop': {'force', 'reason'}, 'shutdown': {'force', 'reason'}, 'reboot': {'force'}, 'reset': set(), 'suspend': set(), 'cancelmigration': set(),
    'migrate': {'host.id', 'host.name', 'cluster.id', 'force', 'migrate_vms_in_affinity_closure'},
    'fence': {'fence_type', 'maintenance_after_restart'}, 'activate': set(), 'deactivate': {'reason', 'stop_gluster_service'},
}
EVENT = {'origin', 'severity', 'custom_id', 'description', 'flood_rate', 'custom_data', 'vm.id', 'host.id', 'cluster.id', 'data_center.id',
         'storage_domain.id', 'template.id', 'user.id', 'log_on_host'}


class Fault(Exception):
    def __init__(self, status, reason=None, detail=None):
        self.status, self.reason, self.detail = status, reason, detail


def as_text(value):
    """Numbers and booleans of objects as the real engine writes them."""
    if isinstance(value, dict):
        return {key: item if key.endswith('time') else as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, (int, float)) else value


def names_in(body, before=''):
    for key, value in body.items():
        if isinstance(value, dict):
            yield from names_in(value, before + key + '.')
        elif isinstance(value, list):
            for item in value:
                yield from names_in(item, before + key + '.')
        else:
            yield before + key


class Engine:
    """What the engine knows. Every change is made under the lock."""

    def __init__(self, step=0.1):
        self.lock = threading.RLock()
        self.step = step
        self.vms, self.hosts, self.events, self.tokens = {}, {}, [], set()
        self.requests, self.logins, self.faults = [], 0, []
        self.password, self.sso, self.down, self.sort_events = PASSWORD, True, False, True
        self.cluster = str(uuid.UUID(int=0xc1))
        self.first_event = 1000

    # -- what tests do ---------------------------------------------------------------------------------------------------------------

    def add_host(self, id, name, power=True):
        with self.lock:
            self.hosts[id] = {'id': id, 'href': '/ovirt-engine/api/hosts/' + id, 'name': name, 'address': name + '.example.org', 'status': 'up',
                              'memory': 64 << 30, 'max_scheduling_memory': 60 << 30, 'type': 'rhel', 'boot': 1700000000,
                              'cpu': {'topology': {'cores': 8, 'sockets': 2, 'threads': 1}}, 'cluster': {'id': self.cluster},
                              'power_management': {'enabled': power, 'kdump_detection': True, 'automatic_pm_enabled': False},
                              'summary': {'active': 0, 'migrating': 0, 'total': 0}}

    def add_vm(self, id, name, host=None, ha=False, lease=None, status=None):
        with self.lock:
            vm = {'id': id, 'href': '/ovirt-engine/api/vms/' + id, 'name': name, 'status': status or ('up' if host else 'down'), 'memory': 2 << 30,
                  'cpu': {'topology': {'cores': 2, 'sockets': 1, 'threads': 1}}, 'cluster': {'id': self.cluster}, 'fqdn': name + '.example.org',
                  'high_availability': {'enabled': ha, 'priority': 50}, 'placement_policy': {'affinity': 'migratable'},
                  'storage_error_resume_behaviour': 'auto_resume', 'start_time': 1700000000000, 'creation_time': 1690000000000}
            if host:
                vm['host'] = {'id': host, 'href': '/ovirt-engine/api/hosts/' + host}
            if lease:
                vm['lease'] = {'storage_domain': {'id': lease}}
            self.vms[id] = vm

    def event(self, code, description, vm=None, host=None, severity='normal', origin='oVirt', custom_id=-1, user=None):
        with self.lock:
            number = self.first_event + len(self.events)
            event = {'id': str(number), 'href': '/ovirt-engine/api/events/%d' % number, 'code': code, 'description': description, 'origin': origin,
                     'custom_id': custom_id, 'flood_rate': 30, 'severity': severity, 'time': int(time.time() * 1000), 'index': number}
            for key, value in (('vm', vm), ('host', host), ('user', user)):
                if value:
                    event[key] = {'id': value, 'href': '/ovirt-engine/api/%ss/%s' % (key, value)}
            self.events.append(event)
            return event

    def crash(self, vm, text='Lost connection with qemu process'):
        with self.lock:
            self.go_down(vm)
            self.event(119, 'VM %s is down with error. Exit message: %s.' % (self.vms[vm]['name'], text), vm=vm, severity='error')

    def user_stop(self, vm):
        with self.lock:
            self.event(33, 'VM %s powered off by admin@internal-authz (Host: x).' % self.vms[vm]['name'], vm=vm, user=str(uuid.UUID(int=7)))
            self.go_down(vm)
            self.event(61, 'VM %s is down. Exit message: Admin shut down from the engine' % self.vms[vm]['name'], vm=vm)

    def guest_shutdown(self, vm):
        with self.lock:
            self.go_down(vm)
            self.event(61, 'VM %s is down. Exit message: User shut down from within the guest' % self.vms[vm]['name'], vm=vm)

    def host_silent(self, host, status='non_responsive'):
        with self.lock:
            self.hosts[host]['status'] = status
            self.event(9027 if status == 'non_responsive' else 9027, 'Host %s is not responding.' % self.hosts[host]['name'], host=host, severity='alert')
            for vm in self.vms.values():
                if vm.get('host', {}).get('id') == host:
                    vm['status'] = 'unknown'
                    self.event(142, 'VM %s was set to the Unknown status.' % vm['name'], vm=vm['id'], severity='warning')

    def host_off(self, host):
        with self.lock:
            self.hosts[host]['status'] = 'down'
            self.hosts[host]['power'] = 'off'
            for vm in list(self.vms.values()):
                if vm.get('host', {}).get('id') == host:
                    self.go_down(vm['id'])
                    self.event(143, 'Vm %s was shut down due to %s host reboot or manual fence' % (vm['name'], self.hosts[host]['name']), vm=vm['id'],
                               severity='warning')

    def host_up(self, host):
        with self.lock:
            self.hosts[host].update(status='up', power='on', boot=self.hosts[host]['boot'] + 3600)
            self.event(14, 'Host %s was recovered.' % self.hosts[host]['name'], host=host)

    def set_vm(self, vm, **fields):
        with self.lock:
            self.vms[vm].update(fields)

    def set_host(self, host, **fields):
        with self.lock:
            self.hosts[host].update(fields)

    def set_engine(self, **fields):
        with self.lock:
            for key, value in fields.items():
                setattr(self, key, value)

    def expire(self):
        with self.lock:
            self.tokens.clear()

    def fault(self, where, what, times=1, seconds=0.0, status=500):
        """@where: part of "VERB PATH". @what: cut (done, then cut) lost (cut, not done) malformed late status empty big."""
        with self.lock:
            self.faults.append({'where': where, 'what': what, 'times': times, 'seconds': seconds, 'status': status})

    def asked(self, word):
        with self.lock:
            return [each for each in self.requests if word in each]

    def posted(self):
        with self.lock:
            return [each for each in self.events if each['origin'] != 'oVirt']

    def show(self):
        with self.lock:
            return {'vms': self.vms, 'hosts': self.hosts, 'logins': self.logins}

    # -- what happens ------------------------------------------------------------------------------------------------------------------

    def go_down(self, vm):
        self.vms[vm].update(status='down', stop_time=int(time.time() * 1000))
        self.vms[vm].pop('host', None)

    def later(self, steps, fn, *arguments):
        def run():
            with self.lock:
                fn(*arguments)
        timer = threading.Timer(steps * self.step, run)
        timer.daemon = True
        timer.start()

    def move_on(self, vm, expected, **fields):
        """The next stage, unless something else came between."""
        if self.vms[vm]['status'] == expected:
            self.vms[vm].update(fields)
            return True
        return False

    def vm_start(self, vm, body):
        v = self.vms[vm]
        name, wanted = v['name'], [each['id'] for each in body.get('vm', {}).get('placement_policy', {}).get('hosts', {}).get('host', [])]
        if v['status'] == 'paused':
            v['status'] = 'up'
            return
        if v['status'] in RUNNING:
            raise Fault(409, 'Operation Failed', '[Cannot run VM. VM is running.]')
        if v['status'] == 'image_locked':
            raise Fault(409, 'Operation Failed', '[Cannot run VM: VM is locked. Please try again in a few minutes.]')
        if v['status'] not in ('down', 'suspended'):
            raise Fault(409, 'Operation Failed', '[Cannot run VM. VM is in %s state.]' % v['status'])
        if any(each not in self.hosts for each in wanted):
            raise Fault(404, 'Operation Failed', 'Entity not found: host')
        up = [each for each in (wanted or sorted(self.hosts)) if self.hosts[each]['status'] == 'up']
        if not up:
            raise Fault(409, 'Operation Failed', '[Cannot run VM. There is no host that satisfies current scheduling constraints.]')
        v.update(status='wait_for_launch', host={'id': up[0], 'href': '/ovirt-engine/api/hosts/' + up[0]}, start_time=int(time.time() * 1000))
        self.event(153, 'VM %s was started by admin@internal-authz (Host: %s).' % (name, self.hosts[up[0]]['name']), vm=vm, host=up[0])

        def boot():
            if self.move_on(vm, 'wait_for_launch', status='powering_up'):
                self.later(1, lambda: self.move_on(vm, 'powering_up', status='up') and self.event(32, 'VM %s started' % name, vm=vm))
        self.later(1, boot)

    def vm_stop(self, vm, body):
        if self.vms[vm]['status'] in ('down', 'suspended'):
            raise Fault(409, 'Operation Failed', '[Cannot stop VM. VM is not running.]')
        self.event(33, 'VM %s powered off by admin@internal-authz.' % self.vms[vm]['name'], vm=vm, user=str(uuid.UUID(int=7)))
        self.vms[vm]['status'] = 'powering_down'
        self.later(1, lambda: self.vms[vm]['status'] == 'powering_down' and self.end_of(vm, 'Admin shut down from the engine'))

    def end_of(self, vm, text):
        self.go_down(vm)
        self.event(61, 'VM %s is down. Exit message: %s' % (self.vms[vm]['name'], text), vm=vm)

    def vm_shutdown(self, vm, body):
        if self.vms[vm]['status'] not in ('up', 'powering_up', 'reboot_in_progress', 'powering_down'):
            raise Fault(409, 'Operation Failed', '[Cannot shutdown VM. VM is not running.]')
        self.event(73, 'VM shutdown initiated by admin@internal-authz on VM %s.' % self.vms[vm]['name'], vm=vm, user=str(uuid.UUID(int=7)))
        self.vms[vm]['status'] = 'powering_down'
        self.later(2, lambda: self.vms[vm]['status'] == 'powering_down' and self.end_of(vm, 'User shut down from within the guest'))

    def vm_reboot(self, vm, body):
        if self.vms[vm]['status'] not in ('up', 'powering_up'):
            raise Fault(409, 'Operation Failed', '[Cannot reboot VM. VM is not up.]')
        self.event(157, 'User admin@internal-authz initiated reboot of VM %s.' % self.vms[vm]['name'], vm=vm)
        self.vms[vm]['status'] = 'reboot_in_progress'
        self.later(3, lambda: self.move_on(vm, 'reboot_in_progress', status='up'))

    vm_reset = vm_reboot

    def vm_suspend(self, vm, body):
        if self.vms[vm]['status'] != 'up':
            raise Fault(409, 'Operation Failed', '[Cannot suspend VM. VM is not up.]')
        self.event(501, 'Suspending VM %s was initiated by User admin@internal-authz.' % self.vms[vm]['name'], vm=vm)
        self.vms[vm]['status'] = 'saving_state'

        def saved():
            if self.move_on(vm, 'saving_state', status='suspended'):
                self.vms[vm].pop('host', None)
                self.event(503, 'VM %s is suspended' % self.vms[vm]['name'], vm=vm)
        self.later(1, saved)

    def vm_migrate(self, vm, body):
        v, to = self.vms[vm], body.get('host', {}).get('id')
        if v['status'] != 'up':
            raise Fault(409, 'Operation Failed', '[Cannot migrate VM. VM is not running.]')
        others = [each for each in sorted(self.hosts) if each != v['host']['id'] and self.hosts[each]['status'] == 'up' and to in (None, each)]
        if not others:
            raise Fault(409, 'Operation Failed', '[Cannot migrate VM. There is no host that satisfies current scheduling constraints.]')
        v['status'] = 'migrating'
        self.event(62, 'Migration started (VM: %s).' % v['name'], vm=vm, host=v['host']['id'])

        def arrived():
            if self.move_on(vm, 'migrating', status='up', host={'id': others[0], 'href': '/ovirt-engine/api/hosts/' + others[0]}):
                self.event(63, 'Migration completed (VM: %s).' % v['name'], vm=vm, host=others[0])
        self.later(10, arrived)

    def vm_cancelmigration(self, vm, body):
        if self.vms[vm]['status'] != 'migrating':
            raise Fault(409, 'Operation Failed', '[Cannot cancel migration of a VM that does not migrate.]')
        self.vms[vm]['status'] = 'up'
        self.event(161, 'Migration of VM %s cancelled.' % self.vms[vm]['name'], vm=vm)

    def host_fence(self, host, body):
        h, kind = self.hosts[host], body.get('fence_type')
        if kind not in ('start', 'stop', 'restart', 'status', 'manual'):
            raise Fault(400, 'Incomplete parameters', 'Action [fenceType] required for fence')
        if kind != 'manual' and not h['power_management']['enabled']:
            raise Fault(409, 'Operation Failed', '[Cannot %s Host. Power Management is not enabled on this Host.]' % kind)
        if kind == 'stop':
            if h['status'] == 'up':
                raise Fault(409, 'Operation Failed', '[Cannot stop Host. Host is not in maintenance or not responding.]')
            self.later(2, self.host_off, host)
        elif kind == 'manual':
            self.host_off(host)
        elif kind in ('start', 'restart'):
            self.later(2, self.host_up, host)
        return {'power_management': {'status': h.get('power', 'on')}}

    def act(self, kind, id, verb, body):
        answer = getattr(self, kind + '_' + verb)(id, body)
        return dict(answer or {}, status='complete', job={'id': str(uuid.uuid4())})

    def list_events(self, query):
        chosen = [each for each in self.events if int(each['id']) > int(query.get('from', 0))]
        if not self.sort_events or query.get('search') != 'sortby time asc':
            chosen.reverse()
        return chosen[:int(query['max'])] if 'max' in query else chosen

    def add_event(self, body):
        for name in ('origin', 'severity', 'custom_id', 'description'):
            if name not in body:
                raise Fault(400, 'Incomplete parameters', 'Event [%s] required for add' % name)
        if body['severity'] not in ('normal', 'warning', 'error', 'alert') or not 0 <= int(body['custom_id']) < 1 << 31:
            raise Fault(400, 'Invalid value', 'Event severity or custom_id')
        if any((each['origin'], each['custom_id']) == (body['origin'], int(body['custom_id'])) for each in self.events):
            raise Fault(409, 'Operation Failed', '[Cannot add External Event. Event with the same custom_id exists.]')
        for kind, known in (('vm', self.vms), ('host', self.hosts)):
            if kind in body and body[kind]['id'] not in known:
                raise Fault(404, 'Operation Failed', 'Entity not found: ' + kind)
        return self.event(9801, body['description'], vm=body.get('vm', {}).get('id'), host=body.get('host', {}).get('id'), severity=body['severity'],
                          origin=body['origin'], custom_id=int(body['custom_id']))


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    engine = None

    def log_message(self, *_):
        pass

    def reply(self, status, body=None, kind='application/json', headers=()):
        data = body if isinstance(body, bytes) else b'' if body is None else json.dumps(body).encode()
        self.send_response(status)
        if data:
            self.send_header('Content-Type', kind)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self):
        return self.rfile.read(int(self.headers.get('Content-Length') or 0))

    def login(self):
        form = dict(urllib.parse.parse_qsl(self.body().decode(), strict_parsing=True))
        if self.headers.get_content_type() != 'application/x-www-form-urlencoded' or form.get('grant_type') != 'password':
            return self.reply(400, {'error': 'unsupported_grant_type', 'error_description': 'grant_type'})
        if form.get('scope') != 'ovirt-app-api':
            return self.reply(400, {'error': 'invalid_request', 'error_description': 'scope'})
        self.engine.logins += 1
        if (form.get('username'), form.get('password')) != (USER, self.engine.password):
            return self.reply(401, {'error': 'access_denied', 'error_code': 'access_denied',
                                    'error_description': "Cannot authenticate user '%s': The user name or password is incorrect.." % form.get('username')})
        token = uuid.uuid4().hex
        self.engine.tokens.add(token)
        return self.reply(200, {'access_token': token, 'scope': 'ovirt-app-api', 'exp': '9223372036854775807', 'token_type': 'bearer'})

    def authorize(self):
        scheme, _, value = (self.headers.get('Authorization') or '').partition(' ')
        if scheme == 'Bearer' and value in self.engine.tokens:
            return
        if scheme == 'Basic' and base64.b64decode(value).decode() == '%s:%s' % (USER, self.engine.password):
            return
        raise Fault(401)

    def parsed(self, allowed):
        if self.headers.get_content_type() != 'application/json':
            raise Fault(415, 'Unsupported media type', self.headers.get_content_type())
        try:
            body = json.loads(self.body())
        except ValueError:
            raise Fault(400, 'Invalid value', 'the body is no JSON')
        if not isinstance(body, dict):
            raise Fault(400, 'Invalid value', 'the body is no object')
        for name in names_in(body):
            if name not in allowed:
                raise Fault(400, 'Request syntactically incorrect.', 'unknown attribute: ' + name)
        return body

    def query(self, text, allowed):
        query = dict(urllib.parse.parse_qsl(text, strict_parsing=bool(text)))
        for name in query:
            if name not in allowed:
                raise Fault(400, 'Invalid value', 'unknown parameter: ' + name)
        return query

    def route(self, path, query):
        """(status, object) of a request that is authorized."""
        e = self.engine
        routes = (
            (r'', {'GET': lambda: (200, {'product_info': {'name': 'oVirt Engine', 'version': {'major': 4, 'minor': 5, 'full_version': '4.5.4'}}})}),
            (r'/vms', {'GET': lambda: (self.query(query, {'search', 'max', 'case_sensitive', 'follow', 'all_content'}), (200, listed('vm', e.vms)))[1]}),
            (r'/vms/([^/]+)', {'GET': lambda id: (200, found(e.vms, id))}),
            (r'/vms/([^/]+)/statistics', {'GET': lambda id: (200, found(e.vms, id) and statistics(('migration.progress', 'percent', 45)))}),
            (r'/vms/([^/]+)/(start|stop|shutdown|reboot|reset|suspend|migrate|cancelmigration)',
             {'POST': lambda id, verb: (found(e.vms, id), (200, e.act('vm', id, verb, self.parsed(FIELDS[verb] | ACTION))))[1]}),
            (r'/hosts', {'GET': lambda: (self.query(query, {'search', 'max', 'follow', 'all_content'}), (200, listed('host', e.hosts)))[1]}),
            (r'/hosts/([^/]+)', {'GET': lambda id: (200, found(e.hosts, id))}),
            (r'/hosts/([^/]+)/statistics', {'GET': lambda id: (200, statistics(('boot.time', 'none', found(e.hosts, id)['boot'])))}),
            (r'/hosts/([^/]+)/(fence)', {'POST': lambda id, verb: (found(e.hosts, id), (200, e.act('host', id, verb, self.parsed(FIELDS[verb] | ACTION))))[1]}),
            (r'/events', {'GET': lambda: (200, {'event': e.list_events(self.query(query, {'from', 'max', 'search', 'case_sensitive'}))}),
                          'POST': lambda: (201, e.add_event(self.parsed(EVENT)))}),
        )
        for pattern, verbs in routes:
            match = re.fullmatch(pattern, path)
            if match is None:
                continue
            if self.command not in verbs:
                raise Fault(405)
            return verbs[self.command](*match.groups())
        raise Fault(404)

    def answer(self):
        parts = urllib.parse.urlsplit(self.path)
        if parts.path == '/ovirt-engine/sso/oauth/token' and self.engine.sso:
            return self.login() if self.command == 'POST' else self.reply(405)
        if not re.match(r'/ovirt-engine/api(/|$)', parts.path):
            return self.reply(404, b'<html><body>Not Found</body></html>', 'text/html')
        try:
            self.authorize()
            if self.headers.get('Accept') != 'application/json' or self.headers.get('Version', '4') != '4':
                raise Fault(406)
            status, body = self.route(parts.path[len('/ovirt-engine/api'):], parts.query)
        except Fault as fault:
            self.body_unread()
            named = {'reason': fault.reason, 'detail': fault.detail} if fault.reason else None
            return self.reply(fault.status, named, headers=[('WWW-Authenticate', 'Basic realm="RESTAPI"')] if fault.status == 401 else ())
        body = {key: value for key, value in body.items() if value != []}
        for hidden in ('boot', 'power'):
            body.pop(hidden, None)
        return self.reply(status, as_text(body))

    def body_unread(self):
        self.close_connection = True  # what was not read must not be taken for the next request

    def cut(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def serve(self):
        e = self.engine
        if self.path == '/control':
            wish = json.loads(self.body())
            return self.reply(200, {'result': getattr(e, wish.pop('do'))(**wish)})
        asked = '%s %s' % (self.command, self.path)
        with e.lock:
            e.requests.append(asked)
            fault = next((each for each in e.faults if each['where'] in asked and each['times'] > 0), None)
            if fault:
                fault['times'] -= 1
        what = fault['what'] if fault else None
        if e.down or what == 'lost':
            return self.cut()
        if what == 'late':
            time.sleep(fault['seconds'])
        if what == 'status':
            self.body()
            return self.reply(fault['status'], b'<html>sorry</html>', 'text/html')
        if what in ('malformed', 'empty', 'big'):
            self.body()
            return self.reply(200, {'malformed': b'{"vm": [{"id": ', 'empty': b'', 'big': b' ' * (80 << 20)}[what])
        if what == 'cut':
            self.wfile = open(os.devnull, 'wb')
        with e.lock:
            self.answer()
        if what == 'cut':
            self.cut()
        return None

    def do_any(self):
        try:
            self.serve()
        except (BrokenPipeError, ConnectionError, ssl.SSLError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_any


def found(known, id):
    if id not in known:
        raise Fault(404)
    return dict(known[id])


def listed(name, known):
    return {name: [{key: value for key, value in each.items() if key not in ('boot', 'power')} for each in known.values()]}


def statistics(*rows):
    return {'statistic': [{'id': str(uuid.uuid5(uuid.NAMESPACE_DNS, name)), 'name': name, 'unit': unit, 'kind': 'gauge', 'type': 'integer',
                           'values': {'value': [{'datum': datum}]}} for name, unit, datum in rows]}


def make_certificates(folder):
    """ca.pem, and key.pem and cert.pem of 127.0.0.1 by it."""
    def openssl(*arguments):
        subprocess.run(('openssl', *arguments), check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    new = ('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes')
    openssl(*new, '-x509', '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=test engine CA')
    openssl(*new, '-keyout', 'key.pem', '-out', 'cert.csr', '-subj', '/CN=127.0.0.1')
    with open(os.path.join(folder, 'ext'), 'w') as ext:
        ext.write('subjectAltName=IP:127.0.0.1\n')
    openssl('x509', '-req', '-in', 'cert.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-out', 'cert.pem', '-days', '2', '-extfile', 'ext')


class Server:
    """An Engine behind HTTP, or HTTPS with certificates in @tls."""

    def __init__(self, engine=None, tls=None, port=0):
        self.engine = engine or Engine()
        handler = type('Bound', (Handler,), {'engine': self.engine})
        self.http = ThreadingHTTPServer(('127.0.0.1', port), handler)
        self.http.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(os.path.join(tls, 'cert.pem'), os.path.join(tls, 'key.pem'))
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.http.server_address[1]
        self.url = '%s://127.0.0.1:%d/ovirt-engine' % ('https' if tls else 'http', self.port)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True)
        self.thread.start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


def main():
    tls = sys.argv[2] if sys.argv[1:2] == ['--tls'] else None
    if tls:
        make_certificates(tls)
    server = Server(tls=tls)
    print(server.port, flush=True)
    sys.stdin.read()  # until whoever started it is gone


if __name__ == '__main__':
    main()
