"""The load programs against a small site: that they run, and that what they print is what they did. Figures are bench/compare's."""
import json
import os
import subprocess
import sys

import mendsite

BIN = mendsite.BIN


def run(program, *arguments):
    done = subprocess.run([os.path.join(BIN, program), *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, '%s %s: exit %d: %s' % (program, ' '.join(arguments), done.returncode, done.stderr)
    return json.loads(done.stdout)


def main():
    with mendsite.Site() as site:
        process = site.broker('--lab')
        to = '127.0.0.1:%d' % site.port
        for settled in ['--presettled'], []:
            result = run('mend-bench', 'through', '--to', to, '--count', '5000', *settled)
            assert result['count'] == 5000 and result['per_second'] > 0, result
        result = run('mend-bench', 'latency', '--to', to, '--rate', '500', '--seconds', '1')
        assert 0 < result['p50_ms'] <= result['p99_ms'] <= result['max_ms'], result
        result = run('mend-bench', 'idle', '--to', to, '--count', '50', '--pid', str(process.pid))
        assert result['count'] == 50 and result['after_kb'] > 0, result
        result = run('mend-swarm', '--to', to, '--agents', '20', '--seconds', '3')
        assert result['agents'] == 20 and result['accepted_per_second'] > 0 and result['refused'] == 0 and result['lost'] == 0, result
    return 0


if __name__ == '__main__':
    sys.exit(main())
