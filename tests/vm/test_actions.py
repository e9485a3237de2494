"""What the host agent does with VMs, on two real libvirts with QEMU by emulation. `test_actions.py NAME…` runs only those."""
import os
import subprocess
import sys
import threading
import time

import lvhost
import standagent
import tinyguest
from mendsite import BUILD
from standagent import until

VM, VM2, VM3 = ('aaaaaaaa-0000-4000-8000-00000000000%d' % n for n in (1, 2, 3))
HOST_B = 'bbbbbbbb-2222-4333-8444-555555555555'
STORAGE = 'cccccccc-2222-4333-8444-555555555555'
FIRST = '77777777-0000-4000-8000-000000000001'
MIB = 1 << 20


class Rig:
    """Two hosts that share a folder, an agent on each."""

    def __init__(self, lan):
        self.lan, self.folder = lan, lan.folder
        self.tiny = tinyguest.Tiny(lan.folder)
        self.a, self.b = lan.host('a', 11).start(), lan.host('b', 12).start()
        self.data = os.path.join(lan.folder, 'data-a')
        self.second = os.path.join(lan.folder, 'second')
        os.mkdir(self.second)
        self.agent = None
        self.new_agent()
        self.agent_b = standagent.Agent(self.b, 'data=%s/data-b' % self.folder, 'shared=' + self.folder)

    def new_agent(self, *settings):
        if self.agent is not None and self.agent.process.poll() is None:
            self.agent.close()
        self.agent = standagent.Agent(self.a, 'data=' + self.data, 'shared=' + self.folder, 'host=%s=%s' % (HOST_B, self.b.tcp_uri),
                                      'storage=%s=%s' % (STORAGE, self.second),
                                      'from=%s=%s/' % (FIRST, self.folder), *settings)
        return self.agent

    def notes(self):
        folder = os.path.join(self.data, 'jobs')
        return os.listdir(folder) if os.path.isdir(folder) else []

    def boot(self, name, vm, **more):
        """A VM that runs and has said so; its domain."""
        if 'disk' not in more:
            more['disk'] = self.tiny.disk(name)
        self.agent.call('vm_undefine', vm).must('done')
        self.agent.start(vm, definition=self.tiny.xml(name, uuid=vm, **more)).must('done', state='running')
        self.tiny.wait(name, 'TINY-UP')
        return self.a.connect().lookupByUUIDString(vm)

    def end(self, *vms):
        for vm in vms:
            self.agent.call('vm_stop', vm).must('done', state='stopped')

    def end_b(self, vm):
        self.agent_b.call('vm_stop', vm).must('done', state='stopped')
        self.agent_b.call('vm_undefine', vm).must('done')


def life(rig):
    """Start, pause, reboot, reset, shut down; what is done twice; what comes at the wrong time."""
    agent, tiny = rig.agent, rig.tiny
    agent.call('vm_stop', VM).must('done', state='stopped', text='not known here')
    agent.start(VM).must('refused', 'not-found')
    domain = rig.boot('w', VM)
    assert rig.a.qemu_pid(VM) is not None
    agent.start(VM).must('done', state='running', text='already')
    agent.call('vm_suspend', VM).must('done', state='paused')
    assert domain.state()[0] == 3 and tiny.stands('w')
    agent.start(VM).must('failed', text='paused')
    agent.call('vm_shutdown', VM).must('failed', text='it is paused')
    agent.call('vm_resume', VM).must('done', state='running')
    tiny.wait_more('w', 'TICK')
    agent.call('vm_reboot', VM).must('done', text='by its agent')
    tiny.wait('w', 'TINY-UP', 2)
    agent.call('vm_reset', VM).must('done', state='running')
    tiny.wait('w', 'TINY-UP', 3)
    tiny.wait_more('w', 'TICK')
    agent.call('vm_shutdown', VM, intent='user', mode='acpi').must('done', state='stopped', text='shut down')
    assert {'note': 'intent', 'vm': VM, 'value': 'user'} in agent.events
    assert not domain.isActive() and rig.a.qemu_pid(VM) is None
    agent.call('vm_stop', VM).must('done', state='stopped', text='was off')
    agent.call('vm_undefine', VM).must('done')
    assert not rig.a.connect().listAllDomains()
    agent.start(VM).must('done', state='running')  # from its own copy of the definition
    os.kill(rig.a.qemu_pid(VM), 9)
    agent.call('vm_stop', VM).must('done', state='stopped')


def lost(rig):
    """A QEMU that hangs, a QEMU that libvirt lost: nothing is called stopped that is not."""
    agent = rig.agent
    rig.boot('l', VM)
    os.kill(rig.a.qemu_pid(VM), 19)  # SIGSTOP
    agent.call('vm_set_memory', VM, memory_bytes=128 * MIB, timeout_ms=1000).must('failed', 'timeout', text='libvirt has not answered')
    agent.call('vm_set_memory', VM, memory_bytes=128 * MIB, timeout_ms=1000).must('failed', 'timeout', text='nothing was done')
    agent.call('vm_stop', VM).must('done', state='stopped')
    assert rig.a.qemu_pid(VM) is None
    agent.start(VM).must('done', state='running')
    pid = rig.a.qemu_pid(VM)
    rig.a.stop_libvirtd(9)
    agent.call('vm_stop', VM).must('failed', text='libvirtd does not answer')
    agent.start(VM).must('failed', text='libvirtd does not answer')
    for name in os.listdir(rig.a.folder + '/run/qemu'):
        if name.endswith('.xml'):
            os.unlink(rig.a.folder + '/run/qemu/' + name)
    rig.a.start_libvirtd()
    assert not rig.a.connect().lookupByUUIDString(VM).isActive() and rig.a.qemu_pid(VM) == pid
    agent.start(VM).must('failed', text='which libvirt does not know')
    agent.call('vm_stop', VM).must('done', state='stopped')
    until('it is reaped', lambda: not os.path.exists('/proc/%d' % pid))


def storage(rig):
    """EIO under a running guest: paused, nothing moved or copied, resumed only when the storage is back."""
    agent, tiny = rig.agent, rig.tiny
    inject, socket, raw = (os.path.join(rig.folder, name) for name in ('inject', 'nbd.sock', 'nbd.raw'))
    subprocess.run(['truncate', '-s', '64M', raw], check=True)
    server = rig.a.popen(['nbdkit', '-f', '-U', socket, '--filter=error', 'file', raw, 'error=EIO', 'error-rate=100%', 'error-file=' + inject],
                         stderr=subprocess.DEVNULL)
    until('nbdkit', lambda: os.path.exists(socket))
    domain = rig.boot('e', VM, write='vdb', disks="<disk type='network' device='disk'><driver name='qemu' type='raw' cache='none' "
                      "error_policy='stop' rerror_policy='stop'/><source protocol='nbd' name='x'><host transport='unix' socket='%s'/></source>"
                      "<target dev='vdb' bus='virtio'/></disk>" % socket)
    tiny.wait_more('e', 'WROTE', 20)
    agent.call('vm_snapshot', VM).must('refused', text='vdb is no file')
    open(inject, 'w').close()
    until('it is paused', lambda: domain.state() == [3, 5])
    agent.call('vm_migrate', VM, to=HOST_B).must('refused', 'unsafe', text='paused by an I/O error (vdb: I/O error)')
    agent.call('vm_block_copy', VM, disk='vda', path=rig.folder + '/never.qcow2').must('refused', 'unsafe')
    agent.call('vm_snapshot', VM).must('refused', 'unsafe')
    agent.call('vm_resume', VM).must('failed', text='still fails (vdb: I/O error)')
    assert domain.state() == [3, 5] and ('migration', 'begun') not in agent.jobs(VM)
    os.unlink(inject)
    agent.call('vm_resume', VM).must('done', state='running')
    tiny.wait_more('e', 'WROTE', 20)
    assert tiny.count('e', 'FAILED') == 0, 'the guest has not seen it'
    rig.end(VM)
    os.kill(next(pid for pid in rig.a.pids() if standagent.comm(pid) == 'nbdkit'), 15)
    server.wait()


def migration(rig):
    """There and back; aborted, too late, and beside a dead agent it stays where it is or arrives, and is told."""
    agent, tiny, b = rig.agent, rig.tiny, rig.b.connect()
    domain = rig.boot('m', VM, write='vda')
    disk = rig.folder + '/m.qcow2'
    slow = {'to': HOST_B, 'bandwidth_bytes': 2 * MIB}

    number = agent.begin('vm_migrate', VM, timeout_ms=60000, **slow)
    agent.wait(lambda e: e.get('values', {}).get('says') == 'progress')
    agent.call('vm_set_memory', VM, memory_bytes=128 * MIB).must('failed', text='vm_migrate of this VM is at work')
    agent.call('vm_abort_job', VM).must('done')
    agent.end(number).must('failed', text='ended by vm_abort_job')
    jobs = agent.jobs(VM)
    assert jobs[0] == ('migration', 'begun') and jobs[-1] == ('migration', 'ended') and ('migration', 'progress') in jobs, jobs
    agent.call('vm_migrate', VM, timeout_ms=2000, **slow).must('failed', 'timeout', text='the VM is here and running')
    assert {'note': 'to', 'vm': VM, 'value': ''} in agent.events, 'it did not get there'
    tiny.wait_more('m', 'TICK')
    assert not b.listAllDomains() and not rig.notes()

    agent.call('vm_migrate', VM, to=HOST_B).must('done', state='running')
    tiny.wait_more('m', 'TICK')
    assert [d.name() for d in b.listAllDomains()] == ['m'] and b.listAllDomains()[0].isPersistent()
    assert not rig.a.connect().listAllDomains(), 'no definition is left to start it a second time'
    assert {'lease': 'release', 'vm': VM} in agent.events
    agent.call('vm_stop', VM).must('done', state='stopped', text='not known here')
    rig.agent_b.call('vm_migrate', VM, to='11111111-2222-4333-8444-555555555556', uri=rig.a.tcp_uri).must('done')
    tiny.wait_more('m', 'TICK')

    agent.begin('vm_migrate', VM, timeout_ms=120000, to=HOST_B, bandwidth_bytes=16 * MIB)
    agent.wait(lambda e: e.get('values', {}).get('says') == 'progress', first=len(agent.events))
    agent.kill()
    assert rig.notes() == [VM + '.migration.json']
    agent = rig.new_agent()
    agent.wait(lambda e: e.get('values', {}).get('says') == 'begun')
    agent.wait(lambda e: e.get('values', {}).get('says') == 'ended', 90)
    assert b.listAllDomains() and not rig.notes()
    tiny.wait_more('m', 'TICK')
    rig.end_b(VM)
    tinyguest.check_blocks(disk, tiny.last('m', 'WROTE'), rig.folder)
    del domain


def migration_copies(rig):
    """Its disk is not shared: it travels, too."""
    agent, tiny, b = rig.agent, rig.tiny, rig.b.connect()
    own = [os.path.join(rig.folder, name) for name in ('own', 'own-a', 'own-b')]
    for folder in own:
        os.mkdir(folder)
    rig.a.run(['mount', '--bind', own[1], own[0]])
    rig.b.run(['mount', '--bind', own[2], own[0]])
    subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', own[1] + '/n.qcow2', '64M'], check=True)
    subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', own[2] + '/n.qcow2', '64M'], check=True)
    rig.boot('n', VM, disk=own[0] + '/n.qcow2', write='vda')
    tiny.wait_more('n', 'WROTE', 50)
    agent.call('vm_migrate', VM, to=HOST_B, copy_storage=True).must('done')
    tiny.wait_more('n', 'WROTE', 50)
    assert b.listAllDomains()
    rig.end_b(VM)
    tinyguest.check_blocks(own[2] + '/n.qcow2', tiny.last('n', 'WROTE'), rig.folder)


def by_others(rig):
    """A migration that somebody begins by hand is told as a job, too."""
    agent, tiny = rig.agent, rig.tiny
    domain = rig.boot('o', VM2)
    first = len(agent.events)
    flags = 1 | 2 | 512 | 8 | 16  # live, peer to peer, unsafe, persist there, undefine here
    thread = threading.Thread(target=lambda: domain.migrateToURI3(rig.b.tcp_uri, {'bandwidth': 12}, flags))
    thread.start()
    agent.wait(lambda e: e.get('values', {}).get('job') == 'migration' and e['values']['says'] == 'begun', 15, first)
    thread.join()
    agent.wait(lambda e: e.get('values', {}).get('job') == 'migration' and e['values']['says'] == 'ended', 15, first)
    tiny.wait_more('o', 'TICK')
    rig.end_b(VM2)


def copies(rig):
    """A disk is copied while the guest writes to it; what is ended early leaves the source, and no file."""
    agent, tiny = rig.agent, rig.tiny
    domain = rig.boot('c', VM, disk=rig.tiny.disk('c', size='512M'), write='vda')
    source, paths = rig.folder + '/c.qcow2', [rig.folder + '/c%d.qcow2' % n for n in range(4)]
    slow = {'disk': 'vda', 'bandwidth_bytes': 20000}

    def goes_on():
        tiny.wait_more('c', 'WROTE', 20)
        assert "file='%s'" % source in domain.XMLDesc() and '<mirror' not in domain.XMLDesc()

    tiny.wait_more('c', 'WROTE', 50)
    number = agent.begin('vm_block_copy', VM, path=paths[0], **slow)
    until('it copies', lambda: '<mirror' in domain.XMLDesc())
    agent.call('vm_suspend', VM).must('done')  # waits for no copy
    agent.call('vm_resume', VM).must('done')
    agent.call('vm_abort_job', VM).must('done')
    agent.end(number).must('failed', text='the VM goes on with ' + source)
    agent.call('vm_block_copy', VM, path=paths[0], timeout_ms=1000, **slow).must('failed', 'timeout')
    goes_on()
    assert not os.path.exists(paths[0]) and agent.jobs(VM)[-1] == ('copy', 'ended')

    number = agent.begin('vm_block_copy', VM, path=paths[0], **slow)
    until('it copies', lambda: '<mirror' in domain.XMLDesc())
    domain.blockJobAbort('vda')  # as virsh blockjob --abort does
    agent.end(number).must('failed', text='ended by somebody else, through libvirt; the VM goes on with ' + source)
    goes_on()
    assert not os.path.exists(paths[0])

    agent.begin('vm_block_copy', VM, path=paths[1], **slow)
    until('it copies', lambda: '<mirror' in domain.XMLDesc())
    agent.kill()
    assert '<mirror' in domain.XMLDesc()
    agent = rig.new_agent()
    until('the next life ends it', lambda: not rig.notes(), 30)
    goes_on()
    assert not os.path.exists(paths[1])

    number = agent.begin('vm_block_copy', VM, path=paths[2], **slow)
    until('it copies', lambda: '<mirror' in domain.XMLDesc())
    rig.a.stop_libvirtd(9)
    agent.end(number).must('failed', text='libvirtd has gone')
    rig.a.start_libvirtd()
    until('it is ended when libvirtd is back', lambda: not rig.notes(), 30)
    domain = rig.a.connect().lookupByUUIDString(VM)
    goes_on()
    assert not os.path.exists(paths[2])

    agent.call('vm_block_copy', VM, disk='vda', path=source).must('refused', text='overwrites nothing')
    agent.call('vm_block_copy', VM, disk='vda', path='c.qcow2').must('refused', 'bad-argument')
    agent.call('vm_block_copy', VM, disk='vda', storage=HOST_B).must('refused', 'not-found')
    agent.call('vm_block_copy', VM, disk='vda', path=paths[3], pivot=False).must('done', text='goes on with ' + source)
    before = tiny.last('c', 'WROTE')
    goes_on()
    path = agent.call('vm_block_copy', VM, disk='vda', storage=STORAGE).must('done').values['path']
    written = os.path.getmtime(source)
    tiny.wait_more('c', 'WROTE', 50)
    assert os.path.dirname(path) == rig.second and "file='%s'" % path in domain.XMLDesc(2), 'also what it starts from next time'
    rig.end(VM)
    assert os.path.getmtime(source) == written, 'nobody writes to the source any more'
    tinyguest.check_blocks(path, tiny.last('c', 'WROTE'), rig.folder)

    domain = rig.boot('c', VM, disk=tiny.disk('c5', size='512M'), write='vda')
    tiny.wait_more('c', 'WROTE', 20)
    agent.call('vm_block_copy', VM, **{'from': HOST_B}).must('done', text='no disk of it is there')
    path = agent.call('vm_block_copy', VM, **{'from': FIRST}).must('done').values['path']   # all that are there, to its failover
    tiny.wait_more('c', 'WROTE', 20)
    assert os.path.dirname(path) == rig.second and "file='%s'" % path in domain.XMLDesc()
    rig.end(VM)
    tinyguest.check_blocks(path, tiny.last('c', 'WROTE'), rig.folder)
    tinyguest.check_blocks(paths[3], before - 50, rig.folder)


def snapshots(rig):
    """Taken with the file systems frozen, merged back; thawed whatever happens."""
    agent, tiny = rig.agent, rig.tiny
    rig.boot('s', VM3, disk=tiny.disk('s', filesystem=True), mount='vda')
    stand = os.path.join(BUILD, 'tests', 'stand_actions')
    until('its agent', lambda: rig.a.run(['virsh', 'qemu-agent-command', 's', '{"execute":"guest-ping"}'], check=False).returncode == 0)

    overlay = agent.call('vm_snapshot', VM3, quiesce=True).must('done', text='frozen').values['disks']['vda']
    assert agent.jobs(VM3) == [('snapshot', 'begun'), ('freeze', 'begun'), ('freeze', 'ended'), ('snapshot', 'ended')]
    tiny.wait_more('s', 'TICK')
    again = agent.call('vm_snapshot', VM3).must('done', text='nobody asked').values
    assert not again['quiesced'] and os.path.exists(again['disks']['vda'])
    agent.call('vm_snapshot_commit', VM3).must('done', text='merged')
    assert os.path.exists(overlay) and not os.path.exists(again['disks']['vda'])
    agent.call('vm_snapshot_commit', VM3).must('done', text='merged')
    assert not os.path.exists(overlay)
    agent.call('vm_snapshot_commit', VM3).must('done', text='no snapshot of ours')
    tiny.wait_more('s', 'TICK')

    said = rig.a.run([stand, 'qemu:///system', rig.data, 'freeze', VM3, '1000', '3000']).stdout
    assert said == 'frozen\nthe clock thawed it\n', said
    said = rig.a.run([stand, 'qemu:///system', rig.data, 'freeze', VM3, '9000', '300']).stdout
    assert said == 'frozen\nuntil the end\n', said
    agent.close()
    holder = rig.a.popen([stand, 'qemu:///system', rig.data, 'freeze', VM3, '60000', '60000'], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == 'frozen\n' and tiny.stands('s')
    os.kill(next(pid for pid in rig.a.pids() if standagent.parent(pid) == holder.pid), 9)
    holder.wait()
    assert rig.notes() == [VM3 + '.freeze.json']
    rig.new_agent()
    until('the next life thaws it', lambda: not rig.notes(), 30)
    tiny.wait_more('s', 'TICK')
    rig.end(VM3)


HOOK = """#!/bin/sh
set -e
echo "$MEND_REASON $2 $3" >> %(log)s
%(before)s
[ "$(dirname "$3")" = %(small)s ]
n=$(df -B1 --output=size %(small)s | tail -1)
mount -o remount,size=$((n + 16777216)) %(small)s
"""


def extension(rig):
    """A disk that grows: more room is made in time, the guest never stands; too late, and it stands until there is room."""
    agent, tiny = rig.agent, rig.tiny
    small, log, hook = rig.folder + '/small', rig.folder + '/hook.log', rig.folder + '/hook'
    stand = os.path.join(BUILD, 'tests', 'stand_actions')
    os.mkdir(small)
    rig.a.run(['mount', '-t', 'tmpfs', '-o', 'size=24m', 'none', small])
    rig.a.run(['qemu-img', 'create', '-q', '-f', 'qcow2', small + '/x.qcow2', '200M'])
    stops = []

    def write_hook(before):
        with open(hook, 'w') as f:
            f.write(HOOK % {'log': log, 'small': small, 'before': before})
        os.chmod(hook, 0o755)

    write_hook('')
    extender = rig.a.popen([stand, 'qemu:///system', rig.data, 'extend', hook, str(8 * MIB)])
    agent.call('vm_undefine', VM2).must('done')
    agent.start(VM2, definition=tiny.xml('x', uuid=VM2, fill='vda', disks="<disk type='file' device='disk'><driver name='qemu' type='qcow2' "
                "cache='writeback' error_policy='stop'/><source file='%s/x.qcow2'/><target dev='vda' bus='virtio'/></disk>" % small)).must('done')
    domain = rig.a.connect().lookupByUUIDString(VM2)
    tiny.wait('x', 'TINY-UP')
    deadline = time.monotonic() + 60
    while tiny.last('x', 'FILLED') < 60:
        assert time.monotonic() < deadline, (tiny.said('x')[-300:], domain.state())
        stops += [domain.state()] if domain.state() != [1, 1] else []
        time.sleep(0.05)
    with open(log) as f:
        lines = f.read().split('\n')
    assert not stops and len(lines) <= 5 and lines[0] == 'threshold vda %s/x.qcow2' % small and 'enospc' not in ' '.join(lines), (stops, lines)

    write_hook('[ -e %s/now ]' % rig.folder)
    until('it is full', lambda: domain.state() == [3, 5], 60)
    agent.call('vm_resume', VM2).must('failed', text='vda: no space')
    open(rig.folder + '/now', 'w').close()
    filled = tiny.last('x', 'FILLED')
    until('there is room, and it goes on', lambda: tiny.last('x', 'FILLED') > filled + 10, 90)
    with open(log) as f:
        assert 'enospc vda' in f.read()
    os.kill(next(pid for pid in rig.a.pids() if standagent.parent(pid) == extender.pid), 15)
    extender.wait()
    rig.end(VM2)


def tuning(rig):
    """Memory, I/O limits, CPUs of a VM that runs."""
    agent = rig.agent
    domain = rig.boot('t', VM2)
    got = agent.call('vm_set_memory', VM2, memory_bytes=128 * MIB).must('done').values
    assert got['target_bytes'] == 128 * MIB
    until('the balloon is there', lambda: domain.memoryStats()['actual'] == 128 * 1024)
    agent.call('vm_set_memory', VM2, memory_bytes=1 << 40).must('refused', 'bad-argument')
    limits = {'total_bytes_sec': 5000000, 'read_iops_sec': 100}
    got = agent.call('vm_set_io_limit', VM2, disk='vda', limits=limits).must('done').values
    assert {key: got[key] for key in limits} == limits and domain.blockIoTune('vda')['total_bytes_sec'] == 5000000
    agent.call('vm_set_io_limit', VM2, disk='vda', limits={'total_bytes_sec': 0}).must('done')
    assert domain.blockIoTune('vda')['total_bytes_sec'] == 0
    agent.call('vm_set_io_limit', VM2, disk='vda', limits={'much': 1}).must('refused', 'bad-argument')
    agent.call('vm_set_io_limit', VM2, disk='vdx', limits={'total_bytes_sec': 1}).must('failed')
    agent.call('vm_set_vcpus', VM2, vcpus=1).must('done')
    agent.call('vm_set_vcpus', VM2, vcpus=2).must('refused', 'bad-argument')
    agent.call('vm_set_cpu_limit', VM2, quota_us=5).must('refused', 'bad-argument')
    rig.end(VM2)


def cpu(rig):
    """A limit of its CPU time, where libvirt can use cgroups."""
    why = lvhost.cgroup_missing('cpu')
    if why:
        print('cpu: skipped: ' + why)
        return
    host = rig.lan.host('c', 13, controllers=('cpu',)).start()
    agent = standagent.Agent(host, 'data=%s/data-c' % rig.folder)
    agent.start(VM2, definition=rig.tiny.xml('cpu', uuid=VM2)).must('done')
    got = agent.call('vm_set_cpu_limit', VM2, quota_us=50000, period_us=100000).must('done').values
    assert got == {'vcpu_quota': 50000, 'vcpu_period': 100000}, got
    assert host.connect().lookupByUUIDString(VM2).schedulerParameters()['vcpu_quota'] == 50000
    assert agent.call('vm_set_cpu_limit', VM2, quota_us=-1).must('done').values['vcpu_quota'] == -1
    agent.call('vm_stop', VM2).must('done')
    agent.close()
    host.power_cut()


def evidence(rig):
    """Screen and memory as files, few and small enough."""
    agent = rig.new_agent('evidence_per_vm=2', 'evidence_bytes=%d' % (700 * MIB))
    rig.boot('v', VM2, video=True)
    for kind, start in (('vm_screenshot', b'\x89PNG'), ('vm_dump', b'\x7fELF')):
        paths = [agent.call(kind, VM2).must('done').values for _ in range(3)]
        assert [os.path.exists(kept['path']) for kept in paths] == [False, True, True], 'two are kept'
        path = paths[2]['path']
        with open(path, 'rb') as f:
            assert f.read(4) == start
        digest = subprocess.run(['sha256sum', path], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[0]
        assert digest == paths[2]['sha256'] and os.path.getsize(path) == paths[2]['size'] and os.stat(path).st_mode & 0o777 == 0o600
    assert [job for job in agent.jobs(VM2)][-1] == ('dump', 'ended')
    agent = rig.new_agent('evidence_bytes=%d' % (10 * MIB))
    agent.call('vm_dump', VM2).must('failed', text='nothing was written')
    rig.end(VM2)
    rig.new_agent()


TESTS = [life, lost, storage, migration, migration_copies, by_others, copies, snapshots, extension, tuning, cpu, evidence]


def main():
    why = lvhost.missing(('nbdkit', 'virsh')) or lvhost.network_missing() or tinyguest.missing()
    if why:
        print('skipped: ' + why)
        return 77
    wanted = sys.argv[1:]
    with lvhost.Lan() as lan:
        rig = Rig(lan)
        for test in TESTS:
            if not wanted or test.__name__ in wanted:
                began = time.monotonic()
                test(rig)
                print('%s: %.1f s' % (test.__name__, time.monotonic() - began), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
