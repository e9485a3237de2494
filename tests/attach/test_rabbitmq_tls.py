#!/usr/bin/python3
"""Mend on a real RabbitMQ that speaks TLS only to it: agents, `mend attach` (AMQP 1.0, and 0-9-1 for the broker's news), engine and operator; and what each says of a
certificate that is not right."""
import os
import subprocess
import sys
import time

import attachsite
import mendsite
import rabbitmq
from mendsite import BIN, wait_for

SECRET = 'a-secret-of-this-test'
ID = attachsite.ID % 1
SERVICE = 'service/%s/web' % ID


def openssl(*arguments):
    subprocess.run(['openssl', *arguments], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Authority:
    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.file, self.key = os.path.join(folder, name + '.pem'), os.path.join(folder, name + '.key')
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', self.key, '-out', self.file, '-days', '2',
                '-subj', '/CN=' + name)

    def certificate(self, name, host, days):
        """(certificate, key); @days below 0: it ended yesterday."""
        file, key, request, more = (os.path.join(self.folder, name + end) for end in ('.pem', '.key', '.csr', '.ext'))
        with open(more, 'w') as out:
            out.write('subjectAltName=DNS:%s\n' % host)
        openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', request, '-subj', '/CN=' + host)
        openssl('x509', '-req', '-in', request, '-CA', self.file, '-CAkey', self.key, '-CAcreateserial', '-out', file, '-extfile', more, '-days', str(days))
        return file, key


class Site(attachsite.Site):
    def __init__(self, url, authority):
        super().__init__(url, SECRET)
        self.authority = authority

    def credentials(self, user, url=None):
        with open(self.authority.file) as text:
            pem = ''.join('  ' + line for line in text)
        return self.write(user + '.credentials', 'user: %s\npassword: %s\nurl: "%s"\nca: |\n%s' % (user, self.secret, url or self.url, pem))

    def engine(self, *options, **more):
        return super().engine('--ca', self.authority.file, *options, **more)

    def mend(self, *arguments, **more):
        return super().mend(*arguments, '--ca', self.authority.file, **more)


def case_heals(authority, port, plain):
    with Site('amqps://localhost:%d' % port, authority) as site:
        site.attach('--subscriber', 'policy-main')
        site.engine()
        site.guest(1, 'process:web=/bin/sleep 1000')
        wait_for('its service', lambda: site.states().get(SERVICE) == 'running', 60)
        wait_for('an engine that acts', lambda: 'acts, epoch' in site.log('policy'), 60)

        def web():
            found = subprocess.run(['pgrep', '-P', str(site.running['guest1'].pid), '-x', 'sleep'], capture_output=True, text=True, check=False).stdout.split()
            return int(found[0]) if found else None
        before = web()
        os.kill(before, 9)
        wait_for('the service again', lambda: web() not in (None, before), 60)
        wait_for('the end of the incident', lambda: 'healed' in site.mend('why', SERVICE).stdout, 60)
        site.stop('guest1', 9)
        wait_for('news of its end', lambda: site.states().get(ID) in ('closed', 'lost'), 60)  # told over 0-9-1, with TLS, too
        sockets = subprocess.run(['ss', '-Htnp', 'state', 'established'], capture_output=True, text=True, check=True).stdout
        for name in ('attach', 'policy'):
            mine = [line for line in sockets.splitlines() if 'pid=%d,' % site.running[name].pid in line]
            assert mine and not [line for line in mine if ':%d ' % plain in line], mine


def refused(authority, port, words):
    """Whoever comes says why, and does not come in."""
    url = 'amqps://localhost:%d' % port
    with Site(url, authority) as site:
        said = site.mend('agents', check=False)
        assert said.returncode == 2 and words in said.stderr, said
        site.guest(1, 'process:web=/bin/sleep 1000')
        site.engine()
        attach = site.start('attach', os.path.join(BIN, 'mend'), 'attach', '--credentials', site.credentials('mend'), '--data', site.path('attach'))
        for name in ('guest1', 'policy', 'attach'):
            wait_for('the reason of ' + name, lambda name=name: words in site.log(name), 60)
        time.sleep(1)
        assert attach.poll() is None, site.log('attach')  # the certificate may be mended meanwhile


def main():
    ours = rabbitmq.Cluster()
    with ours as cluster:
        ca, other = Authority(cluster.folder, 'our-ca'), Authority(cluster.folder, 'other-ca')
        kinds = {'good': ca.certificate('good', 'localhost', 2), 'ended': ca.certificate('ended', 'localhost', -1), 'elsewhere': ca.certificate('elsewhere', 'elsewhere.example', 2)}
        port, = rabbitmq.free_ports(1)
        certificate, key = kinds['good']
        # one file in use: a certificate is exchanged under the running broker, as an administrator would
        used = [os.path.join(cluster.folder, 'used' + end) for end in ('.pem', '.key')]

        def use(kind):
            for source, target in zip(kinds[kind], used):
                with open(source) as text, open(target, 'w') as out:
                    out.write(text.read())
        use('good')
        node = cluster.start(extra='listeners.ssl.1 = 127.0.0.1:%d\nssl_options.cacertfile = %s\nssl_options.certfile = %s\nssl_options.keyfile = %s\n'
                                   'ssl_options.verify = verify_none\nssl_options.fail_if_no_peer_cert = false\n' % (port, ca.file, *used))
        for user in ('mend', 'engine', 'operator', 'agent-' + ID):
            cluster.user(user, SECRET)
        case_heals(ca, port, node.port)
        print('heals over TLS', flush=True)
        refused(other, port, 'the certificate of localhost is not accepted: it is not signed by the CA of')
        print('an authority that is not ours', flush=True)
        for kind in ('elsewhere', 'ended'):
            use(kind)
            node.ctl('eval', 'ssl:clear_pem_cache().')
            refused(ca, port, 'or not for localhost, or has ended')
            print(kind, flush=True)


if __name__ == '__main__':
    rabbitmq.need()
    main()
