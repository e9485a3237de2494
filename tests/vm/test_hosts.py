"""Hosts with their own libvirt: two beside each other, a power cut, another life."""
import os
import shutil
import subprocess
import sys
import time

import lvhost

why = lvhost.missing() or lvhost.network_missing()
if why:
    print('skipped: ' + why)
    sys.exit(77)

XML = '''<domain type='qemu'><name>idle</name><memory unit='MiB'>64</memory><os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices></domain>'''

with lvhost.Lan() as lan:
    a, b = lan.host('a', 11).start(), lan.host('b', 12).start()
    first_life = a.boot_id
    assert a.run(['cat', '/proc/sys/kernel/random/boot_id']).stdout.strip() == first_life
    assert lan.run(['virsh', '-c', a.tcp_uri, 'hostname']).stdout.strip() == 'a'
    assert b.run(['virsh', '-c', a.tcp_uri, 'hostname']).stdout.strip() == 'a', 'hosts see each other'

    domain = a.connect().defineXML(XML)
    domain.create()
    qemu = a.qemu_pid('idle')
    assert qemu and b.qemu_pid('idle') is None

    a.unplug()
    assert b.run(['timeout', '2', 'bash', '-c', 'echo > /dev/tcp/%s/16509' % a.address], check=False).returncode != 0
    a.plug()

    a.power_cut()
    assert not a.is_on and not os.path.exists('/proc/%d' % qemu), 'nothing of it lives'
    a.start()
    assert a.boot_id != first_life
    found = a.connect().lookupByName('idle')
    assert not found.isActive(), 'defined, and off'

    found.create()
    qemu = a.qemu_pid('idle')
    a.stop_libvirtd(9)
    assert os.path.exists('/proc/%d' % qemu), 'VMs outlive libvirtd'
    a.start_libvirtd()
    assert a.connect().lookupByName('idle').isActive()
    folder, space = lan.folder, lan.space.pid
assert not os.path.exists(folder) and not os.path.exists('/proc/%d' % space) and not os.path.exists('/proc/%d' % qemu)

# A test that is killed leaves nothing behind.
killed = subprocess.Popen([sys.executable, '-c', 'import lvhost, os, time\nlan = lvhost.Lan()\nlan.host("a", 11).start()\n'
                           'print(lan.folder, lan.hosts["a"].space.pid, flush=True)\ntime.sleep(60)'], stdout=subprocess.PIPE, text=True,
                          cwd=os.path.dirname(os.path.abspath(__file__)))
folder, pid = killed.stdout.readline().split()
assert os.path.exists('/proc/' + pid)
killed.kill()
killed.wait()
for _ in range(200):
    if not os.path.exists('/proc/' + pid):
        break
    time.sleep(0.02)
assert not os.path.exists('/proc/' + pid), 'a host outlived its test'
shutil.rmtree(folder, ignore_errors=True)
print('ok')
