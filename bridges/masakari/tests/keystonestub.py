"""As much of Keystone (Identity API v3) as OpenStack's clients ask for: a password becomes a token with a catalog, a token tells whose it is."""
import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USERS = {'monitor': ('secret', 'admin'), 'guest': ('guest', 'reader')}


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    keystone = None

    def log_message(self, *_):
        pass

    def reply(self, status, body, *headers):
        text = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (('Content-Type', 'application/json'), ('Content-Length', str(len(text))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def told(self, user):
        catalog = [{'type': kind, 'name': kind, 'id': kind, 'endpoints': [
            {'id': kind + side, 'interface': side, 'region': 'RegionOne', 'region_id': 'RegionOne', 'url': url} for side in ('public', 'internal')]}
            for kind, url in (('instance-ha', self.keystone.masakari), ('identity', self.keystone.url))]
        return {'token': {'methods': ['password'], 'user': {'id': user, 'name': user, 'domain': {'id': 'default', 'name': 'Default'}},
                          'roles': [{'id': 'r', 'name': USERS[user][1]}], 'project': {'id': 'p1', 'name': 'service', 'domain': {'id': 'default', 'name': 'Default'}},
                          'issued_at': '2026-01-01T00:00:00.000000Z', 'expires_at': '2099-01-01T00:00:00.000000Z', 'catalog': catalog, 'audit_ids': ['a'], 'is_domain': False}}

    def do_GET(self):
        path = self.path.partition('?')[0]
        if path in ('/', '/v3', '/v3/'):
            version = {'id': 'v3.14', 'status': 'stable', 'updated': '2020-04-07T00:00:00Z', 'links': [{'rel': 'self', 'href': self.keystone.url + '/'}],
                       'media-types': [{'base': 'application/json', 'type': 'application/vnd.openstack.identity-v3+json'}]}
            return self.reply(300 if path == '/' else 200, {'versions': {'values': [version]}} if path == '/' else {'version': version})
        self.keystone.asked += 1
        if self.keystone.down:
            return self.reply(503, {'error': {'code': 503}})
        user = self.keystone.tokens.get(self.headers.get('X-Auth-Token'))
        if path != '/v3/auth/tokens' or user is None:
            return self.reply(401 if user is None else 404, {'error': {'code': 401, 'message': 'The request you have made requires authentication.'}})
        if self.headers.get('X-Subject-Token') != self.headers.get('X-Auth-Token'):
            return self.reply(403, {'error': {'code': 403, 'message': 'only its own'}})
        return self.reply(200, self.told(user))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        self.keystone.logins += 1
        user = body['auth']['identity']['password']['user']
        if USERS.get(user['name'], (None,))[0] != user['password']:
            return self.reply(401, {'error': {'code': 401}})
        return self.reply(201, self.told(user['name']), ('X-Subject-Token', self.keystone.token(user['name'])))


class Keystone:
    def __init__(self):
        self.tokens, self.asked, self.logins, self.down, self.masakari = {}, 0, 0, False, ''
        self.http = ThreadingHTTPServer(('127.0.0.1', 0), type('Bound', (Handler,), {'keystone': self}))
        self.http.daemon_threads = True
        self.url = 'http://127.0.0.1:%d/v3' % self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True).start()

    def token(self, user):
        token = uuid.uuid4().hex
        self.tokens[token] = user
        return token

    def close(self):
        self.http.shutdown()
        self.http.server_close()
