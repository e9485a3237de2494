"""The process the plug-ins of mend-guest live in: python3 -c THIS FOLDER, one JSON object a line on stdin and stdout.

first line out   {"plugins": [{"name", "procedures"}], "failed": [{"name", "error"}]}
in               {"id", "plugin", "procedure", "args": [JSON text], "kwargs": {name: JSON text}}
out              {"id", "result": JSON text}  or  {"id", "exception": {"type", "value", "traceback"}}

It ends when its stdin does. Plug-ins see an empty stdin, and what they print goes to stderr.
"""
import contextlib
import importlib.util
import json
import os
import resource
import sys
import traceback

PLUGINS, PROCEDURES, NAME = 64, 200, 64
TEXT, RESULT = 16384, 1000000
MEMORY = 512 << 20


def is_procedure(module, name, value):
    """A public function of the module's own: what it imported is not for others to call, and a class is no function."""
    return (not name.startswith('_') and name.isidentifier() and name.isascii() and len(name) <= NAME and callable(value)
            and not isinstance(value, type) and getattr(value, '__module__', None) == module.__name__)


def load(path, name):
    """Executes the file as a module of that name. The name of a module that is there already would give its functions away."""
    if name in sys.modules or name in sys.stdlib_module_names:
        raise ImportError("'%s' is the name of a module of Python's own" % name)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def load_all(folder):
    modules, failed = {}, []
    for file in sorted(os.listdir(folder)):
        name, extension = os.path.splitext(file)
        if extension != '.py' or not name.isidentifier() or not name.isascii() or name.startswith('_') or len(name) > NAME:
            continue
        try:
            if len(modules) >= PLUGINS:
                raise ImportError('more than %d plug-ins' % PLUGINS)
            modules[name] = load(os.path.join(folder, file), name)
        except BaseException as problem:
            failed.append({'name': name, 'error': ('%s: %s' % (type(problem).__name__, problem))[:200]})
    return modules, failed[:PLUGINS]


def procedures(module):
    return sorted(name for name, value in vars(module).items() if is_procedure(module, name, value))[:PROCEDURES]


def describe(problem):
    try:
        value = str(problem)
    except Exception:
        value = ''
    return {'type': type(problem).__name__[:TEXT], 'value': value[:TEXT], 'traceback': ''.join(traceback.format_tb(problem.__traceback__))[-TEXT:]}


def call(modules, request):
    module, name = modules[request['plugin']], request['procedure']
    function = getattr(module, name)
    if not is_procedure(module, name, function):
        raise AttributeError("no procedure '%s'" % name)
    args = [json.loads(text) for text in request['args']]
    kwargs = {key: json.loads(text) for key, text in request['kwargs'].items()}
    result = json.dumps(function(*args, **kwargs))
    if len(result) > RESULT:
        raise ValueError('the result has %d bytes, more than %d' % (len(result), RESULT))
    return result


def serve(modules, lines, out):
    for line in lines:
        request = json.loads(line)
        try:
            answer = {'id': request['id'], 'result': call(modules, request)}
        except BaseException as problem:
            answer = {'id': request['id'], 'exception': describe(problem)}
        out.write(json.dumps(answer) + '\n')
        out.flush()


def main(folder):
    lines, out = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), 'w')
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.path.append(folder)
    with contextlib.redirect_stdout(sys.stderr):
        modules, failed = load_all(folder)
        out.write(json.dumps({'plugins': [{'name': name, 'procedures': procedures(module)} for name, module in modules.items()],
                              'failed': failed}) + '\n')
        out.flush()
        serve(modules, lines, out)


if __name__ == '__main__':
    main(sys.argv[1])
