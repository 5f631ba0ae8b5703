"""Node's own tests of listening and sharing, each as a program of ours; the docstring names the upstream test."""

from __future__ import annotations

import contextlib
import random
import socket

import pytest
from stage import Play

NONE = {"NODE_CLUSTER_SCHED_POLICY": "none"}
HELD = """
holder = net.create_server()
def held(then):
    holder.listen(0, '127.0.0.1', callback=lambda: then(holder.address().port))
"""


@pytest.mark.slow
def test_accept_fail(play: Play) -> None:
    """test-cluster-accept-fail: a failed accept is skipped: no connection in the worker, which shuts down normally."""
    trace = play(
        """
        if cluster.is_primary:
            from nodecluster_compat.connections import listener
            real, failed = listener.Listener._accept_one, []
            def accept_one(self):
                if failed:
                    return real(self)
                fd = self._sock._accept()[0]
                failed.append(fd)
                os.close(fd)
                import errno
                return self._failed(OSError(errno.ECONNABORTED, 'gone'))
            listener.Listener._accept_one = accept_one
            cluster.fork().on('exit', lambda code, sig: trace('failed', len(failed), 'exit', code))
        else:
            s = net.create_server(lambda sock, p: trace('never'))
            def closed(text):
                trace('closed', text)
                s.close(lambda: (trace('server closed'), process.disconnect()))
            s.listen(0, '127.0.0.1', callback=lambda: ask(s.address().port, closed))
    """,
        NODECLUSTER_NATIVE="0",
    )  # in C it is the kernel that accepts, and no test can make it fail
    assert trace["P"] == ["failed 1 exit 0"]
    assert trace["W1"] in (["closed ", "server closed"], ["closed ECONNRESET", "server closed"])


@pytest.mark.table(quick=["none"])
@pytest.mark.parametrize("policy", ["rr", "none"])
def test_bind_privileged_port(play: Play, policy: str) -> None:
    """test-cluster-bind-privileged-port, test-cluster-shared-handle-bind-privileged-port: EACCES reaches the worker."""
    trace = play(
        """
        if cluster.is_primary:
            cluster.on('exit', lambda w, code, sig: trace(code))
            cluster.fork()
            if os.geteuid() == 0:
                os.seteuid(65534)  # root may bind any port
        else:
            s = net.create_server(lambda sock, p: trace('never'))
            s.on('error', lambda e: (trace(e.code), process.disconnect()))
            s.listen(42, '127.0.0.1', callback=lambda: trace('never'))
    """,
        NODE_CLUSTER_SCHED_POLICY=policy,
    )
    assert (trace["P"], trace["W1"]) == (["0"], ["EACCES"])


@pytest.mark.slow
def test_bind_twice(play: Play) -> None:
    """test-cluster-bind-twice: of two clusters on one port the second one's worker gets EADDRINUSE.

    Left out: the supervisor above both; here the first cluster starts the second.
    """
    trace = play("""
        import subprocess, threading
        app = lambda environ, start: trace('never')
        if 'PORT' in os.environ and cluster.is_primary:
            cluster.fork().on('exit', lambda code, sig: print('two:', code))
        elif 'PORT' in os.environ:
            s = http.create_server(app)
            s.on('error', lambda e: (print('two:', e.code, flush=True), process.exit()))
            s.listen(int(os.environ['PORT']), '127.0.0.1', callback=lambda: trace('never'))
        elif cluster.is_primary:
            w = cluster.fork()
            w.on('exit', lambda code, sig: trace('one:', code))
            def second(port):
                command = [sys.executable, '-m', 'nodecluster_compat', __file__]
                done = subprocess.run(command, env={**os.environ, 'PORT': str(port)}, capture_output=True, text=True)
                cluster.call_soon_threadsafe(lambda: (trace(done.stdout.split(), done.stderr), w.send('quit')))
            w.on('listening', lambda a: threading.Thread(target=second, args=(a.port,)).start())
        else:
            process.on('message', lambda m, h: process.exit())
            http.create_server(app).listen(0, '127.0.0.1')
    """)
    assert trace["P"] == ['["two:","EADDRINUSE","two:","0"] ', "one: 0"]
    assert trace["W1"] == []


def test_child_index(play: Play) -> None:
    """test-cluster-child-index-net: two chains of listen(0), close, listen(0), close at the same time never collide."""
    trace = play("""
        if cluster.is_primary:
            cluster.on('exit', lambda w, code, sig: trace(code, sig))
            cluster.fork()
        else:
            closed = []
            def count():
                closed.append(1)
                if len(closed) == 4: process.exit(0)
            def again():
                second = net.create_server()
                second.on('error', lambda e: trace('never', e))
                second.listen(0, callback=lambda: second.close(count))
            def chain():
                first = net.create_server()
                first.on('error', lambda e: trace('never', e))
                first.listen(0, callback=lambda: (first.close(count), again()))
            chain(); chain()
    """)
    assert (trace["P"], trace["W1"]) == (["0 -"], [])


def test_eaccess(play: Play) -> None:
    """test-cluster-eaccess: a path that another program listens on is EADDRINUSE, told by message.

    Left out: the third process, because the worker itself has the path, by a socket of Python's; that the message is
    the error, because an exception is not sent.
    """
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('message', lambda m, h: (trace(m), w.disconnect()))
        else:
            holder = socket.socket(socket.AF_UNIX); holder.bind('held.sock'); holder.listen()
            s = net.create_server()
            s.on('error', lambda e: (holder.close(), process.send({'code': e.code})))
            s.listen(path='held.sock', callback=lambda: trace('never'))
    """)
    assert (trace["P"], trace["W1"]) == (['{"code":"EADDRINUSE"}'], [])


def test_eaddrinuse(play: Play) -> None:
    """test-cluster-eaddrinuse: after the port was released another server on it works."""
    trace = play(
        HELD
        + """
if cluster.is_primary:
    held(lambda port: cluster.fork({'PORT': str(port)}))
    cluster.on('message', lambda w, m, h: (trace(m), holder.close(lambda: w.send('again'))))
    cluster.on('exit', lambda w, code, sig: trace(code))
else:
    port = int(os.environ['PORT'])
    s = net.create_server(lambda sock, p: trace('never'))
    s.on('error', lambda e: process.send(e.code))
    s.listen(port, '127.0.0.1', callback=lambda: trace('never'))
    def again(m, h):
        other = net.create_server(lambda sock, p: trace('never'))
        other.listen(port, '127.0.0.1', callback=lambda: (trace('listening'), other.close(process.disconnect)))
    process.on('message', again)
"""
    )
    assert (trace["P"], trace["W1"]) == (["EADDRINUSE", "0"], ["listening"])


def test_http_pipe(play: Play) -> None:
    """test-cluster-http-pipe: HTTP over a unix path: the peer has no address; the worker asks itself.

    Left out: localAddress; WSGI has the name that the client asked for.  The peer's is "", as WSGI wants text.
    """
    trace = play("""
        def app(environ, start):
            trace([environ['REMOTE_ADDR'], environ.get('REMOTE_PORT')])
            start('200 OK', [('Content-Length', '2')]); return [b'OK']
        if cluster.is_primary:
            w = cluster.fork()
            w.on('message', lambda m, h: trace(m))
            w.on('exit', lambda code, sig: trace('exit', code))
        else:
            def answered(text):
                trace(text.split('\\r\\n')[0], text.split('\\r\\n\\r\\n')[1])
                process.send('DONE', callback=lambda error: process.exit())
            http.create_server(app).listen(path='http.sock', callback=lambda: get('http.sock', answered))
    """)
    assert (trace["P"], trace["W1"]) == (["DONE", "exit 0"], ['["",null]', "HTTP/1.1 200 OK OK"])


def test_listen_pipe_readable_writable(play: Play) -> None:
    """test-cluster-listen-pipe-readable-writable: everybody may use the socket's file; it closes; exit 0."""
    trace = play("""
        os.umask(0o022)
        if cluster.is_primary:
            cluster.fork().on('exit', lambda code, sig: trace(code))
        else:
            s = net.create_server()
            def listening():
                trace(oct(os.stat('all.sock').st_mode & 0o777))
                s.close()
                process.disconnect()
            s.listen(path='all.sock', readable_all=True, writable_all=True, callback=listening)
    """)
    assert (trace["P"], trace["W1"]) == (["0"], ["0o777"])


def test_listening_port(play: Play) -> None:
    """test-cluster-listening-port: port 0 is reported as a real number."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('listening', lambda a: (trace(isinstance(a.port, int) and a.port > 0), w.disconnect()))
        else:
            net.create_server().listen(0, '127.0.0.1')
    """)
    assert trace["P"] == ["true"]


def test_net_listen_backlog(play: Play) -> None:
    """test-cluster-net-listen-backlog: the worker's backlog is the one that the primary listens with."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            def listening(a):
                [shared] = cluster._primary.shared._by_id.values()
                info = shared.bound.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
                trace(int.from_bytes(info[28:32], sys.byteorder)); w.disconnect()  # of a listening socket: its backlog
            w.on('listening', listening)
        else:
            net.create_server().listen(0, '127.0.0.1', backlog=117)
    """)
    assert trace["P"] == ["117"]


def free_port() -> int:
    """Return a port of IPv4 that is free; the kernel gives none below 32768 to whoever asks for any."""
    while True:
        port = random.randint(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("0.0.0.0", port)):
            return port


@pytest.mark.table(quick=["rr"])
@pytest.mark.parametrize("policy", ["rr", "none"])
def test_ipv6only(play: Play, policy: str) -> None:
    """sequential/test-cluster-net-listen-ipv6only-rr and -none: with ipv6_only the port of IPv4 stays free.

    Left out: the fixed port; the number is a free one that the kernel chooses for nobody else.
    """
    trace = play(
        """
        if cluster.is_primary:
            listening = []
            def listen(port):
                s = net.create_server()
                s.on('error', lambda e: trace('never', e))
                done = lambda: (trace('free'), s.close(), [w.disconnect() for w in list(cluster.workers.values())])
                s.listen(port, '0.0.0.0', callback=done)
            def done(w, a):
                listening.append((a.address, a.port, a.address_type, a.fd))
                if len(listening) == 3:
                    trace(len(set(listening))); listen(a.port)
            cluster.on('listening', done)
            cluster.on('exit', lambda w, code, sig: trace(code))
            for _ in range(3): cluster.fork()
        else:
            port = int(sys.argv[1])
            net.create_server().listen(port, '::', ipv6_only=True, callback=lambda: trace('listening'))
    """,
        str(free_port()),
        NODE_CLUSTER_SCHED_POLICY=policy,
    )
    assert trace["P"] == ["1", "free", "0", "0", "0"]
    assert [trace[f"W{n}"] for n in (1, 2, 3)] == [["listening"]] * 3


def test_ipv6only_false(play: Play) -> None:
    """test-cluster-net-listen-ipv6only-false: :: in three workers: the same address, reachable over IPv4; exit 0."""
    trace = play("""
        if cluster.is_primary:
            listening = []
            def done(w, a):
                listening.append((a.address, a.port, a.address_type))
                if len(listening) == 3:
                    trace(len(set(listening)), a.address, a.address_type)
                    with socket.create_connection(('0.0.0.0', a.port)): trace('connected')
                    for w in list(cluster.workers.values()): w.disconnect()
            cluster.on('listening', done)
            cluster.on('exit', lambda w, code, sig: trace(code))
            for _ in range(3): cluster.fork()
        else:
            net.create_server().listen(0, '::', callback=lambda: trace('listening'))
    """)
    assert trace["P"] == ["1 :: 6", "connected", "0", "0", "0"]
    assert [trace[f"W{n}"] for n in (1, 2, 3)] == [["listening"]] * 3


def test_net_listen_relative_path(play: Play) -> None:
    """test-cluster-net-listen-relative-path: a worker's relative path works if its absolute form is too long."""
    trace = play("""
        FOLDER = 'unix-socket-dir'
        NAME = 'A' * (100 - len(FOLDER) - 1)
        if cluster.is_primary:
            os.mkdir(FOLDER)
            trace(len(os.path.abspath(os.path.join(FOLDER, NAME))) > 108)
            gone = lambda code, sig: trace(code, os.path.exists(os.path.join(FOLDER, NAME)))
            cluster.fork().on('exit', gone)
        else:
            os.chdir(FOLDER)
            s = net.create_server(lambda sock, p: trace('never'))
            s.listen(path=NAME, callback=lambda: (trace(os.path.exists(NAME)), process.disconnect()))
    """)
    assert (trace["P"], trace["W1"]) == (["true", "0 false"], ["true"])


def test_net_listen(play: Play) -> None:
    """test-cluster-net-listen: listen() without a port works, and process.exit may be its callback; exit 0."""
    trace = play("""
        if cluster.is_primary:
            cluster.fork().on('exit', lambda code, sig: trace(code))
        else:
            net.create_server().listen(callback=process.exit)
    """)
    assert trace["P"] == ["0"]


def test_net_server_drop_connection(play: Play) -> None:
    """test-cluster-net-server-drop-connection: limits 0, 1 and 9: what one refuses another serves; exact counts."""
    trace = play("""
        LIMITS = {1: 0, 2: 1, 3: 9}
        if cluster.is_primary:
            served, listening, clients = {}, [], []
            def ready(w, a):
                listening.append(w)
                if len(listening) == 3:
                    for _ in range(10):
                        c = socket.socket(socket.AF_UNIX); c.connect(a.address); clients.append(c)
            def message(w, m, h):
                served[w.id] = served.get(w.id, 0) + 1
                if sum(served.values()) == 10:
                    trace(served.get(1, 0), served[2], served[3])
                    for c in clients: c.close()
                    cluster.disconnect()
            cluster.on('listening', ready); cluster.on('message', message)
            for _ in range(3): cluster.fork()
        else:
            s = net.create_server(lambda sock, peer: (process.send('one'), sock.recv(1)))
            s.max_connections = LIMITS[cluster.worker.id]
            s.listen(path='drop.sock')
    """)
    assert trace["P"] == ["0 1 9"]


def test_http_server_drop_connections(play: Play) -> None:
    """test-http-server-drop-connections-in-cluster: with drop_max_connection the worker drops, and emits drop."""
    trace = play("""
        if cluster.is_primary:
            w, clients = cluster.fork(), []
            def listening(a):
                clients.extend(socket.create_connection(('127.0.0.1', a.port)) for _ in range(2))
            w.on('listening', listening)
            w.on('message', lambda m, h: (trace(m), [c.close() for c in clients], w.disconnect()))
        else:
            s = http.create_server(lambda e, s: [])
            s.max_connections, s.drop_max_connection = 1, True
            s.on('drop', lambda peer: process.send(['drop', peer is not None]))
            s.listen(0, '127.0.0.1')
    """)
    assert trace["P"] == ['["drop",true]']


@pytest.mark.table(quick=["none"])
@pytest.mark.parametrize("policy", ["rr", "none"])
def test_server_restart(play: Play, policy: str) -> None:
    """test-cluster-server-restart-rr and -none: a second worker listens, closes, listens again; both exit with 0."""
    trace = play(
        """
        if cluster.is_primary:
            first = cluster.fork()
            first.on('exit', lambda code, sig: trace('first', code, sig))
            def go(a):
                second = cluster.fork()
                second.on('exit', lambda code, sig: (trace('second', code, sig), first.disconnect()))
            first.on('listening', go)
        else:
            s = net.create_server()
            def again(): s.listen(0, '127.0.0.1', callback=lambda: s.close(process.disconnect))
            if cluster.worker.id == 2:
                s.once('listening', lambda: s.close(again))
            s.listen(0, '127.0.0.1')
    """,
        NODE_CLUSTER_SCHED_POLICY=policy,
    )
    assert trace["P"] == ["second 0 -", "first 0 -"]


def test_shared_leak(play: Play) -> None:
    """test-cluster-shared-leak: without round robin, two workers disconnect beside a client: both (0, null)."""
    trace = play(
        """
        if cluster.is_primary:
            client = []
            def exited(w, code, sig):
                trace(code, sig)
                if not cluster.workers: client.pop().close(); trace('client closed')
            cluster.on('exit', exited)
            one = cluster.fork()
            def listening(a):
                two = cluster.fork()
                def online():
                    client.append(socket.create_connection(('127.0.0.1', a.port)))
                    one.disconnect(); two.disconnect()
                two.on('online', online)
            one.once('listening', listening)
        else:
            net.create_server(lambda s, p: s.sendall(b'bye')).listen(0, '127.0.0.1')
    """,
        **NONE,
    )
    assert trace["P"] == ["0 -", "0 -", "client closed"]


def test_worker_disconnect_on_error(play: Play) -> None:
    """test-cluster-worker-disconnect-on-error: a listen error, then disconnect(): the worker ends."""
    trace = play(
        """
        app = lambda environ, start: trace('never')
        s = http.create_server(app)
        if cluster.is_primary:
            w = cluster.fork()
            s.listen(0, '127.0.0.1', callback=lambda: w.send({'port': s.address().port}))
            w.on('exit', lambda code, sig: (trace(code, w.exited_after_disconnect), s.close()))
        else:
            def told(m, h):
                s.listen(m['port'], '127.0.0.1')
                s.on('error', lambda e: (trace(e.code), cluster.worker.disconnect()))
            process.on('message', told)
    """,
        **NONE,
    )
    assert (trace["P"], trace["W1"]) == (["0 true"], ["EADDRINUSE"])


def test_worker_handle_close(play: Play) -> None:
    """test-cluster-worker-handle-close: a connection that meets a closing server is refused, its copy closed.

    The client would wait for its end for ever if the worker kept its copy.
    """
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            def closed(text):
                trace('client', text or 'closed'); w.disconnect()
            os.mkfifo('blocked')
            def begin(a):
                w.send('close', lambda error: (open('blocked').close(), ask(a.port, closed)))
            w.on('listening', begin)
            w.on('exit', lambda code, sig: trace(code))
        else:
            import gc, select
            from gevent.monkey import get_original
            from nodecluster_compat.connections.taking_end import TakingEnd
            s = net.create_server(lambda sock, p: trace('never'))
            def close(m, h):
                [end] = [thing for thing in gc.get_objects() if isinstance(thing, TakingEnd)]
                open('blocked', 'w').close()  # the client connects now, and nobody reads what is offered
                get_original('select', 'select')([end.fileno()], [], [])  # it has been offered, and not been read
                s.close(lambda: trace('close'))
            process.on('message', close)
            s.listen(0, '127.0.0.1')
    """)
    assert trace["P"] in (["client closed", "0"], ["client ECONNRESET", "0"])
    assert trace["W1"] == ["close"]


def test_port_reuse_between_workers(play: Play) -> None:
    """sequential/test-cluster-port-reuse-between-workers: after a failed duplicate and a close it is shared again.

    Left out: the fixed port; the number is one that was free a moment ago.
    """
    trace = play("""
        if cluster.is_primary:
            with socket.socket() as free:
                free.bind(('0.0.0.0', 0))
                port = str(free.getsockname()[1])
            one = cluster.fork({'PORT': port, 'FIRST': 'y'})
            workers = [one]
            def message(w, m, h):
                trace(m)
                if m == 'one closed': workers.append(cluster.fork({'PORT': port, 'FIRST': ''}))
                if m == 'two started': one.send(m)
                if m == 'one closed again': [w.kill() for w in workers]
            cluster.on('message', message)
            for w in workers: w.on('error', lambda e: trace('never', e))
        else:
            def listen(then, failed=lambda e: process.send('never')):
                s = net.create_server()
                s.on('error', failed)
                s.listen(int(os.environ['PORT']), '::', callback=lambda: then(s))
                return s
            def told(m, h): listen(lambda s: s.close(lambda: process.send('one closed again')))
            process.on('message', told)
            if os.environ['FIRST']:
                close = lambda first: first.close(lambda: process.send('one closed'))
                listen(lambda first: listen(lambda s: process.send('never'), lambda e: (trace(e.code), close(first))))
            else:
                listen(lambda s: process.send('two started'))
    """)
    assert trace["P"] == ["one closed", "two started", "one closed again"]
    assert trace["W1"] == ["EADDRINUSE"]


def test_listen_twice_same_port(play: Play) -> None:
    """sequential/test-cluster-listen-twice-same-port: the second listen() of a worker: EADDRINUSE, to be caught."""
    trace = play(
        HELD
        + """
if cluster.is_primary:
    held(lambda port: holder.close(lambda: cluster.fork({'PORT': str(port)})))
    cluster.on('exit', lambda w, code, sig: trace(code))
else:
    port = int(os.environ['PORT'])
    b = net.create_server()
    b.on('error', lambda e: (trace(e.code), process.disconnect()))
    net.create_server().listen(port, '127.0.0.1', callback=lambda: b.listen(port, '127.0.0.1'))
"""
    )
    assert (trace["P"], trace["W1"]) == (["0"], ["EADDRINUSE"])


def test_listen_fd(play: Play) -> None:
    """test-listen-fd-cluster: a listening descriptor of the primary's, served over HTTP by a worker.

    Left out: that the primary has it from its own parent; it makes it itself.
    """
    trace = play("""
        def app(environ, start):
            start('200 OK', [('Content-Length', '18'), ('Connection', 'close')]); return [b'hello from worker\\n']
        if cluster.is_primary:
            s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()
            w = cluster.fork({'FD': str(s.fileno())})
            def answered(text):
                trace(text.split('\\r\\n')[0], text.split('\\r\\n\\r\\n')[1].strip()); w.kill()
            def listening(a):
                trace(a.address_type, a.address, a.port == s.getsockname()[1], a.fd == s.fileno())
                get(a.port, answered)
            w.on('listening', listening)
        else:
            http.create_server(app).listen(fd=int(os.environ['FD']), callback=lambda: process.send('worker ready'))
    """)
    assert trace["P"] == ["- - true true", "HTTP/1.1 200 OK hello from worker"]


def test_listen_exclusive_random_ports(play: Play) -> None:
    """test-net-listen-exclusive-random-ports: exclusive port 0: each worker has another port."""
    trace = play("""
        if cluster.is_primary:
            one = cluster.fork()
            def first(port, h):
                two = cluster.fork()
                def second(other, h):
                    trace(type(port).__name__, type(other).__name__, port != other); one.kill(); two.kill()
                two.on('message', second)
            one.on('message', first)
        else:
            s = net.create_server()
            s.on('error', lambda e: process.send(e.code))
            s.listen(0, exclusive=True, callback=lambda: process.send(s.address().port))
    """)
    assert trace["P"] == ["int int true"]


def test_listen_own_socket(play: Play) -> None:
    """test-net-listen-handle-in-cluster-2: a server on a socket of one's own never asks the primary; exit 0."""
    trace = play("""
        if cluster.is_primary:
            watch('listening'); w = cluster.fork()
            answered = lambda text: (trace(text, len(cluster._primary.shared)), w.send('end'))
            w.on('message', lambda m, h: ask(m, answered))
            w.on('exit', lambda code, sig: trace(code))
        else:
            own = socket.socket(); own.bind(('127.0.0.1', 0)); own.listen()
            s = net.from_fd(own.detach())
            s.on('connection', lambda c: c.sendall(b'own'))
            s.on('listening', lambda: process.send(s.address().port))
            process.on('message', lambda m, h: process.exit(0))
    """)
    assert (trace["P"], trace["P1"]) == (["own 0", "0"], [])


def test_listen_twice(play: Play) -> None:
    """test-net-listen-twice: two listen() before the reply: one listening, then a close and a clean exit."""
    trace = play("""
        if cluster.is_primary:
            cluster.fork().on('exit', lambda code, sig: trace(code))
        else:
            s = net.create_server()
            s.on('listening', lambda: (trace('listening'), s.close(lambda: (trace('closed'), process.disconnect()))))
            s.listen(); s.listen()
    """)
    assert (trace["P"], trace["W1"]) == (["0"], ["listening", "closed"])


def test_listen_shared_ports(play: Play) -> None:
    """sequential/test-net-listen-shared-ports: shared works in both, exclusive is EADDRINUSE in the second.

    Left out: the two fixed ports; the numbers are ones that were free a moment ago.
    """
    trace = play("""
        if cluster.is_primary:
            both = [socket.socket() for _ in range(2)]
            for free in both: free.bind(('0.0.0.0', 0))
            env = {'PORTS': ' '.join(str(free.getsockname()[1]) for free in both)}
            for free in both: free.close()
            one = cluster.fork(env)
            def success(m, h):
                trace('first', m)
                two = cluster.fork(env)
                two.on('message', lambda m, h: (trace('second', m), one.kill(), two.kill()))
            one.on('message', success)
        else:
            shared, exclusive = map(int, os.environ['PORTS'].split())
            a, b = net.create_server(lambda s, p: trace('never')), net.create_server(lambda s, p: trace('never'))
            a.on('error', lambda e: process.send(f'server1:{e.code}'))
            b.on('error', lambda e: process.send(f'server2:{e.code}'))
            second = lambda: b.listen(exclusive, exclusive=True, callback=lambda: process.send('success'))
            a.listen(shared, 'localhost', exclusive=False, callback=second)
    """)
    assert trace["P"] == ["first success", "second server2:EADDRINUSE"]


@pytest.mark.table(quick=["rr"])
@pytest.mark.parametrize("policy", ["rr", "none"])
def test_bind_error(play: Play, policy: str) -> None:
    """test-cluster-shared-handle-bind-error: the port of another program is EADDRINUSE in the worker; exit 0."""
    trace = play(
        HELD
        + """
if cluster.is_primary:
    held(lambda port: cluster.fork({'PORT': str(port)}))
    cluster.on('exit', lambda w, code, sig: (trace(code), holder.close()))
else:
    s = net.create_server(lambda sock, p: trace('never'))
    s.on('error', lambda e: (trace(e.code), process.disconnect()))
    s.listen(int(os.environ['PORT']), '127.0.0.1', callback=lambda: trace('never'))
""",
        NODE_CLUSTER_SCHED_POLICY=policy,
    )
    assert (trace["P"], trace["W1"]) == (["0"], ["EADDRINUSE"])


def test_net_reuseport(play: Play) -> None:
    """test-cluster-net-reuseport: the primary is never asked; two servers on one port; both close; exit 0."""
    trace = play("""
        if cluster.is_primary:
            watch('listening'); w = cluster.fork()
            w.on('message', lambda m, h: (trace(m, 'shared', len(cluster._primary.shared)), w.send('go on')))
            w.on('exit', lambda code, sig: trace(code))
        else:
            closed = []
            def close():
                closed.append(1)
                if len(closed) == 2: cluster.worker.disconnect()
            a, b = net.create_server(), net.create_server()
            for s in (a, b): s.on('error', lambda e: trace('never', e))
            process.on('message', lambda m, h: (a.close(close), b.close(close)))
            both = lambda: process.send('both')
            second = lambda: b.listen(a.address().port, '127.0.0.1', reuse_port=True, callback=both)
            a.listen(0, '127.0.0.1', reuse_port=True, callback=second)
    """)
    assert (trace["P"], trace["P1"], trace["W1"]) == (["both shared 0", "0"], [], [])


def test_listen_handle_sent(play: Play) -> None:
    """test-net-listen-handle-in-cluster-1: a server that the primary sends is a listening server in the worker."""
    trace = play("""
        if cluster.is_primary:
            w, s = cluster.fork(), net.create_server(lambda sock, p: sock.sendall(b'primary'))
            w.on('online', lambda: s.listen(0, '127.0.0.1', callback=lambda: w.send(None, s)))
            w.on('exit', lambda code, sig: (trace(code, 'shared', len(cluster._primary.shared)), s.close()))
        else:
            def received(m, server):
                trace(m, isinstance(server, net.Server), server.listening)
                process.exit(0)
            process.on('message', received)
    """)
    assert (trace["P"], trace["W1"]) == (["0 shared 0"], ["- true true"])


def test_server_close_before_ipc_response(play: Play) -> None:
    """test-net-server-close-before-ipc-response: closed before the reply: no listening, its share is given back, and
    the process can end by itself."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('message', lambda m: (trace(m, 'shared', len(cluster._primary.shared)), w.send('end')))
            w.on('exit', lambda code, sig: trace(code, sig))
        else:
            s = net.create_server()
            s.on('listening', lambda: trace('never'))
            def closed(error):
                trace('closed', error.code)
                other.listen(0, '127.0.0.1', lambda: other.close(lambda: process.send('closed')))  # answered after s
            s.listen(0, '127.0.0.1').close(closed)
            other = net.create_server()
            process.on('message', lambda: process.channel.unref())
    """)
    assert (trace["P"], trace["W1"]) == (["closed shared 0", "0 -"], ["closed ERR_SERVER_NOT_RUNNING"])
