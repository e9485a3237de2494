#!/usr/bin/python3
"""vsock on a kernel that loops it back: where this machine's does not, Debian's own does, in a small emulated machine that runs the same
test programs."""
import os
import shutil
import subprocess
import sys
import tempfile

import tinyguest

BUILD = os.environ.get('MEND_BUILD_DIR') or os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'build')
PROGRAMS = ('lib_amqp_test_vsock', 'agents_host_relay_test_relay')

INIT = '''#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs tmp /tmp
ip link set lo up
while read m; do insmod /modules/$m; done < /modules/order
exec > /dev/ttyS0 2>&1 < /dev/null
for p in %s; do /bin/$p && echo "PASSED $p"; done
poweroff -f
''' % ' '.join(PROGRAMS)


def main():
    why = tinyguest.missing()
    if why or not shutil.which('qemu-system-x86_64'):
        print('skipped: ' + (why or 'needs qemu-system-x86_64'))
        return 77
    kernel, version = tinyguest.kernel()
    with tempfile.TemporaryDirectory() as folder:
        root = os.path.join(folder, 'root')
        for part in ('bin', 'dev', 'proc', 'sys', 'tmp', 'modules'):
            os.makedirs(os.path.join(root, part))
        shutil.copy(shutil.which('busybox'), root + '/bin/busybox')
        for program in PROGRAMS:
            tinyguest.copy_program(os.path.join(BUILD, 'tests', program), root)
        answer = subprocess.run(['modprobe', '-S', version, '--show-depends', 'vsock_loopback'], stdout=subprocess.PIPE, text=True, check=True)
        modules = [line.split()[1] for line in answer.stdout.splitlines() if line.startswith('insmod')]
        for module in modules:
            shutil.copy(module, root + '/modules')
        tinyguest.write(root + '/modules/order', ''.join(os.path.basename(module) + '\n' for module in modules))
        tinyguest.write(root + '/init', INIT, 0o755)
        with open(folder + '/initrd', 'wb') as f:
            names = subprocess.run(['find', '.'], cwd=root, stdout=subprocess.PIPE, check=True).stdout
            subprocess.run(['cpio', '-o', '-H', 'newc', '--quiet'], cwd=root, input=names, stdout=f, check=True)
        said = subprocess.run(['qemu-system-x86_64', '-machine', 'q35,accel=tcg', '-m', '512', '-nic', 'none', '-display', 'none', '-serial', 'stdio',
                               '-no-reboot', '-kernel', kernel, '-initrd', folder + '/initrd', '-append', 'console=ttyS0 quiet panic=-1'],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=200).stdout.decode(errors='replace')
    good = all('PASSED ' + program in said for program in PROGRAMS) and 'SKIP' not in said
    for line in said.splitlines():
        if 'DEBUG' not in line and (not good or line.startswith(('ok', 'PASSED'))):
            print(line)
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
