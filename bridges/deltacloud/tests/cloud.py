"""A Deltacloud server (API 1.1, JSON) with one account and a few instances, as strict as the real one about paths, verbs, credentials and
transitions, and with the faults that real ones have. States pass as in clouds: PENDING and STOPPING take their time."""
import base64
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USER, PASSWORD = 'mockuser', 'mockpassword'
OFFERED = {'RUNNING': ('reboot', 'stop'), 'STOPPED': ('start', 'destroy')}


class Cloud:
    """The instances; what tests do to them from outside."""

    def __init__(self, takes=0.3):
        self.lock = threading.RLock()
        self.instances, self.requests, self.faults = {}, [], []
        self.takes, self.down, self.password = takes, False, PASSWORD

    def add(self, id, name, state='RUNNING'):
        self.instances[id] = {'name': name, 'state': state, 'then': None, 'at': 0, 'boots': 0}

    def settle(self):
        with self.lock:
            for each in self.instances.values():
                if each['then'] and time.monotonic() >= each['at']:
                    each['state'], each['then'] = each['then'], None

    def turn(self, id, over, then):
        with self.lock:
            self.instances[id].update(state=over, then=then, at=time.monotonic() + self.takes)

    def state(self, id):
        self.settle()
        return self.instances[id]['state']

    def stop(self, id):
        """By whomever: the cloud tells no reason."""
        with self.lock:
            self.instances[id].update(state='STOPPED', then=None)

    def fault(self, where, what, times=1, **more):
        self.faults.append(dict(more, where=where, what=what, times=times))

    def asked(self, what):
        return [each for each in self.requests if what in each]

    def act(self, id, verb):
        each = self.instances.get(id)
        if each is None:
            return 403
        if verb not in OFFERED.get(each['state'], ()):
            return 405
        if verb == 'destroy':
            del self.instances[id]
            return 204
        if verb == 'reboot':
            each['boots'] += 1
        self.turn(id, *{'start': ('PENDING', 'RUNNING'), 'stop': ('STOPPING', 'STOPPED'), 'reboot': ('PENDING', 'RUNNING')}[verb])
        return 202

    def shown(self, id, url):
        each, here = self.instances[id], '%s/instances/%s' % (url, id)
        links = [{'href': here if verb == 'destroy' else here + '/' + verb, 'rel': verb, 'method': 'delete' if verb == 'destroy' else 'post'}
                 for verb in OFFERED.get(each['state'], ())]
        return {'id': id, 'href': here, 'name': each['name'], 'state': each['state'], 'owner': USER,
                'image': {'href': url + '/images/img1', 'id': 'img1', 'rel': 'image'}, 'realm': {'href': url + '/realms/us', 'id': 'us', 'rel': 'realm'},
                'actions': links + [{'href': here + '/run;id=' + id, 'rel': 'run', 'method': 'post'}],
                'hardware_profile': {'id': 'm1-small', 'href': url + '/hardware_profiles/m1-small', 'rel': 'hardware_profile', 'properties': {}},
                'public_addresses': [{'address': 'img1.%s.public.com' % id, 'type': 'hostname'}],
                'private_addresses': [{'address': '192.0.2.7', 'type': 'ipv4'}]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    cloud = url = None

    def log_message(self, *_):
        pass

    def reply(self, status, body=None):
        text = b'' if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def refuse(self, status, text):
        self.reply(status, {'code': status, 'message': text, 'error': 'Deltacloud::Exceptions::Error'})

    def answer(self):
        wanted = 'Basic ' + base64.b64encode(('%s:%s' % (USER, self.cloud.password)).encode()).decode()
        if self.headers.get('Authorization') != wanted:
            return self.refuse(401, 'Unauthorized')
        if self.headers.get('Accept') != 'application/json':
            return self.refuse(406, 'Not Acceptable')
        match = re.fullmatch(r'/api/instances(?:/([^/]+)(?:/(start|stop|reboot))?)?', self.path)
        if not match:
            return self.refuse(404, 'Not Found')
        id, verb = match.groups()
        self.cloud.settle()
        if self.command == 'GET' and id is None:
            return self.reply(200, {'instances': [self.cloud.shown(each, self.url) for each in self.cloud.instances]})
        if self.command == 'GET' and verb is None:
            if id not in self.cloud.instances:
                return self.refuse(404, 'Not Found')
            return self.reply(200, {'instance': self.cloud.shown(id, self.url)})
        if (self.command, verb is None) not in (('POST', False), ('DELETE', True)) or id is None:
            return self.refuse(405, 'Method Not Allowed')
        status = self.cloud.act(id, verb or 'destroy')
        if status >= 400:
            return self.refuse(status, {403: 'Forbidden', 405: 'Method Not Allowed'}[status])
        return self.reply(status, self.cloud.shown(id, self.url) if status == 202 else None)

    def serve(self):
        asked = '%s %s' % (self.command, self.path)
        with self.cloud.lock:
            self.cloud.requests.append(asked)
            fault = next((each for each in self.cloud.faults if each['where'] in asked and each['times'] > 0), {})
            if fault:
                fault['times'] -= 1
        what = fault.get('what')
        if self.cloud.down or what == 'lost':
            self.close_connection = True
            return
        if what == 'late':
            time.sleep(fault['seconds'])
        if what == 'status':
            return self.refuse(fault['status'], 'Backend Server Error')
        if what == 'malformed':
            return self.reply(200, b'{"instances": [{"id": ')
        with self.cloud.lock:
            if what == 'cut':  # done, and the answer is lost
                self.reply = lambda *_: None
                self.close_connection = True
            self.answer()

    def do_any(self):
        try:
            self.serve()
        except ConnectionError:
            self.close_connection = True

    do_GET = do_POST = do_DELETE = do_PUT = do_any


class Server:
    def __init__(self, cloud):
        handler = type('Bound', (Handler,), {'cloud': cloud})
        self.http = ThreadingHTTPServer(('127.0.0.1', 0), handler)
        self.http.daemon_threads = True
        self.url = handler.url = 'http://127.0.0.1:%d/api' % self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()
