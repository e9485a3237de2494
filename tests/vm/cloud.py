"""A small site as people run it: hosts with libvirt and mend-host, Debian guests with mend-guest, a broker and a policy engine beside
them, everybody enrolled and authenticated over TLS.

    with cloud.Cloud(policy=TEXT) as site:
        a, b = site.hypervisor('a', 11), site.hypervisor('b', 12)
        web = site.guest('web', '10.99.0.50', '--service', 'systemd:nginx')
        site.boot(web, a)
        site.wait_state('service/%s/nginx' % web.uuid, 'running')
"""
import os
import shutil
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))

import guest     # noqa: E402
import lvhost    # noqa: E402
import mendsite  # noqa: E402

PORT = 5671


def missing(programs=()):
    return lvhost.missing(programs) or lvhost.network_missing() or guest.missing()


def skip_unless_available(programs=()):
    why = missing(programs)
    if why:
        print('skipped: ' + why)
        sys.exit(77)


class Cloud(mendsite.Site):
    def __init__(self, policy=None, heartbeat='1s', broker_options=()):
        super().__init__()
        self.lan = lvhost.Lan(os.path.join(self.folder, 'lan')) if not os.makedirs(os.path.join(self.folder, 'lan')) else None
        self.storage = os.path.join(self.folder, 'storage')
        self.heartbeat = heartbeat
        self.debian = guest.Debian(self.storage)
        self.hosts, self.guests = {}, {}
        self.port = PORT
        self.start('broker', os.path.join(mendsite.BIN, 'mend'), 'broker', '--listen', '%s:%d' % (self.lan.address, PORT), '--data', self.data,
                   *broker_options)
        mendsite.wait_for('the broker', lambda: 'listening on' in self.log('broker'), 20)
        options = ['--policy', self.write('policy.yaml', policy)] if policy else []
        self.policy(*options)

    def __exit__(self, kind, *rest):
        if kind is not None:
            self.print_logs()
        for name in list(self.running):
            self.stop(name)
        self.lan.close()
        super().__exit__(None, *rest)

    def print_logs(self):
        for vm in self.guests.values():
            print('---- console of %s ----\n%s' % (vm.name, vm.said()[-1500:]))
            print('---- why ----\n%s' % self.why('vm/' + vm.uuid)[-3000:])
        for name in sorted(os.listdir(self.folder)):
            if name.endswith('.log'):
                print('---- %s ----\n%s' % (name, self.log(name[:-4])[-6000:]))

    # ---- programs run in the switch's namespace, where the broker is

    def start(self, name, *command):
        return super().start(name, *self.lan.space.enter, *command)

    def mend(self, *arguments, timeout=30, check=True):
        done = self.lan.run([os.path.join(mendsite.BIN, 'mend'), *arguments, '--data', self.data], check=False, stdin=mendsite.subprocess.DEVNULL,
                            timeout=timeout, env=self.environment())
        if check and done.returncode != 0:
            raise AssertionError('mend %s: exit %d: %s' % (' '.join(arguments), done.returncode, done.stderr or done.stdout))
        return done

    # ---- who is there

    def hypervisor(self, name, index, *options):
        host = self.hosts[name] = self.lan.host(name, index)
        host.credentials = os.path.join(host.folder, 'mend.cred')
        host.options = list(options)
        with open(host.credentials, 'w') as out:
            out.write(self.mend('enrol', '--host', host.uuid).stdout)
        os.chmod(host.credentials, 0o600)
        self.switch_on(host)
        return host

    def switch_on(self, host):
        host.start()
        self.start_agent(host)

    def start_agent(self, host):
        with open(self.path('mend-host-%s.log' % host.name), 'ab') as log:
            host.agent = host.popen([os.path.join(mendsite.BIN, 'mend-host'), '--credentials', host.credentials, '--data', os.path.join(host.folder, 'mend'),
                                     '--id', host.uuid, '--heartbeat', self.heartbeat, '--log', 'debug', *host.options],
                                    stdin=mendsite.subprocess.DEVNULL, stdout=log, stderr=log)

    def guest(self, name, address, *options, **more):
        vm = self.guests[name] = self.debian.vm(name, address, **more)
        vm.write('credentials', self.mend('enrol', vm.uuid).stdout)
        vm.options = ['--credentials', '/opt/mend/credentials', '--heartbeat', self.heartbeat, *options]
        return vm

    def boot(self, vm, host, wait=True, **xml):
        domain = host.connect().defineXML(vm.xml(**xml))
        domain.create()
        if wait:
            vm.wait('GUEST-UP')
        return domain

    def domain(self, vm, host):
        return host.connect().lookupByUUIDString(vm.uuid)

    def runs_on(self, vm):
        """Names of the hosts that have a process of it: one, or it is time to worry."""
        return [host.name for host in self.hosts.values() if host.is_on and host.qemu_pid(vm.uuid)]

    # ---- what Mend says

    def state(self, entity):
        found = self.entities().get(entity)
        return found['state'] if found else None

    def wait_state(self, entity, state, timeout=30):
        mendsite.wait_for('%s %s' % (entity, state), lambda: self.state(entity) == state, timeout, 0.1)

    def why(self, entity):
        return self.mend('why', entity, check=False).stdout

    def wait_why(self, entity, text, timeout=60):
        mendsite.wait_for('"%s" in why %s' % (text, entity), lambda: text in self.why(entity), timeout, 0.2)


class Case(unittest.TestCase):
    """self.site is a Cloud(self.POLICY); what its programs said is printed when the test fails."""
    POLICY = None

    def run(self, result=None):
        with Cloud(self.POLICY) as self.site:
            before = len(result.failures) + len(result.errors)
            super().run(result)
            if len(result.failures) + len(result.errors) > before:
                self.site.print_logs()
        return result


class Clock:
    """with Clock() as took: …; took.seconds"""

    def __enter__(self):
        self.begun = time.monotonic()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self.begun


def cleanup(path):
    shutil.rmtree(path, ignore_errors=True)
