#!/usr/bin/python3
"""The embedded broker against rhea (Node.js). rhea is installed with npm into the build folder, once."""
import os
import shutil
import subprocess
import sys

import mendsite

RHEA = 'rhea@3.0.5'
HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(mendsite.BUILD, 'interop-rhea')


def skip(why):
    print('skipped: ' + why)
    sys.exit(77)


def install():
    if not shutil.which('node') or not shutil.which('npm'):
        skip('node and npm are not installed')
    if os.path.isdir(os.path.join(FOLDER, 'node_modules', 'rhea')):
        return
    os.makedirs(FOLDER, exist_ok=True)
    done = subprocess.run(['npm', 'install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefix', FOLDER, RHEA], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=120)
    if done.returncode != 0:
        skip('npm cannot fetch %s: %s' % (RHEA, done.stderr.strip().splitlines()[-1:]))


def run(*arguments):
    return subprocess.run(['node', os.path.join(HERE, 'rhea_cases.js'), *map(str, arguments)], stdin=subprocess.DEVNULL, timeout=120,
                          env=dict(os.environ, NODE_PATH=os.path.join(FOLDER, 'node_modules'))).returncode


def main():
    install()
    with mendsite.Site() as site:
        site.broker('--lab')
        failed = run(site.port)
        assert site.stop('broker') == 0
        site.broker()
        failed += run(site.port, os.path.join(site.data, 'tls', 'ca.pem'), 'operator', site.password('operator'))
        assert site.stop('broker') == 0
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
