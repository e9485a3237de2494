#!/usr/bin/python3
"""check_includes.py [ROOT]: reads every include line and fails on one that points the wrong way.

    lib/base -> lib/model -> lib/amqp -> lib/qmf -> { broker-plugin, agents, consumers, bridges } -> mend

A folder may include what stands left of it. The four groups meet on the wire only and never include each other, but that a bridge,
an agent for what cannot run one, may be made of an agent's parts; the stages of the plugin, its hosts, the agents, and the bridges
do not include one another; the policy engine includes nothing that does I/O, reads a
clock or throws dice, not even through another header. tests/ and bench/ may include everything, nothing includes them.
"""
import os
import re
import sys

LAYERS = ['lib/base', 'lib/model', 'lib/amqp', 'lib/qmf']
GROUPS = ['broker-plugin', 'agents', 'consumers', 'bridges']
FREE = ['tests', 'bench', 'docs']
SOURCES = ('.c', '.h', '.cpp', '.hpp', '.cc', '.inc')
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')

# Parts of a group that do not know each other. What they share stands in the group's own folder (or in agents/common).
APART = [
    ['broker-plugin/' + stage for stage in ('ingress', 'registry', 'liveness', 'events', 'control', 'hosts')],
    ['broker-plugin/hosts/' + host for host in ('embedded', 'attach')],
    ['broker-plugin/hosts/' + host for host in ('embedded', 'qpidd')],  # hosts/qpidd is hosts/attach in a thread
    ['agents/guest', 'agents/host'],
    ['agents/host/libvirt', 'agents/host/fence', 'agents/host/storage', 'agents/host/memory', 'agents/host/relay', 'agents/host/channel', 'agents/host/peers'],
    ['bridges/' + system for system in ('alertmanager', 'deltacloud', 'masakari', 'ovirt', 'pacemaker-cloud', 'ssh')],
    ['consumers/' + consumer for consumer in ('policy', 'gateway', 'notify')],
]

ENGINE = 'consumers/policy/engine'
PURE_SYSTEM = {'glib.h', 'jansson.h', 'assert.h', 'ctype.h', 'errno.h', 'float.h', 'inttypes.h', 'limits.h', 'math.h',
               'stdarg.h', 'stdbool.h', 'stddef.h', 'stdint.h', 'stdlib.h', 'string.h'}
IMPURE_OURS = ('lib/base/clock.h', 'lib/base/file.h', 'lib/base/log.h', 'lib/base/settings.h', 'lib/amqp/', 'lib/qmf/',
               'consumers/policy/journal/', 'consumers/policy/language/yaml')


def inside(path, folder):
    return path.startswith(folder + '/')


def is_test(path):
    """A test beside its module may use what it tests and whatever it needs to do so."""
    return '/tests/' in path or os.path.basename(path).startswith(('test_', 'fuzz_'))


def rank(path):
    for number, layer in enumerate(LAYERS):
        if inside(path, layer):
            return number
    if any(inside(path, group) for group in GROUPS):
        return len(LAYERS)
    if inside(path, 'mend'):
        return len(LAYERS) + 1
    return None


def owner(path, folders):
    return next((folder for folder in folders if inside(path, folder)), None)


def wrong_direction(path, target):
    """Why path may not include target, or None."""
    if any(inside(target, folder) for folder in FREE):
        return 'only tests include tests'
    mine, theirs = rank(path), rank(target)
    if mine is None or theirs is None:
        return None
    if theirs > mine:
        return 'a lower layer includes a higher one'
    made_of_agents = inside(path, 'bridges') and inside(target, 'agents')
    if mine == len(LAYERS) and theirs == mine and owner(path, GROUPS) != owner(target, GROUPS) and not made_of_agents:
        return '%s and %s meet on the wire only' % (owner(path, GROUPS), owner(target, GROUPS))
    for parts in APART:
        one, other = owner(path, parts), owner(target, parts)
        if one and other and one != other:
            return '%s and %s do not know each other' % (one, other)
    return None


def read_includes(path):
    with open(path, encoding='utf-8', errors='replace') as source:
        for number, line in enumerate(source, 1):
            found = INCLUDE.match(line)
            if found:
                yield number, found.group(1) == '"', found.group(2)


def sources(root):
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if not f.startswith(('.', 'build')) and f != 'node_modules')
        for name in sorted(files):
            if name.endswith(SOURCES):
                yield os.path.relpath(os.path.join(folder, name), root)


def impure(root, path, seen, trail):
    """Walks the engine's headers; yields (trail, header) for each that does I/O."""
    for _, quoted, target in read_includes(os.path.join(root, path)):
        if not quoted:
            if target not in PURE_SYSTEM:
                yield trail + [path], '<%s>' % target
        elif target.startswith(IMPURE_OURS):
            yield trail + [path], target
        elif target not in seen and os.path.exists(os.path.join(root, target)):
            seen.add(target)
            yield from impure(root, target, seen, trail + [path])


def check_file(root, path):
    if any(inside(path, folder) for folder in FREE):
        return
    for number, quoted, target in read_includes(os.path.join(root, path)):
        if not quoted:
            continue
        here = '%s:%d: includes "%s": ' % (path, number, target)
        if target.startswith(('.', '/')) or ('/' not in target and os.path.exists(os.path.join(root, os.path.dirname(path), target))):
            yield here + 'includes are written from the root of the tree'
        elif not is_test(path):
            reason = wrong_direction(path, target)
            if reason:
                yield here + reason
    if inside(path, ENGINE) and not is_test(path):
        for trail, header in impure(root, path, set(), []):
            yield '%s: the engine is pure, %s is not%s' % (path, header, ' (through %s)' % trail[-1] if len(trail) > 1 else '')


def check(root):
    return [problem for path in sources(root) for problem in check_file(root, path)]


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
    problems = check(root)
    print('\n'.join(problems) or '%d files include in the right direction' % len(list(sources(root))))
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
