"""As much of Masakari's API as is notified, as strict as its schemas (masakari/api/openstack/ha/schemas/notifications.py, payload.py), with faults; and, where
Debian's packages of both are installed, Masakari's API itself behind a real Keystone, on sqlite."""
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAYLOADS = {
    'COMPUTE_HOST': {'event': ('STOPPED', 'STARTED'), 'cluster_status': ('ONLINE', 'OFFLINE'), 'host_status': ('NORMAL', 'UNKNOWN')},
    'PROCESS': {'event': ('STOPPED', 'STARTED'), 'process_name': re.compile(r'.{1,4096}', re.S)},
    'VM': {'event': re.compile(r'.{1,255}'), 'vir_domain_event': re.compile(r'.{1,255}'),
           'instance_uuid': re.compile(r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}')},
}


def wrong(body):
    """What its schema says against it; None: nothing."""
    notice = body.get('notification') if isinstance(body, dict) and list(body) == ['notification'] else None
    if not isinstance(notice, dict) or set(notice) != {'type', 'hostname', 'generated_time', 'payload'}:
        return 'notification: its members'
    rules = PAYLOADS.get(notice['type'])
    if rules is None or not re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?', notice['generated_time']):
        return 'type or generated_time'
    if set(notice['payload']) != set(rules):
        return 'payload: its members'
    for name, rule in rules.items():
        value = notice['payload'][name]
        if not isinstance(value, str) or not (value in rule if isinstance(rule, tuple) else rule.fullmatch(value)):
            return 'payload: ' + name
    return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    masakari = None

    def log_message(self, *_):
        pass

    def reply(self, status, text):
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def refuse(self, status, kind, message):
        self.reply(status, json.dumps({kind: {'code': status, 'message': message}}).encode())

    def do_POST(self):
        m = self.masakari
        text = self.rfile.read(int(self.headers['Content-Length']))
        fault = m.faults.pop(0) if m.faults else None
        m.asked += 1
        if self.headers.get('X-Auth-Token') not in m.keystone.tokens:
            return self.refuse(401, 'error', 'The request you have made requires authentication.')
        if fault == 'busy':
            return self.refuse(503, 'error', 'busy')
        problem = wrong(json.loads(text))
        notice = json.loads(text).get('notification')
        if self.path != '/v1/p1/notifications' or problem:
            m.problems.append(problem or self.path)
            return self.refuse(400, 'badRequest', problem)
        if notice['hostname'] not in m.hosts:
            return self.refuse(400, 'badRequest', 'Host with name %s could not be found.' % notice['hostname'])
        if notice in m.taken:
            return self.refuse(409, 'conflictingRequest', 'Notification received from host %s of type \'%s\' is duplicate.' % (notice['hostname'], notice['type']))
        m.taken.append(notice)
        if fault == 'gone':      # it is taken, and nobody hears of it
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        if fault == 'late':      # nobody waits so long
            time.sleep(12)
            self.close_connection = True
            return None
        if fault == 'malformed':
            self.close_connection = True
            return self.wfile.write(b'HTTP/1.1 202 Acc\r\nContent-Length: x\r\n\r\n{')
        return self.reply(202, json.dumps({'notification': dict(notice, status='new')}).encode())


class StandIn:
    def __init__(self, keystone):
        self.keystone, self.hosts, self.taken, self.problems, self.faults, self.asked = keystone, ['compute-1', 'compute-2'], [], [], [], 0
        self.http = ThreadingHTTPServer(('127.0.0.1', 0), type('Bound', (Handler,), {'masakari': self}))
        self.http.daemon_threads = True
        self.url = 'http://127.0.0.1:%d/v1/p1' % self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


# Debian's masakari 14 and its newer oslo.messaging disagree about one word of a context; nothing else of it is touched.
API = '''import sys
from masakari.context import RequestContext
set_it = RequestContext._set_read_deleted
RequestContext.read_deleted = property(RequestContext._get_read_deleted, lambda self, word: set_it(self, word or "no"))
from masakari.cmd.api import main
sys.argv[0] = "masakari-api"
sys.exit(main())
'''
SEGMENT, HOST = '22222222-0000-4000-8000-000000000002', '11111111-0000-4000-8000-000000000001'


def is_here():
    return all(shutil.which(each) for each in ('masakari-manage', 'masakari-api', 'keystone-manage', 'uwsgi_python3', 'keystone-wsgi-public'))


def free_port():
    with socket.socket() as one:
        one.bind(('127.0.0.1', 0))
        return one.getsockname()[1]


class Real:
    """Its engine does not run, and there is no Nova: what comes in stays "new", and a host is put into its database by hand."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []
        os.makedirs(os.path.join(folder, 'keys'))
        self.keystone, self.port = 'http://127.0.0.1:%d/v3' % free_port(), free_port()
        self.start_keystone()
        token, project = self.log_in()
        self.start_api()
        self.url, self.token = 'http://127.0.0.1:%d/v1/%s' % (self.port, project), token
        with sqlite3.connect(os.path.join(folder, 'masakari.db')) as db:
            db.execute("insert into failover_segments(created_at, uuid, name, service_type, recovery_method, enabled, deleted) "
                       "values (datetime('now'), ?, 's', 'COMPUTE', 'auto', 1, 0)", (SEGMENT,))
            db.execute("insert into hosts(created_at, uuid, name, reserved, type, control_attributes, failover_segment_id, on_maintenance, deleted) "
                       "values (datetime('now'), ?, 'compute-1', 0, 'COMPUTE', 'SSH', ?, 0, 0)", (HOST, SEGMENT))

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, 'w') as out:
            out.write(text)
        return path

    def run(self, *command):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr or done.stdout

    def start(self, name, *command, **more):
        with open(os.path.join(self.folder, name + '.out'), 'w') as out:
            self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.folder, env={
                **{name: value for name, value in os.environ.items() if not name.startswith('PYTHON')}, **more}))

    def start_keystone(self):
        path = self.write('keystone.conf', '[DEFAULT]\nlog_file = %(f)s/keystone.log\n[database]\nconnection = sqlite:///%(f)s/keystone.db\n[fernet_tokens]\n'
                          'key_repository = %(f)s/keys\n[credential]\nkey_repository = %(f)s/keys\n' % {'f': self.folder})
        manage = ('keystone-manage', '--config-file', path)
        self.run(*manage, 'db_sync')
        self.run(*manage, 'fernet_setup', '--keystone-user', 'root', '--keystone-group', 'root')
        self.run(*manage, 'bootstrap', '--bootstrap-password', 'secret', '--bootstrap-region-id', 'R',
                 *(word for side in ('public', 'internal', 'admin') for word in ('--bootstrap-%s-url' % side, self.keystone)))
        self.start('uwsgi', 'uwsgi_python3', '--http-socket', self.keystone[7:-3], '--wsgi-file', shutil.which('keystone-wsgi-public'), '--master', '--die-on-term',
                   '--buffer-size', '65535', '--need-app', OS_KEYSTONE_CONFIG_FILES=path)

    def start_api(self):
        path = self.write('masakari.conf', '''[DEFAULT]
state_path = %(f)s
log_file = %(f)s/masakari.log
masakari_api_listen = 127.0.0.1
masakari_api_listen_port = %(port)d
masakari_api_workers = 1
transport_url = fake://
[database]
connection = sqlite:///%(f)s/masakari.db
[keystone_authtoken]
www_authenticate_uri = %(keystone)s
auth_url = %(keystone)s
auth_type = password
username = admin
password = secret
project_name = admin
user_domain_id = default
project_domain_id = default
[oslo_concurrency]
lock_path = %(f)s
''' % {'f': self.folder, 'port': self.port, 'keystone': self.keystone})
        self.run('masakari-manage', '--config-file', path, 'db', 'sync')
        self.start('api', '/usr/bin/python3', '-c', API, '--config-file', path)

    def ask(self, url, body=None, **headers):
        request = urllib.request.Request(url, data=None if body is None else json.dumps(body).encode(), headers={'Content-Type': 'application/json', **headers})
        for again in range(300):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return answer.headers, json.loads(answer.read())
            except urllib.error.HTTPError as error:
                raise AssertionError('%s: %d %s' % (url, error.code, error.read()))
            except OSError:
                time.sleep(0.2) # it starts
        raise AssertionError(url + ' does not answer')

    def log_in(self):
        domain = {'domain': {'name': 'Default'}}
        headers, body = self.ask(self.keystone + '/auth/tokens', {'auth': {
            'identity': {'methods': ['password'], 'password': {'user': dict(domain, name='admin', password='secret')}},
            'scope': {'project': dict(domain, name='admin')}}})
        return headers['X-Subject-Token'], body['token']['project']['id']

    def credential(self):
        """An application credential of the admin's: id and secret."""
        user = self.ask(self.keystone + '/auth/tokens', **{'X-Auth-Token': self.token, 'X-Subject-Token': self.token})[1]['token']['user']['id']
        made = self.ask('%s/users/%s/application_credentials' % (self.keystone, user), {'application_credential': {'name': 'mend', 'roles': [{'name': 'admin'}]}},
                        **{'X-Auth-Token': self.token})[1]['application_credential']
        return made['id'], made['secret']

    def taken(self):
        return self.ask(self.url + '/notifications', **{'X-Auth-Token': self.token})[1]['notifications']

    def close(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(30)
