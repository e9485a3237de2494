#!/usr/bin/python3
"""test_fleet.py [--guests N] [--seconds S]: services of many real guests are killed at random, and every one comes back.

Each guest is a Debian with its own systemd (tests/lib/rig.py) and mend-guest as a unit. Before Mend is there, systemd's own
Restart=always RestartSec=0 is measured on the same units: the yardstick. Then, for S seconds, main processes die by kill -9
while an administrator stops and starts other services. At the end:
- every killed service runs again, and how long that took is printed beside the yardstick;
- every incident tells its whole story;
- nothing that the administrator stopped was started.
Then worse things happen: the agent dies with its service, the broker or the policy engine are killed and a service dies meanwhile,
a guest loses its power. All of it must heal as well.
"""
import argparse
import os
import random
import signal
import sys
import time

import rig
from mendsite import BIN, SOURCE, Site, wait_for

UNITS = ('nginx', 'redis-server', 'memcached', 'ticker')
STORY = ('indication', 'event', 'rule', 'command', 'result', 'verified')
POLICY = """mend: 1
flapping: off
rules:
  - name: heal-services
    on: service.failed
    ladder:
      - {do: service.restart, attempts: 100, within: 1m, backoff: {first: 0s}, healed_when: {state: running, for: 200ms}}
"""


def percentiles(values):
    """None is a service that never came back: worse than any number."""
    values = sorted(float('inf') if value is None else value for value in values) or [float('nan')]
    pick = lambda share: values[min(len(values) - 1, int(share * len(values)))]
    return 'n %d  p50 %.1f  p90 %.1f  p99 %.1f  max %.1f ms' % (len(values), pick(.5), pick(.9), pick(.99), values[-1])


class Fleet:
    def __init__(self, guests, mend):
        self.rig, self.mend, self.guests = guests, mend, []
        self.stops, self.problems = 0, []

    # Setting up

    def boot(self, count):
        self.guests = [self.rig.prepare('guest-%02d' % number) for number in range(1, count + 1)]
        for guest in self.guests:
            for unit in UNITS:
                guest.write('etc/systemd/system/%s.service.d/yardstick.conf' % unit, '[Service]\nRestart=always\nRestartSec=0\n')
            self.install(guest)
        self.rig.boot_all(self.guests)

    def install(self, guest):
        """The agent as a package would bring it, with credentials of its own, but not yet enabled."""
        guest.copy(os.path.join(BIN, 'mend-guest'), 'usr/bin/mend-guest', 0o755)
        guest.copy(os.path.join(SOURCE, 'packaging/mend-guest.service'), 'etc/systemd/system/mend-guest.service')
        guest.write('etc/default/mend-guest', 'MEND_GUEST_OPTIONS=--credentials /etc/mend/credentials\n')
        guest.write('etc/mend/credentials', self.mend.mend('enrol', guest.id).stdout, 0o600)
        guest.write('etc/mend/services.yaml', 'services:\n' + ''.join('  - {name: %s, standard: systemd}\n' % unit for unit in UNITS))

    def hand_over(self):
        """From systemd's own restart to Mend's."""
        for guest in self.guests:
            for unit in UNITS:
                os.unlink(guest.path('etc/systemd/system/%s.service.d/yardstick.conf' % unit))
            guest.run('systemctl', 'daemon-reload')
            guest.run('systemctl', 'enable', '--now', 'mend-guest')
        wait_for('all services', self.all_seen, 30, 0.2)

    def all_seen(self):
        entities = self.mend.entities()
        return all(entities.get(self.entity(guest, unit), {}).get('state') == 'running' for guest in self.guests for unit in UNITS)

    @staticmethod
    def entity(guest, unit):
        return 'service/%s/%s' % (guest.id, unit)

    # Measuring

    def kill_one(self, guest, unit):
        """Kills and waits; milliseconds until systemd called the unit active again."""
        killed_us = guest.kill_service(unit)
        back_us = guest.wait_active(unit, killed_us) if killed_us else None
        return (back_us - killed_us) / 1000 if back_us else None

    def one_by_one(self):
        """Every service of every guest dies once, one after the other: unit -> milliseconds."""
        taken = {unit: [] for unit in UNITS}
        for guest in self.guests:
            for unit in UNITS:
                taken[unit].append(self.kill_one(guest, unit))
        return taken

    # Chaos

    def chaos(self, seconds, pause, dice):
        """Returns (killed, stopped): killed is a list of (guest, unit, killed_us, back_us or None)."""
        pending, done, stopped = {}, [], {}
        ends = time.monotonic() + seconds
        next_kill = next_admin = time.monotonic()
        while time.monotonic() < ends or (pending and time.monotonic() < ends + 60):
            now = time.monotonic()
            if now < ends and now >= next_kill:
                next_kill = now + dice.expovariate(1 / pause)
                self.strike(dice, pending, stopped)
            if now < ends and now >= next_admin:
                next_admin = now + seconds / 12
                self.administrate(dice, pending, stopped)
            for key, (guest, unit, killed_us, polled) in list(pending.items()):
                back_us = guest.active_since_us(unit)
                if back_us > killed_us:
                    done.append((guest, unit, killed_us, back_us))
                    del pending[key]
            time.sleep(0.01)
        return done + [(guest, unit, killed_us, None) for guest, unit, killed_us, _ in pending.values()], stopped

    def strike(self, dice, pending, stopped):
        guest, unit = dice.choice(self.guests), dice.choice(UNITS)
        key = (guest.name, unit)
        if key in pending or key in stopped or len(pending) > 8:
            return
        killed_us = guest.kill_service(unit)
        if killed_us:
            pending[key] = (guest, unit, killed_us, 0)

    def administrate(self, dice, pending, stopped):
        """Stops something that is well; every third time starts something again."""
        if stopped and dice.random() < 0.3:
            guest, unit = stopped.pop(dice.choice(sorted(stopped)))
            self.check_stopped(guest, unit)
            guest.start_service(unit)
            return
        guest, unit = dice.choice(self.guests), dice.choice(UNITS)
        key = (guest.name, unit)
        if key not in pending and key not in stopped and guest.active_since_us(unit):
            guest.stop_service(unit)
            stopped[key] = (guest, unit)
            self.stops += 1

    def check_stopped(self, guest, unit):
        state = guest.show(unit, 'ActiveState')['ActiveState']
        if state != 'inactive':
            self.problems.append('%s/%s was stopped by the administrator and is %s' % (guest.name, unit, state))

    # Worse

    def hardships(self):
        """Each a name and how it ended; what did not heal is a problem."""
        for name, happens in (('agent and service die together', self.agent_dies), ('service dies while the broker is down', self.broker_dies),
                              ('service dies while the engine is down', self.engine_dies), ('power cut', self.power_fails)):
            started = time.monotonic()
            guest, unit, since_us = happens()
            back_us = guest.wait_active(unit, since_us, 60, 0.1)
            if back_us is None:
                self.problems.append('%s: %s/%s did not come back: %s' % (name, guest.name, unit, guest.journal(unit, 8)))
            else:
                print('%-38s %.1f s until %s ran again' % (name, time.monotonic() - started, unit), flush=True)
        wait_for('all services in the broker\'s eyes', self.all_seen, 30, 0.2)

    def agent_dies(self):
        guest = self.guests[0]
        killed_us = guest.kill_service('mend-guest')
        guest.kill_service('nginx')
        return guest, 'nginx', killed_us

    def broker_dies(self):
        self.mend.stop('broker', signal.SIGKILL)
        killed_us = self.guests[1].kill_service('ticker')
        time.sleep(1)
        self.mend.broker()
        return self.guests[1], 'ticker', killed_us

    def engine_dies(self):
        self.mend.stop('policy', signal.SIGKILL)
        killed_us = self.guests[2].kill_service('redis-server')
        time.sleep(1)
        self.start_engine()
        return self.guests[2], 'redis-server', killed_us

    def power_fails(self):
        guest = self.guests[0]
        guest.power_cut()
        cut_us = rig.now_us()
        time.sleep(0.5)
        guest.boot()
        return guest, 'memcached', cut_us

    def start_engine(self):
        self.mend.policy('--policy', self.mend.write('policy.yaml', POLICY))

    # The end

    def check(self, killed, stopped):
        """Every broken promise as a line of text."""
        for guest, unit in stopped.values():
            self.check_stopped(guest, unit)
        problems = self.problems + ['%s/%s killed at %d did not come back: %s' % (guest.name, unit, killed_us, guest.journal(unit, 8))
                    for guest, unit, killed_us, back_us in killed if back_us is None]
        for guest in self.guests:
            for unit in UNITS:
                if (guest.name, unit) not in stopped and not guest.active_since_us(unit):
                    problems.append('%s/%s does not run at the end' % (guest.name, unit))
        return problems + self.check_stories(killed)

    def check_stories(self, killed):
        counted, problems = {}, []
        for guest, unit, _, _ in killed:
            key = self.entity(guest, unit)
            counted[key] = counted.get(key, 0) + 1
        for entity, kills in sorted(counted.items()):
            incidents = self.mend.json('why', entity)['incidents']
            told = sum(self.complete(incident) for incident in incidents)
            if told != len(incidents) or not incidents:
                problems.append('%s: %d kills, %d of %d stories whole: %s' % (entity, kills, told, len(incidents), incidents))
        return problems

    @staticmethod
    def complete(incident):
        steps = [line['what'] for line in incident['lines']]
        return incident['state'] == 'healed' and all(word in steps for word in STORY)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--guests', type=int, default=20)
    parser.add_argument('--seconds', type=float, default=60)
    parser.add_argument('--pause', type=float, default=0.35, help='seconds between kills, on average')
    parser.add_argument('--seed', type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    rig.skip_unless_available()

    dice = random.Random(options.seed)
    with rig.Rig() as guests, Site() as mend:
        mend.broker()
        fleet = Fleet(guests, mend)
        fleet.start_engine()
        started = time.monotonic()
        fleet.boot(options.guests)
        print('%d guests up in %.1f s, seed %d' % (options.guests, time.monotonic() - started, options.seed), flush=True)
        yardstick = fleet.one_by_one()
        fleet.hand_over()
        healed = fleet.one_by_one()
        killed, stopped = fleet.chaos(options.seconds, options.pause, dice)
        problems = fleet.check(killed, stopped)
        print('kill -9 to running again')
        for unit in UNITS:
            print('  %-13s systemd itself %s' % (unit, percentiles(yardstick[unit])))
            print('  %-13s Mend           %s' % ('', percentiles(healed[unit])))
        print('  %-13s Mend           %s' % ('in chaos', percentiles([(back_us - at_us) / 1000 for _, _, at_us, back_us in killed if back_us])))
        for guest, unit in stopped.values():
            guest.start_service(unit)
        if not problems:
            fleet.hardships()
            problems = fleet.problems
        print('%d killed at random, %d stopped by the administrator, %d problems' % (len(killed), fleet.stops, len(problems)))
        print('\n'.join(problems[:20]))
        return 1 if problems or len(killed) < options.seconds / 4 else 0


if __name__ == '__main__':
    sys.exit(main())
