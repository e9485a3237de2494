#!/usr/bin/python3
"""agent.py host|service --port N [...]: a stand-in for Matahari 0.6.0's hostd and serviced, as they were measured on the wire.

Its world is a folder (--state): NAME.init is an LSB service that may be asked for, NAME.running one that runs, and RESOURCE.started
an ocf:heartbeat:Dummy that was started. A test makes a service fail by removing its file. --speed 10 makes 60 s heartbeats
come every 6 s. Everything it sees and does is logged to --log, one JSON object a line. It dies (exit 134) of what kills the
real ones, and goes deaf of what deafens them.
"""
import argparse
import os
import platform
import sys
import time

from qmf import Agent, Class, Crash, Failure, Object
from wire import I32, U32, U64

INT32 = 0x7fffffff


def facts():
    """What Host says of its machine, in the types that really go over the wire."""
    memory = {}
    with open('/proc/meminfo') as info:
        for line in info:
            key, value = line.split(':')
            memory[key] = int(value.split()[0])
    one, five, fifteen = os.getloadavg()
    counts = dict.fromkeys(('total', 'idle', 'zombie', 'running', 'stopped', 'sleeping'), I32(0))
    counts['total'] = I32(sum(name.isdigit() for name in os.listdir('/proc')))
    return {'os': 'Linux (%s)' % platform.release(), 'arch': platform.machine(), 'cpu_model': platform.processor() or 'unknown',
            'cpu_flags': '', 'wordsize': I32(64), 'cpu_count': I32(os.cpu_count()), 'cpu_cores': I32(os.cpu_count()),
            'memory': U64(memory['MemTotal']), 'swap': U64(memory['SwapTotal']), 'free_mem': U64(memory['MemFree']),
            'free_swap': U64(memory['SwapFree']), 'load': {'1': one, '5': five, '15': fifteen}, 'process_statistics': counts}


class HostAgent(Agent):
    HOST = Class('Host', '7f769429-24e1-71e3-b0c9-50d2be280700',
                 'hostname:string* uuid:string* custom_uuid:string* os:string arch:string wordsize:int/bit memory:int/kb swap:int/kb '
                 'cpu_count:int cpu_cores:int cpu_model:string cpu_flags:string update_interval:int!/s last_updated:int/abstime '
                 'sequence:int free_mem:int/kb free_swap:int/kb load:map process_statistics:map',
                 {'identify': '', 'shutdown': '', 'reboot': '', 'get_uuid': 'lifetime:string >uuid:string',
                  'set_uuid': 'lifetime:string uuid:string >rc:int', 'set_power_profile': 'profile:string >status:int',
                  'get_power_profile': '>profile:string', 'list_power_profiles': '>profiles:list'})
    HEARTBEAT = Class('heartbeat', '326b8c1a-a103-a419-1b9c-98fdf815eb7f',
                      'timestamp:int/abstime sequence:int hostname:string uuid:string', event=True)

    def __init__(self, options):
        super().__init__(options, 'host', 'matahari-qmf-hostd')
        self.sequence, self.custom = 0, 'not-available'
        self.classes.append(self.HEARTBEAT)
        nothing = lambda arguments, answer: {}
        self.add(Object(self.HOST, 'Host', self.now, {
            'identify': nothing, 'shutdown': nothing, 'reboot': nothing, 'get_uuid': self.get_uuid, 'set_uuid': self.set_uuid,
            'list_power_profiles': lambda arguments, answer: {'profiles': []}, 'get_power_profile': self.no_backend}))

    def begin(self):
        self.beat()
        self.every(5, self.beat)

    def beat(self):
        self.sequence += 1
        self.raise_event(self.HEARTBEAT, {'timestamp': U64(int(time.time())), 'sequence': U32(self.sequence), 'hostname': self.hostname,
                                          'uuid': self.uuid})

    def now(self):
        return dict(facts(), hostname=self.hostname, uuid=self.uuid, custom_uuid=self.custom, update_interval=U32(5),
                    last_updated=U64(time.time_ns()), sequence=U32(self.sequence))

    def get_uuid(self, arguments, answer):
        known = {'Filesystem': self.uuid, 'Hardware': 'not-available', 'Reboot': self.uuid, 'Agent': self.instance, 'Custom': self.custom}
        return {'uuid': known.get(arguments['lifetime'], 'invalid-lifetime') if 'lifetime' in arguments else self.uuid}

    def set_uuid(self, arguments, answer):
        if not arguments.get('uuid'):
            raise Failure('Invalid Arguments')
        if arguments.get('lifetime') != 'Custom':
            return {'rc': I32(23)}
        self.custom = arguments['uuid']
        return {'rc': I32(0)}

    def no_backend(self, arguments, answer):
        raise Failure('Error in backend')


class ServiceAgent(Agent):
    SERVICES = Class('Services', 'e21987fc-eeb7-5351-4660-b76d24cfeadd', 'uuid:string hostname:string* qmf-gen-no-crash:int/abstime',
                     {'list': '>agents:list', 'enable': 'name:string >rc:int', 'disable': 'name:string >rc:int',
                      'start': 'name:string timeout:int >rc:int', 'stop': 'name:string timeout:int >rc:int',
                      'status': 'name:string timeout:int >rc:int', 'describe': 'name:string >xml:string'})
    RESOURCES = Class('Resources', '86bab6b5-7730-7a2e-750f-5dfb88b8eea9', 'uuid:string hostname:string*',
                      {'list_standards': '>standards:list', 'list_providers': 'standard:string >providers:list',
                       'list': 'standard:string provider:string >agents:list',
                       'describe': 'standard:string provider:string agent:string >xml:string',
                       'invoke': 'name:string standard:string provider:string agent:string action:string interval:int parameters:map '
                                 'timeout:int expected-rc:int >rc:int >sequence:int >>userdata:string',
                       'cancel': 'name:string action:string interval:int timeout:int', 'fail': 'name:string rc:int'})
    OPERATION = Class('resource_op', 'eb87c85f-9773-6444-a362-a444c9c85c40',
                      'timestamp:int/abstime sequence:int name:string standard:string provider:string agent:string action:string '
                      'interval:int rc:int expected-rc:int userdata:string', event=True)

    def __init__(self, options):
        super().__init__(options, 'service', 'matahari-qmf-serviced')
        self.state, self.operations, self.recurring = options.state, 0, {}
        self.classes.append(self.OPERATION)
        own = {'uuid': self.uuid, 'hostname': self.hostname}
        lsb = {action: self.lsb(action) for action in ('start', 'stop', 'status')}
        self.add(Object(self.SERVICES, 'Services', own, dict(lsb, list=self.list_services, enable=self.no_chkconfig,
                                                              disable=self.no_chkconfig)))
        self.add(Object(self.RESOURCES, 'Resources', own, {
            'list_standards': lambda arguments, answer: {'standards': ['ocf', 'lsb', 'systemd']},
            'list_providers': lambda arguments, answer: {'providers': ['heartbeat'] if arguments.get('standard') == 'ocf' else []},
            'list': self.list_resources, 'invoke': self.invoke, 'cancel': self.cancel}))

    def begin(self):
        """Announces nothing of its own: there is no service event."""

    # The world

    def file(self, name, ending):
        return os.path.join(self.state, os.path.basename(name) + ending)

    def exists(self, name, ending):
        return os.path.exists(self.file(name, ending))

    def switch(self, name, ending, on):
        if on:
            open(self.file(name, ending), 'w').close()
        elif self.exists(name, ending):
            os.unlink(self.file(name, ending))
        return 0

    def checked(self, number, default):
        """asInt32() throws on what does not fit, and nobody catches it."""
        if number is not None and number > INT32:
            raise Crash('terminate called after throwing an instance of qpid::types::InvalidConversion')
        return default if number is None else number

    # Services

    def list_services(self, arguments, answer):
        return {'agents': sorted(name[:-5] for name in os.listdir(self.state) if name.endswith('.init'))}

    def no_chkconfig(self, arguments, answer):
        return {'rc': I32(5)}

    def lsb(self, action):
        def call(arguments, answer):
            self.checked(arguments.get('timeout'), 0)
            name = arguments.get('name')
            if not name:
                raise Failure('Invalid Arguments')
            if not self.exists(name, '.init'):
                return {'rc': I32(1)}
            if action == 'status':
                return {'rc': I32(0 if self.exists(name, '.running') else 3)}
            return {'rc': I32(self.switch(name, '.running', action == 'start'))}
        return call

    # Resources

    def list_resources(self, arguments, answer):
        standard, provider = arguments.get('standard', 'ocf'), arguments.get('provider', 'heartbeat')
        if standard == 'systemd':
            raise Crash('Segmentation fault in strchr(NULL): systemd is not PID 1')
        return {'agents': ['Dummy'] if (standard, provider) == ('ocf', 'heartbeat') else []}

    def invoke(self, arguments, answer):
        name, action = arguments.get('name'), arguments.get('action')
        if not name or not action:
            raise Failure('Invalid Arguments')
        interval, timeout = self.checked(arguments.get('interval'), 0), self.checked(arguments.get('timeout'), 60000)
        standard = arguments.get('standard', 'ocf')
        if standard not in ('ocf', 'lsb', 'systemd'):
            raise Failure('Not implemented')
        key = (name, action, interval)
        self.operations += 1
        operation = {'key': key, 'sequence': self.operations, 'arguments': arguments, 'standard': standard, 'timeout': timeout,
                     'previous': None, 'running': False, 'cancelled': False}
        if interval:
            self.recurring.setdefault(key, []).append(operation)
            self.log('recurring', name=name, action=action, interval=interval)

        def finished(rc):
            operation['previous'] = rc
            values = {'rc': I32(rc)}
            if 'userdata' in arguments:
                values['userdata'] = arguments['userdata']
            answer(values)
            if interval:
                self.later(interval / 1000, lambda: self.again(operation))

        self.operate(operation, finished)

    def operate(self, operation, finished):
        """Runs the action; Dummy's op_sleep makes it slow, and the timeout ends it with 198."""
        arguments = operation['arguments']
        slow_ms = float((arguments.get('parameters') or {}).get('op_sleep', 0)) * 1000
        operation['running'] = True

        def end():
            operation['running'] = False
            finished(198 if slow_ms > operation['timeout'] > 0 else self.result(operation))

        if slow_ms:
            self.later(min(slow_ms, operation['timeout'] or slow_ms) / 1000, end)
        else:
            end()

    def result(self, operation):
        arguments, (name, action, _) = operation['arguments'], operation['key']
        if operation['standard'] != 'ocf':
            rc = {'monitor': 0 if self.exists(name, '.running') else 7, 'status': 0 if self.exists(name, '.running') else 3}
            return rc[action] if action in rc else self.switch(name, '.running', action == 'start') if action in ('start', 'stop') else 3
        if arguments.get('agent', name) != 'Dummy' or arguments.get('provider', 'heartbeat') != 'heartbeat':
            return 5
        if action == 'monitor':
            return 0 if self.exists(name, '.started') else 7
        if action in ('start', 'stop'):
            return self.switch(name, '.started', action == 'start')
        return 0 if action in ('meta-data', 'validate-all') else 3

    def again(self, operation):
        if operation['cancelled']:
            return

        def finished(rc):
            if rc != operation['previous']:
                self.report(operation, rc)
            operation['previous'] = rc
            if not operation['cancelled']:
                self.later(operation['key'][2] / 1000, lambda: self.again(operation))

        self.operate(operation, finished)

    def report(self, operation, rc):
        arguments, (name, action, interval) = operation['arguments'], operation['key']
        values = {'name': name, 'action': action, 'interval': I32(interval), 'rc': I32(rc), 'timestamp': U64(int(time.time())),
                  'sequence': I32(operation['sequence']), 'standard': operation['standard'], 'agent': arguments.get('agent', name),
                  'expected-rc': I32(arguments.get('expected-rc', 0))}
        if operation['standard'] == 'ocf':
            values['provider'] = arguments.get('provider', 'heartbeat')
        if 'userdata' in arguments:
            values['userdata'] = arguments['userdata']
        self.raise_event(self.OPERATION, values)

    def cancel(self, arguments, answer):
        key = (arguments.get('name'), arguments.get('action'), self.checked(arguments.get('interval'), 0))
        found = self.recurring.get(key, [])
        if any(operation['running'] for operation in found):
            raise Crash('cancel while the operation runs')
        if found and found[0]['cancelled'] and len(found) > 1:
            raise Crash('double free: two timers of one recurring operation')
        for operation in found[:1]:
            operation['cancelled'] = True
        return {}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('kind', choices=('host', 'service'))
    parser.add_argument('--host', default='127.0.0.1')
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--protocol', choices=('0-10', '1.0'), default='0-10', help='spoken first; 0-10 falls back to 1.0')
    parser.add_argument('--user')
    parser.add_argument('--password')
    parser.add_argument('--log')
    parser.add_argument('--state', default='.')
    parser.add_argument('--instance')
    parser.add_argument('--hostname', default=platform.node())
    parser.add_argument('--uuid', default='0' * 32)
    parser.add_argument('--speed', type=float, default=1)
    options = parser.parse_args()
    {'host': HostAgent, 'service': ServiceAgent}[options.kind](options).run()


if __name__ == '__main__':
    sys.exit(main())
