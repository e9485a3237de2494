"""Private RabbitMQ nodes for a test: Debian's rabbitmq-server on free loopback ports, with a folder, a cookie and an epmd of their own,
ended by their ids.

    with rabbitmq.Cluster() as rabbit:
        node = rabbit.start()
        rabbit.user('agent-1', 'secret')
"""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HOME = '/usr/lib/rabbitmq/bin'
PLUGINS = ['rabbitmq_amqp1_0', 'rabbitmq_event_exchange', 'rabbitmq_consistent_hash_exchange']


def need():
    """Skips the test where there is no RabbitMQ."""
    if not os.path.exists(os.path.join(HOME, 'rabbitmq-server')):
        print('skipped: Debian\'s rabbitmq-server is not installed')
        sys.exit(77)


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for each in sockets:
        each.bind(('127.0.0.1', 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port), 1):
        return True
    return False


class Node:
    def __init__(self, cluster, number, extra=''):
        self.cluster, self.number = cluster, number
        self.name = 'mend%d@localhost' % number
        self.folder = os.path.join(cluster.folder, 'n%d' % number)
        self.port, self.dist = free_ports(2)
        os.makedirs(os.path.join(self.folder, 'log'))
        with open(os.path.join(self.folder, 'rabbitmq.conf'), 'w') as conf:
            conf.write('listeners.tcp.1 = 127.0.0.1:%d\nlog.file.level = info\nheartbeat = 10\ndisk_free_limit.absolute = 50MB\n'
                       'vm_memory_high_watermark.absolute = 512MB\ncluster_partition_handling = pause_minority\n%s' % (self.port, extra))
        with open(os.path.join(self.folder, 'enabled_plugins'), 'w') as enabled:
            enabled.write('[%s].' % ','.join(PLUGINS))
        open(os.path.join(self.folder, 'env.conf'), 'w').close()
        self.process = None

    def environment(self):
        files = {'MNESIA_BASE': 'mnesia', 'LOG_BASE': 'log', 'ENABLED_PLUGINS_FILE': 'enabled_plugins', 'CONFIG_FILE': 'rabbitmq',
                 'CONF_ENV_FILE': 'env.conf', 'PID_FILE': 'pid'}
        own = {'RABBITMQ_' + key: os.path.join(self.folder, name) for key, name in files.items()}
        return dict(os.environ, HOME=self.cluster.folder, ERL_EPMD_ADDRESS='127.0.0.1', ERL_EPMD_PORT=str(self.cluster.epmd), LANG='C.UTF-8',
                    RABBITMQ_NODENAME=self.name, RABBITMQ_DIST_PORT=str(self.dist),
                    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none', **own)

    def start(self, timeout=120):
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(self.folder, 'pid'))
        with open(os.path.join(self.folder, 'stdout'), 'ab') as out:
            self.process = subprocess.Popen([os.path.join(HOME, 'rabbitmq-server')], env=self.environment(), stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=out, start_new_session=True)
        deadline = time.monotonic() + timeout
        while not answers(self.port):
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError('RabbitMQ did not come up: ' + self.said())
            time.sleep(0.1)
        self.ctl('await_startup')
        return self

    def said(self):
        with open(os.path.join(self.folder, 'stdout'), errors='replace') as out:
            return out.read()[-3000:]

    def pid(self):
        with open(os.path.join(self.folder, 'pid')) as pid:
            return int(pid.read())

    def ctl(self, *arguments, check=True, timeout=120):
        done = subprocess.run([os.path.join(HOME, 'rabbitmqctl'), '-n', self.name, *arguments], env=self.environment(), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError('rabbitmqctl %s: %s' % (' '.join(arguments), done.stderr or done.stdout))
        return done.stdout

    def queues(self):
        """Name -> (type, messages, consumers)."""
        rows = [line.split('\t') for line in self.ctl('-q', 'list_queues', 'name', 'type', 'messages', 'consumers', '--no-table-headers').splitlines()]
        return {row[0]: (row[1], int(row[2] or 0), int(row[3] or 0)) for row in rows if len(row) == 4}

    def kill(self):
        """Power cut."""
        with contextlib.suppress(OSError, ValueError):
            os.kill(self.pid(), signal.SIGKILL)
        self.end()

    def end(self):
        if self.process is None:
            return
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL) # its own session: the server and what it started
        self.process.wait()
        self.process = None

    def stop(self):
        self.ctl('shutdown', check=False)
        self.end()


class Cluster:
    def __init__(self):
        need()
        self.folder = tempfile.mkdtemp(prefix='mend-rabbit-')
        self.epmd, = free_ports(1)
        self.nodes = []
        cookie = os.path.join(self.folder, '.erlang.cookie')
        with open(cookie, 'w') as out:
            out.write(os.urandom(16).hex())
        os.chmod(cookie, 0o400)
        self.names = subprocess.Popen(['epmd', '-port', str(self.epmd), '-address', '127.0.0.1'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL) # else the first node leaves one behind

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for node in self.nodes:
            if kind is not None:
                print('---- %s ----\n%s' % (node.name, node.said()))
            with contextlib.suppress(OSError, ValueError):
                os.kill(node.pid(), signal.SIGKILL)
            node.end()
        self.names.kill()
        self.names.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, extra=''):
        """One more node; the second and later ones join the first."""
        node = Node(self, len(self.nodes) + 1, extra)
        self.nodes.append(node)
        node.start()
        if node.number > 1:
            for step in (('stop_app',), ('reset',), ('join_cluster', self.nodes[0].name), ('start_app',), ('await_startup',)):
                node.ctl(*step)
        return node

    def user(self, name, password):
        first = next(node for node in self.nodes if node.process is not None)
        first.ctl('add_user', name, password)
        first.ctl('set_permissions', name, '.*', '.*', '.*')
