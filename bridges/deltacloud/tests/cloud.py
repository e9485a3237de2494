#!/usr/bin/python3
"""A Deltacloud server for tests: the part of its REST API, version 1.1, that a bridge meets, made after its published API and what Apache
Deltacloud 1.1.3 answers with its mock driver.

Strict where the real one is: paths, verbs, Basic authentication, Accept, and actions, which are taken only while an instance offers them
(405). Unlike the mock driver its instances can take a time for each step, as those of real clouds do.
"""
import base64
import io
import json
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USER, PASSWORD = 'mockuser', 'mock:pa ss&wörd'
# driver -> state -> action -> (states on the way …, where it ends)
DRIVERS = {
    'mock': {'RUNNING': {'reboot': ('RUNNING',), 'stop': ('STOPPED',)}, 'STOPPED': {'start': ('RUNNING',), 'destroy': ()}},
    'ec2': {'RUNNING': {'reboot': ('RUNNING',), 'stop': ('STOPPING', 'STOPPED')}, 'STOPPED': {'start': ('PENDING', 'RUNNING'), 'destroy': ('FINISH',)}},
    'rhevm': {'RUNNING': {'stop': ('STOPPING', 'STOPPED')}, 'STOPPED': {'start': ('PENDING', 'RUNNING'), 'destroy': ()}},
}
METHODS = {'start': 'POST', 'stop': 'POST', 'reboot': 'POST', 'destroy': 'DELETE'}
ERRORS = {400: ('Bad Request', 'ValidationFailure'), 401: ('Unauthorized', 'AuthenticationFailure'), 403: ('Forbidden', 'ForbiddenError'),
          404: ('Not Found', 'ObjectNotFound'), 405: ('Method Not Allowed', 'MethodNotAllowed'), 502: ('Bad Gateway', 'ProviderError')}


class Fault(Exception):
    pass


class Cloud:
    """What the cloud knows. Every change is made under the lock."""

    def __init__(self, driver='mock', step=0.0):
        self.lock = threading.RLock()
        self.driver, self.step = driver, step
        self.instances, self.requests, self.done, self.faults = {}, [], [], []
        self.password, self.down, self.redirects = PASSWORD, False, False

    # -- what tests do ---------------------------------------------------------------------------------------------------------------

    def add(self, id, name, state='RUNNING', address=None):
        with self.lock:
            self.instances[id] = {'name': name, 'state': state, 'ahead': [], 'address': address or (name + '.public.example.org', 'hostname'), 'offers': None,
                                  'fleeting': False}

    def become(self, id, state, offers=None):
        """By itself, or by a person's hand: the API does not say which."""
        with self.lock:
            self.instances[id].update(state=state, ahead=[], offers=offers)

    def end_once_seen(self, id):
        """It ends as soon as somebody who asked for it alone saw it run."""
        with self.lock:
            self.instances[id]['fleeting'] = True

    def remove(self, id):
        with self.lock:
            del self.instances[id]

    def set(self, **fields):
        with self.lock:
            for key, value in fields.items():
                setattr(self, key, value)

    def fault(self, where, what, times=1, seconds=0.0, status=500):
        """@where: part of "VERB PATH". @what: lost (cut, not done) cut (done, then cut) late (done after, and answered then)
        slow (done, answered late) garbled (done, answered with half an object) malformed empty big list status (not done)."""
        with self.lock:
            self.faults.append({'where': where, 'what': what, 'times': times, 'seconds': seconds, 'status': status})

    def asked(self, word):
        with self.lock:
            return [each for each in self.requests if word in each]

    def did(self, action, id):
        with self.lock:
            return self.done.count((action, id))

    def state(self, id):
        with self.lock:
            return self.settled(id)['state']

    # -- what happens ------------------------------------------------------------------------------------------------------------------

    def settled(self, id):
        instance = self.instances[id]
        while instance['ahead'] and instance['ahead'][0][0] <= time.monotonic():
            instance['state'] = instance['ahead'].pop(0)[1]
        return instance

    def offers(self, id):
        instance = self.settled(id)
        return sorted(DRIVERS[self.driver].get(instance['state'], {})) if instance['offers'] is None else instance['offers']

    def act(self, id, action):
        if id not in self.instances:
            raise Fault(404 if action == 'destroy' and self.driver == 'rhevm' else 403)
        if action not in self.offers(id):
            raise Fault(405)
        self.done.append((action, id))
        steps = DRIVERS[self.driver].get(self.instances[id]['state'], {}).get(action, ('RUNNING',) if action in ('start', 'reboot') else ('STOPPED',))
        if not steps:
            del self.instances[id]
            return
        now = time.monotonic()
        self.instances[id].update(state=steps[0], offers=None, ahead=[(now + self.step * (i + 1), state) for i, state in enumerate(steps[1:])])

    def shown(self, id, base):
        instance, href = self.settled(id), '%s/instances/%s' % (base, id)
        address, kind = instance['address']
        actions = [{'href': href if each == 'destroy' else href + '/' + each, 'rel': each, 'method': METHODS[each].lower()} for each in self.offers(id)]
        return {'id': id, 'href': href, 'name': instance['name'], 'state': instance['state'], 'owner': USER,
                'image': {'href': base + '/images/img3', 'id': 'img3', 'rel': 'image'}, 'realm': {'href': base + '/realms/us', 'id': 'us', 'rel': 'realm'},
                'actions': actions + [{'href': '%s/run;id=%s' % (href, id), 'rel': 'run', 'method': 'post'}],
                'hardware_profile': {'id': 'm1-small', 'href': base + '/hardware_profiles/m1-small', 'rel': 'hardware_profile', 'properties': {}},
                'public_addresses': [{'address': address, 'type': kind}], 'private_addresses': [], 'storage_volumes': [], 'authentication_type': 'key'}


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    cloud = None

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except ConnectionError:
            pass  # whoever asked was killed

    def reply(self, status, body=None, kind='application/json', headers=()):
        data = body if isinstance(body, bytes) else b'' if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header('Server', 'Apache-Deltacloud/1.1.3')
        if data:
            self.send_header('Content-Type', kind)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def authorize(self):
        scheme, _, value = (self.headers.get('Authorization') or '').partition(' ')
        if scheme != 'Basic' or base64.b64decode(value).decode() != '%s:%s' % (USER, self.cloud.password):
            raise Fault(401)

    def answer(self):
        cloud, base = self.cloud, 'http://%s/api' % self.headers['Host']
        match = re.fullmatch(r'/api/instances(?:/([^/?]+)(?:/(start|stop|reboot))?)?', self.path)
        try:
            self.authorize()
            if self.headers.get('Accept') != 'application/json':
                return self.reply(406)
            if match is None:
                raise Fault(404)
            id, action = match.groups()
            if id is not None and re.search(r'[^A-Za-z0-9_.~%:-]', id):
                raise Fault(400)
            id = id and re.sub('%([0-9A-Fa-f]{2})', lambda hexed: chr(int(hexed.group(1), 16)), id)
            action = 'destroy' if action is None and self.command == 'DELETE' and id else action
            if self.command != METHODS.get(action, 'GET'):
                raise Fault(405)
            if action:
                cloud.act(id, action)
                if action == 'destroy':
                    return self.reply(204)
                if cloud.redirects:  # drivers whose actions return no instance
                    return self.reply(303, headers=[('Location', '%s/instances/%s' % (base, id))])
                return self.reply(202, cloud.shown(id, base))
            if id is None:
                return self.reply(200, {'instances': [cloud.shown(each, base) for each in cloud.instances]})
            if id not in cloud.instances:
                raise Fault(404)
            shown = cloud.shown(id, base)
            if cloud.instances[id]['fleeting'] and shown['state'] == 'RUNNING':
                cloud.instances[id].update(state='STOPPED', ahead=[], fleeting=False)
            return self.reply(200, {'instance': shown})
        except Fault as fault:
            message, name = ERRORS[fault.args[0]]
            return self.reply(fault.args[0], {'code': fault.args[0], 'message': message, 'error': 'Deltacloud::Exceptions::' + name},
                              headers=[('WWW-Authenticate', 'Basic realm="mock-deltacloud@"')] if fault.args[0] == 401 else ())

    def cut(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def serve(self):
        cloud = self.cloud
        asked = '%s %s' % (self.command, self.path)
        self.rfile.read(int(self.headers.get('Content-Length') or 0))
        with cloud.lock:
            cloud.requests.append(asked)
            fault = next((each for each in cloud.faults if each['where'] in asked and each['times'] > 0), {'what': None})
            if fault['what']:
                fault['times'] -= 1
        what = fault['what']
        if cloud.down or what == 'lost':
            return self.cut()
        if what == 'late':
            time.sleep(fault['seconds'])
        if what == 'status':
            return self.reply(fault['status'], b'<html>sorry</html>', 'text/html')
        if what in ('malformed', 'empty', 'big', 'list'):
            return self.reply(200, {'malformed': b'{"instances": [{"id": ', 'empty': b'', 'big': b' ' * (80 << 20), 'list': b'{"instances": {}}'}[what])
        if what not in ('cut', 'slow', 'garbled'):
            with cloud.lock:
                return self.answer()
        wire, self.wfile = self.wfile, io.BytesIO()
        with cloud.lock:
            self.answer()
        answer, self.wfile = self.wfile.getvalue(), wire
        if what == 'cut':
            return self.cut()
        if what == 'garbled':
            return self.reply(202, b'{"id": "i')
        time.sleep(fault['seconds'])
        return self.wfile.write(answer)

    def do_any(self):
        try:
            self.serve()
        except (BrokenPipeError, ConnectionError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_any


class Server:
    """A Cloud behind HTTP on loopback."""

    def __init__(self, cloud):
        handler = type('Bound', (Handler,), {'cloud': cloud})
        self.cloud = cloud
        self.http = ThreadingHTTPServer(('127.0.0.1', 0), handler)
        self.http.daemon_threads = True
        self.url = 'http://127.0.0.1:%d/api' % self.http.server_address[1]
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True)
        self.thread.start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()
