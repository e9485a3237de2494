#!/usr/bin/python3
"""Mend on a real Apache ActiveMQ Artemis: agents, `mend attach`, engine and operator, each with a user of its own.

Skipped where there is no command artemis-embedded on the PATH: one that takes a folder with a broker.xml and a file "users" (a line each: name, password, roles) and runs
Artemis with them until it is ended, as its EmbeddedActiveMQ does.

test_artemis.py [NAME…]: only the cases of these names."""
import os
import shutil
import signal
import subprocess
import sys
import time

import attachsite
import mendsite
from mendsite import wait_for

SECRET, ID, WAIT = 'a-secret-of-this-test', attachsite.ID % 1, 60
SERVICE = 'service/%s/web' % ID
BROKER = '''<configuration xmlns="urn:activemq"><core xmlns="urn:activemq:core">
  <name>mend-test</name>
  <persistence-enabled>true</persistence-enabled>
  <journal-type>NIO</journal-type>
  <bindings-directory>{folder}/bindings</bindings-directory>
  <journal-directory>{folder}/journal</journal-directory>
  <large-messages-directory>{folder}/large</large-messages-directory>
  <paging-directory>{folder}/paging</paging-directory>
  <acceptors><acceptor name="amqp">tcp://127.0.0.1:{port}?protocols=AMQP;saslMechanisms=PLAIN,ANONYMOUS</acceptor></acceptors>
  <security-settings><security-setting match="#">{permissions}</security-setting></security-settings>
</core></configuration>
'''
PERMISSIONS = ('createNonDurableQueue', 'deleteNonDurableQueue', 'createDurableQueue', 'deleteDurableQueue', 'createAddress', 'deleteAddress', 'consume', 'browse', 'send')


class Site(attachsite.Site):
    def __init__(self):
        self.number = attachsite.free_port()
        super().__init__('amqp://127.0.0.1:%d?sasl=PLAIN' % self.number, SECRET)
        self.folder_of_broker = self.path('artemis')
        os.mkdir(self.folder_of_broker)
        self.write('artemis/broker.xml', BROKER.format(folder=self.folder_of_broker, port=self.number,
                                                       permissions=''.join('<permission type="%s" roles="all"/>' % each for each in PERMISSIONS)))
        self.write('artemis/users', ''.join('%s %s all\n' % (user, SECRET) for user in ('mend', 'operator', 'engine', 'agent-' + ID)))

    def broker(self):
        before = self.log('broker').count('Server is now live') if os.path.exists(self.path('broker.log')) else 0
        process = self.start('broker', 'artemis-embedded', self.folder_of_broker)
        wait_for('Artemis', lambda: self.log('broker').count('Server is now live') > before or process.poll() is not None, WAIT)
        assert process.poll() is None, self.log('broker')

    def web(self):
        found = subprocess.run(['pgrep', '-P', str(self.running['guest1'].pid), '-x', 'sleep'], capture_output=True, text=True, check=False).stdout.split()
        return int(found[0]) if found else None

    def all(self):
        self.attach('--subscriber', 'policy-main')
        self.engine()
        self.guest(1, 'process:web=/bin/sleep 1000')
        wait_for('the agent', lambda: self.states().get(ID) == 'up', WAIT)
        wait_for('its service', lambda: self.states().get(SERVICE) == 'running', WAIT)
        wait_for('an engine that acts', lambda: 'acts, epoch' in self.log('policy'), WAIT)

    def kill_web(self):
        before = self.web()
        os.kill(before, signal.SIGKILL)
        return before

    def healed(self, before):
        wait_for('the service again', lambda: self.web() not in (None, before), WAIT)
        wait_for('the end of the incident', lambda: 'healed' in self.mend('why', SERVICE).stdout, WAIT)
        assert self.log('guest1').count('restart: 0 started') == 1, self.log('guest1')


def case_heals(site):
    site.broker()
    site.all()
    assert 'dialect artemis' in site.log('attach'), site.log('attach')
    site.healed(site.kill_web())
    assert 'quarantined' not in site.log('attach'), site.log('attach')  # what others ask each other does not come to the plugin


def case_broker_restarts(site):
    """It is killed and comes back, a service dies meanwhile: restarted once, nobody was thought lost."""
    site.broker()
    site.all()
    site.stop('broker', signal.SIGKILL)
    before = site.kill_web()
    time.sleep(3)
    site.broker()
    site.healed(before)
    assert '-> lost' not in site.log('attach'), site.log('attach')


def case_operator(site):
    """What a person says is heard, and what one asks is answered."""
    site.broker()
    site.all()
    site.mend('operate', 'maintain', SERVICE, '--until', '1h', '--comment', 'a new release')
    before = site.kill_web()
    wait_for('the reason', lambda: 'maintenance' in site.mend('why-not', SERVICE).stdout, WAIT)
    time.sleep(2)
    assert site.web() is None
    site.mend('operate', 'release', SERVICE)
    site.healed(before)


def case_engine_restarts(site):
    """What happens while no engine is there waits for it."""
    site.broker()
    site.all()
    site.stop('policy', signal.SIGKILL)
    before = site.kill_web()
    time.sleep(3)
    site.engine()
    site.healed(before)


def case_refused(site):
    site.broker()
    site.write('wrong', 'no such secret')
    process = site.start('wrong', os.path.join(mendsite.BIN, 'mend'), 'attach', '--broker', site.url, '--user', 'mend', '--password-file', site.path('wrong'),
                         '--data', site.path('wrong-data'))
    wait_for('the refusal', lambda: 'the broker is not there' in site.log('wrong'), WAIT)
    assert process.poll() is None


def main():
    cases = {name[5:]: case for name, case in globals().items() if name.startswith('case_')}
    for name in sys.argv[1:] or list(cases):
        started = time.monotonic()
        with Site() as site:
            cases[name](site)
        print('%s: %.1f s' % (name, time.monotonic() - started), flush=True)


if __name__ == '__main__':
    if shutil.which('artemis-embedded') is None:
        print('skipped: no artemis-embedded on the PATH')
        sys.exit(77)
    main()
