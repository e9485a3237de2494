#!/usr/bin/python3
"""check_style.py [ROOT]: the rules of form that can be counted.

No tabs, no blanks at the end of a line, a newline at the end of a file, Unix line ends. A source file stays below 800 lines, a C
function within 80, not counting the rows of a table or a dispatch (case labels, initialiser rows). No reserved names (two
underscores) of our own. Nothing that belongs to one machine: no absolute work folders, no hosts of package registries.
"""
import os
import re
import sys

TEXT = ('.c', '.h', '.cpp', '.hpp', '.py', '.js', '.sh', '.md', '.xml', '.json', '.yaml', '.yml', '.cmake', '.service', '.txt')
PLAIN = ('quickstart', 'test', 'run', 'build', 'install-packages')
CODE = ('.c', '.h', '.cpp', '.hpp', '.py', '.js')
C_CODE = ('.c', '.h', '.cpp', '.hpp')
FILE_LINES, FUNCTION_LINES = 800, 80

# In pieces, so that this file does not break its own rule.
MACHINE = re.compile('|'.join([r'/wo' r'rk/', r'/tmp/' r'(wt|tools)\b', r'\bsha' r'red/(spec|peers|anchors)', r'\.lib' r'rary\b']))
REGISTRY = re.compile('|'.join([r'deb\.' r'debian\.org', r'registry\.' r'npmjs', r'py' r'pi\.org', r'crates\.' r'io', r'deb\.' r'nodesource']))
RESERVED = re.compile(r'(?<![\w"])__(?!attribute__|func__|FILE__|LINE__|VA_ARGS__|VA_OPT__|builtin_|cplusplus|has_|typeof__|GNUC|clang__|'
                      r'SANITIZE|asan_|lsan_|extension__|atomic_|ATOMIC_|sync_|COUNTER__|linux__|x86_64__|BYTE_ORDER__|ORDER_|SSE|AVX|ARM|aarch64__)\w+')
ROW = re.compile(r'^\s*(case\b.*|default\s*:.*|\{.*\},?|\[\w+\]\s*=.*)$')
TYPEDEF_ROW = re.compile(r'^\s*[A-Z_]+\(.*\)\s*\\?$')


def files(root):
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if (not f.startswith(('.', 'build-')) or f == '.ci')
                            and f not in ('build', 'node_modules', '__pycache__', 'corpus', 'corpora', 'vectors'))
        for name in sorted(names):
            if name.endswith(TEXT) or name in PLAIN:
                yield os.path.relpath(os.path.join(folder, name), root)


def check_lines(path, lines):
    for number, line in enumerate(lines, 1):
        here = '%s:%d: ' % (path, number)
        if '\r' in line:
            yield here + 'carriage return'
        elif line != line.rstrip():
            yield here + 'blank at the end of the line'
        if '\t' in line:
            yield here + 'tab'
        if MACHINE.search(line):
            yield here + 'a path of one machine'
        if REGISTRY.search(line):
            yield here + 'the host of a package registry'


def strip_comments(text):
    """Comments and strings to blanks, line numbers kept."""
    def blank(found):
        return re.sub(r'[^\n]', ' ', found.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def functions(text):
    """(name, first line, body lines) of each C function: a brace at the start of a line closes what one opened."""
    lines = text.split('\n')
    start = None
    for number, line in enumerate(lines):
        if start is None and (line == '{' or (line.endswith('{') and re.match(r'^[A-Za-z_].*\)\s*\{$', line))):
            head = ' '.join(lines[max(0, number - 4):number + 1])
            names = re.findall(r'(\w+)\s*\(', head.split('}')[-1])
            start = (names[0] if names else '?', number)
        elif start is not None and line.startswith('}'):
            yield start[0], start[1] + 1, lines[start[1] + 1:number]
            start = None


def check_c(path, text):
    bare = strip_comments(text)
    for name, number, body in functions(bare):
        length = sum(1 for line in body if not ROW.match(line) and not TYPEDEF_ROW.match(line))
        if length > FUNCTION_LINES:
            yield '%s:%d: %s has %d lines, at most %d' % (path, number, name, length, FUNCTION_LINES)
    for number, line in enumerate(bare.split('\n'), 1):
        found = RESERVED.search(line)
        if found:
            yield '%s:%d: %s: names with two underscores belong to the compiler' % (path, number, found.group(0))


def check_file(root, path):
    with open(os.path.join(root, path), 'rb') as source:
        data = source.read()
    try:
        text = data.decode('utf-8')
    except UnicodeDecodeError:
        yield '%s: not UTF-8' % path
        return
    lines = text.split('\n')
    yield from check_lines(path, lines)
    if text and not text.endswith('\n'):
        yield '%s:%d: no newline at the end of the file' % (path, len(lines))
    if path.endswith(CODE) and len(lines) > FILE_LINES:
        yield '%s: %d lines, at most %d' % (path, len(lines) - 1, FILE_LINES - 1)
    if path.endswith(C_CODE):
        yield from check_c(path, text)


def check(root):
    return [problem for path in files(root) for problem in check_file(root, path)]


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
    problems = check(root)
    print('\n'.join(problems) or '%d files are in form' % len(list(files(root))))
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
