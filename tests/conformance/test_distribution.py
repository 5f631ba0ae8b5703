"""Node's own tests of listening and sharing, each as a program of ours; the docstring names the upstream test."""

from __future__ import annotations

import pytest
from stage import Play

NONE = {"NODE_CLUSTER_SCHED_POLICY": "none"}
HELD = """
holder = net.create_server()
def held(then):
    holder.listen(0, '127.0.0.1', callback=lambda: then(holder.address().port))
"""


def test_accept_fail(play: Play) -> None:
    """test-cluster-accept-fail: a failed accept is skipped: others are served and the worker shuts down normally."""
    trace = play("""
        if cluster.is_primary:
            from nodecluster_compat.connections import listener
            real, failed = listener.Listener._accept_one, []
            def accept_one(self):
                if not failed:
                    failed.append(self)
                    import errno
                    return self._failed(OSError(errno.ECONNABORTED, 'gone'))
                return real(self)
            listener.Listener._accept_one = accept_one
            w = cluster.fork()
            w.on('listening', lambda a: ask(a.port, lambda text: (trace(text, len(failed)), w.disconnect())))
            w.on('exit', lambda code, sig: trace(code))
        else:
            net.create_server(lambda s, p: s.sendall(b'served')).listen(0, '127.0.0.1')
    """)
    assert trace["P"] == ["served 1", "0"]


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
            s = net.create_server()
            s.on('error', lambda e: (trace(e.code), process.disconnect()))
            s.listen(42, '127.0.0.1')
    """,
        NODE_CLUSTER_SCHED_POLICY=policy,
    )
    assert (trace["P"], trace["W1"]) == (["0"], ["EACCES"])


@pytest.mark.parametrize("policy", ["rr", "none"])
def test_bind_twice(play: Play, policy: str) -> None:
    """test-cluster-bind-twice, test-cluster-shared-handle-bind-error: the port of another program is EADDRINUSE."""
    trace = play(
        HELD
        + """
if cluster.is_primary:
    held(lambda port: cluster.fork({'PORT': str(port)}))
    cluster.on('exit', lambda w, code, sig: (trace(code), holder.close()))
else:
    s = net.create_server()
    s.on('error', lambda e: (trace(e.code), process.disconnect()))
    s.listen(int(os.environ['PORT']), '127.0.0.1')
""",
        NODE_CLUSTER_SCHED_POLICY=policy,
    )
    assert (trace["P"], trace["W1"]) == (["0"], ["EADDRINUSE"])


@pytest.mark.parametrize("kind", ["net", "dgram"])
def test_child_index(play: Play, kind: str) -> None:
    """test-cluster-child-index-net, test-cluster-child-index-dgram: listen(0), close, listen(0) never collides."""
    trace = play(
        """
        if cluster.is_primary:
            w = cluster.fork()
            w.on('message', lambda m, h: (trace(m), w.disconnect()))
        else:
            rounds = []
            def again():
                rounds.append(1)
                if len(rounds) > 20:
                    process.send('done'); return
                s = net.create_server() if os.environ['KIND'] == 'net' else dgram.create_socket('udp4')
                s.listen(0, '127.0.0.1', callback=lambda: s.close(again))
            again()
    """,
        KIND=kind,
    )
    assert trace["P"] == ["done"]


def test_dgram_shared_port(play: Play) -> None:
    """test-cluster-dgram-1, sequential/test-dgram-bind-shared-ports: workers share a UDP port and all of it arrives."""
    trace = play("""
        if cluster.is_primary:
            listening, got = [], []
            def bound(w, a):
                listening.append(a.port)
                if len(listening) == 3:
                    with socket.socket(type=socket.SOCK_DGRAM) as c:
                        for n in range(12): c.sendto(b'x', ('127.0.0.1', a.port))
            def message(w, m, h):
                got.append(m)
                if len(got) == 12:
                    trace(len(set(listening)), len(got)); cluster.disconnect()
            cluster.on('listening', bound); cluster.on('message', message)
            cluster.on('exit', lambda w, code, sig: trace(code))
            for _ in range(3): cluster.fork()
        else:
            dgram.create_socket('udp4', lambda d, p: process.send('got')).bind(0, '127.0.0.1')
    """)
    assert trace["P"] == ["1 12", "0", "0", "0"]


def test_dgram_send_from_workers(play: Play) -> None:
    """test-cluster-dgram-2: workers send from a shared socket; cluster.disconnect() ends them."""
    trace = play("""
        if cluster.is_primary:
            got, peers = [], set()
            def message(data, peer):
                got.append(data); peers.add(peer[1])
                if len(got) == 6:
                    trace(len(peers)); s.close(); cluster.disconnect(lambda: trace('done'))
            s = dgram.create_socket('udp4', message)
            s.bind(0, '127.0.0.1', callback=lambda: [cluster.fork({'PORT': str(s.address().port)}) for _ in range(2)])
        else:
            u = dgram.create_socket('udp4')
            port = int(os.environ['PORT'])
            u.bind(0, '127.0.0.1', callback=lambda: [u.send(b'x', port, '127.0.0.1') for _ in range(3)])
    """)
    assert trace["P"] == ["1", "done"]


def test_dgram_bind_fd(play: Play) -> None:
    """test-cluster-dgram-bind-fd: a descriptor's number is the primary's; workers share it."""
    trace = play("""
        if cluster.is_primary:
            s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('127.0.0.1', 0))
            listening = []
            def bound(w, a):
                listening.append(a.port)
                if len(listening) == 2:
                    trace(set(listening) == {s.getsockname()[1]}, a.fd)
                    with socket.socket(type=socket.SOCK_DGRAM) as c: c.sendto(b'x', s.getsockname())
            cluster.on('listening', bound)
            cluster.on('message', lambda w, m, h: (trace(m), cluster.disconnect()))
            for _ in range(2): cluster.fork({'FD': str(s.fileno())})
        else:
            dgram.create_socket('udp4', lambda d, p: process.send('got')).bind(fd=int(os.environ['FD']))
    """)
    assert trace["P"] == ["true -1", "got"]


def test_dgram_ipv6only(play: Play) -> None:
    """test-cluster-dgram-ipv6only: udp6 with ipv6_only and udp4 coexist on one port."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('message', lambda m, h: (trace(m), w.disconnect()))
        else:
            six, four = dgram.create_socket('udp6', ipv6_only=True), dgram.create_socket('udp4')
            four.on('error', lambda e: process.send(e.code))
            six.bind(0, callback=lambda: four.bind(six.address().port, callback=lambda: process.send('both')))
    """)
    assert trace["P"] == ["both"]


def test_dgram_reuse(play: Play) -> None:
    """test-cluster-dgram-reuse: reuse_address is forwarded; a socket of the worker's own can have the port as well."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('message', lambda m, h: (trace(m), w.disconnect()))
        else:
            a, b = (dgram.create_socket('udp4', reuse_address=True) for _ in range(2))
            b.on('error', lambda e: process.send(e.code))
            def second(): b.bind(a.address().port, '127.0.0.1', exclusive=True, callback=lambda: process.send('both'))
            a.bind(0, '127.0.0.1', callback=second)
    """)
    assert trace["P"] == ["both"]


@pytest.mark.parametrize("kind", ["net", "dgram"])
def test_reuseport(play: Play, kind: str) -> None:
    """test-cluster-net-reuseport, test-cluster-dgram-reuseport: the primary is never asked; two sockets on one port."""
    trace = play(
        """
        if cluster.is_primary:
            watch('listening'); w = cluster.fork()
            w.on('message', lambda m, h: (trace(m), w.disconnect()))
        elif os.environ['KIND'] == 'net':
            a, b = net.create_server(), net.create_server()
            both = lambda: process.send('both')
            second = lambda: b.listen(a.address().port, '127.0.0.1', reuse_port=True, callback=both)
            a.listen(0, '127.0.0.1', reuse_port=True, callback=second)
        else:
            a, b = (dgram.create_socket('udp4', reuse_port=True) for _ in range(2))
            second = lambda: b.bind(a.address().port, '127.0.0.1', callback=lambda: process.send('both'))
            a.bind(0, '127.0.0.1', callback=second)
    """,
        KIND=kind,
    )
    assert (trace["P"], trace["P1"]) == (["both"], [])


def test_disconnect_unshared_udp(play: Play) -> None:
    """test-cluster-disconnect-unshared-udp: a worker without a socket leaves; one that has one is untouched."""
    trace = play("""
        if cluster.is_primary:
            unbound = cluster.fork({'BOUND': ''})
            def online():
                bound = cluster.fork({'BOUND': 'y'})
                bound.on('listening', lambda a: (unbound.disconnect(), cluster.call_later(0.1, bound.disconnect)))
                bound.on('exit', lambda code, sig: trace('bound', code))
            unbound.on('online', online)
            unbound.on('exit', lambda code, sig: trace('unbound', code))
        elif os.environ['BOUND']:
            dgram.create_socket('udp4').bind(0, '127.0.0.1')
    """)
    assert trace["P"] == ["unbound 0", "bound 0"]


def test_eaccess(play: Play) -> None:
    """test-cluster-eaccess: a path that another program has is EADDRINUSE, told by message."""
    trace = play("""
        if cluster.is_primary:
            holder = socket.socket(socket.AF_UNIX); holder.bind('held.sock')
            w = cluster.fork()
            w.on('message', lambda m, h: (trace(m), w.disconnect()))
        else:
            s = net.create_server()
            s.on('error', lambda e: process.send(e.code))
            s.listen(path='held.sock')
    """)
    assert trace["P"] == ["EADDRINUSE"]


def test_eaddrinuse(play: Play) -> None:
    """test-cluster-eaddrinuse: after the port was released another try works."""
    trace = play(
        HELD
        + """
if cluster.is_primary:
    held(lambda port: cluster.fork({'PORT': str(port)}))
    cluster.on('message', lambda w, m, h: (trace(m), holder.close(lambda: w.send('again'))))
    cluster.on('listening', lambda w, a: (trace('listening'), w.disconnect()))
else:
    s = net.create_server()
    s.on('error', lambda e: process.send(e.code))
    def go(*_): s.listen(int(os.environ['PORT']), '127.0.0.1')
    process.on('message', go); go()
"""
    )
    assert trace["P"] == ["EADDRINUSE", "listening"]


def test_http_pipe(play: Play) -> None:
    """test-cluster-http-pipe: HTTP over a unix path: the peer has no address."""
    trace = play("""
        def app(environ, start):
            process.send([environ['REMOTE_ADDR'], environ.get('REMOTE_PORT')])
            start('200 OK', [('Content-Length', '2')]); return [b'OK']
        if cluster.is_primary:
            w = cluster.fork()
            w.on('message', lambda m, h: trace(m))
            def listening(a):
                c = socket.socket(socket.AF_UNIX); c.connect(a.address)
                c.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')
                def read():
                    trace(c.recv(1000).split(b'\\r\\n')[0].decode()); w.disconnect()
                cluster.call_later(0.3, read)
            w.on('listening', listening)
        else:
            http.create_server(app).listen(path='http.sock')
    """)
    assert trace["P"] == ['["",null]', "HTTP/1.1 200 OK"]


def test_listen_pipe_readable_writable(play: Play) -> None:
    """test-cluster-listen-pipe-readable-writable: everybody may use the socket's file."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('listening', lambda a: (trace(oct(os.stat(a.address).st_mode & 0o666)), w.disconnect()))
        else:
            net.create_server().listen(path='all.sock', readable_all=True, writable_all=True)
    """)
    assert trace["P"] == ["0o666"]


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


@pytest.mark.parametrize("policy", ["rr", "none"])
def test_ipv6only(play: Play, policy: str) -> None:
    """sequential/test-cluster-net-listen-ipv6only-rr and -none: with ipv6_only the port of IPv4 stays free."""
    trace = play(
        """
        if cluster.is_primary:
            listening = []
            def done(w, a):
                listening.append(a.port)
                if len(listening) == 2:
                    with socket.socket() as s: s.bind(('0.0.0.0', a.port))
                    trace(len(set(listening))); cluster.disconnect()
            cluster.on('listening', done)
            for _ in range(2): cluster.fork()
        else:
            net.create_server().listen(0, '::', ipv6_only=True)
    """,
        NODE_CLUSTER_SCHED_POLICY=policy,
    )
    assert trace["P"] == ["1"]


def test_ipv6only_false(play: Play) -> None:
    """test-cluster-net-listen-ipv6only-false: :: in several workers: the same address, reachable over IPv4."""
    trace = play("""
        if cluster.is_primary:
            listening = []
            def done(w, a):
                listening.append((a.address, a.port))
                if len(listening) == 3:
                    trace(len(set(listening)), a.address)
                    ask(a.port, lambda text: (trace(text), cluster.disconnect()))
            cluster.on('listening', done)
            for _ in range(3): cluster.fork()
        else:
            net.create_server(lambda s, p: s.sendall(b'four')).listen(0, '::', ipv6_only=False)
    """)
    assert trace["P"] == ["1 ::", "four"]


def test_net_listen_relative_path(play: Play) -> None:
    """test-cluster-net-listen-relative-path: a relative path whose absolute form is too long works, and is removed."""
    trace = play("""
        if cluster.is_primary:
            os.makedirs('x' * 100, exist_ok=True); os.chdir('x' * 100)
            w = cluster.fork()
            def listening(a):
                trace(len(a.address) > 108, os.path.exists('r.sock')); w.disconnect()
            w.on('listening', listening)
            w.on('exit', lambda *_: trace(os.path.exists('r.sock')))
        else:
            net.create_server().listen(path='r.sock')
    """)
    assert trace["P"] == ["true true", "false"]


def test_net_listen(play: Play) -> None:
    """test-cluster-net-listen: listen() without anything works; exit 0."""
    trace = play("""
        if cluster.is_primary:
            cluster.fork().on('exit', lambda code, sig: trace(code))
        else:
            net.create_server().listen(callback=process.disconnect)
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


@pytest.mark.parametrize("policy", ["rr", "none"])
def test_server_restart(play: Play, policy: str) -> None:
    """test-cluster-server-restart-rr and -none: a second worker listens, closes, listens again, exits with 0."""
    trace = play(
        """
        if cluster.is_primary:
            first = cluster.fork({'WHO': 'first'})
            def go(a):
                second = cluster.fork({'WHO': 'second', 'PORT': str(a.port)})
                second.on('exit', lambda code, sig: (trace(code), first.disconnect()))
            first.once('listening', go)
        else:
            s = net.create_server()
            if os.environ['WHO'] == 'first':
                s.listen(0, '127.0.0.1')
            else:
                s.listen(0, '127.0.0.1', callback=lambda: s.close(lambda: s.listen(0, '127.0.0.1', callback=done)))
                def done(): process.disconnect()
    """,
        NODE_CLUSTER_SCHED_POLICY=policy,
    )
    assert trace["P"] == ["0"]


def test_shared_leak(play: Play) -> None:
    """test-cluster-shared-leak: without round robin, a listener and a non-listener with a client: both (0, null)."""
    trace = play(
        """
        if cluster.is_primary:
            cluster.on('exit', lambda w, code, sig: trace(code, sig))
            one, clients = cluster.fork(), []
            def listening(a):
                two = cluster.fork({'IDLE': 'y'})
                def online():
                    clients.append(socket.create_connection(('127.0.0.1', a.port)))
                    one.disconnect(); two.disconnect(); clients.pop().close()
                two.on('online', online)
            one.on('listening', listening)
        elif 'IDLE' not in os.environ:
            net.create_server(lambda s, p: s.recv(1)).listen(0, '127.0.0.1')
    """,
        **NONE,
    )
    assert trace["P"] == ["0 -", "0 -"]


def test_worker_disconnect_on_error(play: Play) -> None:
    """test-cluster-worker-disconnect-on-error: a listen error, then disconnect(): the worker ends."""
    trace = play(
        HELD
        + """
if cluster.is_primary:
    held(lambda port: cluster.fork({'PORT': str(port)}))
    cluster.on('exit', lambda w, code, sig: (trace(code, w.exited_after_disconnect), holder.close()))
else:
    s = net.create_server()
    s.on('error', lambda e: cluster.worker.disconnect())
    s.listen(int(os.environ['PORT']), '127.0.0.1')
""",
        **NONE,
    )
    assert trace["P"] == ["0 true"]


def test_worker_handle_close(play: Play) -> None:
    """test-cluster-worker-handle-close: a connection that meets a closing server is refused, its copy closed."""
    trace = play("""
        if cluster.is_primary:
            one = cluster.fork()
            def listening(a):
                two = cluster.fork()
                def both(b):
                    one.process.kill('SIGSTOP'); asked = []
                    def answered(text):
                        asked.append(text)
                        if len(asked) == 4: trace(sorted(set(asked))); cluster.disconnect()
                    def go():
                        for _ in range(4): ask(a.port, answered)
                        one.send('close')
                        cluster.call_later(0.2, lambda: one.process.kill('SIGCONT'))
                    cluster.call_later(0.05, go)
                two.on('listening', both)
            one.on('listening', listening)
        else:
            s = net.create_server(lambda sock, p: sock.sendall(b'served'))
            process.on('message', lambda m, h: s.close())
            s.listen(0, '127.0.0.1')
    """)
    assert trace["P"] == ['["served"]']


def test_port_reuse_between_workers(play: Play) -> None:
    """sequential/test-cluster-port-reuse-between-workers: after a failed duplicate and a close it is shared again."""
    trace = play(
        HELD
        + """
if cluster.is_primary:
    def go(port):
        holder.close(lambda: start(port))
    def start(port):
        one = cluster.fork({'PORT': str(port)})
        one.on('message', lambda m, h: trace(m))
        def closed(m, h):
            if m == 'closed':
                two = cluster.fork({'PORT': str(port), 'PLAIN': 'y'})
                two.on('listening', lambda a: one.send('again'))
        one.on('message', closed)
        one.on('listening', lambda a: trace('listening'))
        one.on('message', lambda m, h: m == 'shared' and cluster.disconnect())
    held(go)
else:
    port = int(os.environ['PORT'])
    a, b = net.create_server(), net.create_server()
    if 'PLAIN' in os.environ:
        a.listen(port, '127.0.0.1')
    else:
        b.on('error', lambda e: (process.send(e.code), a.close(lambda: process.send('closed'))))
        a.listen(port, '127.0.0.1', callback=lambda: b.listen(port, '127.0.0.1'))
        def again(m, h): net.create_server().listen(port, '127.0.0.1', callback=lambda: process.send('shared'))
        process.on('message', again)
"""
    )
    assert [line for line in trace["P"] if line != "listening"] == ["EADDRINUSE", "closed", "shared"]


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


def test_dgram_port_after_port_zero(play: Play) -> None:
    """known_issues/test-dgram-bind-shared-ports-after-port-0: the number that 0 gave cannot be shared, a limit."""
    trace = play("""
        if cluster.is_primary:
            one = cluster.fork({'PORT': '0'})
            one.on('listening', lambda a: cluster.fork({'PORT': str(a.port)}))
            cluster.on('message', lambda w, m, h: (trace(m), cluster.disconnect()))
        else:
            s = dgram.create_socket('udp4')
            s.on('error', lambda e: process.send(e.code))
            s.bind(int(os.environ['PORT']), '127.0.0.1')
    """)
    assert trace["P"] == ["EADDRINUSE"]


def test_dgram_bind_error(play: Play) -> None:
    """test-dgram-cluster-bind-error: an error reply becomes an error event; the socket is unbound again."""
    trace = play("""
        if cluster.is_primary:
            u = dgram.create_socket('udp4')
            u.bind(0, '127.0.0.1', callback=lambda: cluster.fork({'PORT': str(u.address().port)}))
            cluster.on('message', lambda w, m, h: (trace(m), u.close(), w.disconnect()))
        else:
            s = dgram.create_socket('udp4')
            def failed(e):
                s.off('error', failed)
                s.bind(0, '127.0.0.1', callback=lambda: process.send([e.code, s.address().port > 0]))
            s.on('error', failed)
            s.bind(int(os.environ['PORT']), '127.0.0.1')
    """)
    assert trace["P"] == ['["EADDRINUSE",true]']


def test_dgram_close_before_replies(play: Play) -> None:
    """test-dgram-cluster-close-during-bind, test-dgram-bind-socket-close-before-cluster-reply: closed before the
    answer, be it a socket or an error: released, and no error."""
    trace = play("""
        if cluster.is_primary:
            u = dgram.create_socket('udp4')
            u.bind(0, '127.0.0.1', callback=lambda: cluster.fork({'PORT': str(u.address().port)}))
            cluster.on('message', lambda w, m, h: (trace(m), u.close(), w.disconnect()))
            cluster.on('exit', lambda w, code, sig: trace(code))
        else:
            for port in ('0', os.environ['PORT']):
                s = dgram.create_socket('udp4')
                s.on('error', lambda e: trace('never'))
                s.bind(int(port), '127.0.0.1'); s.close()
            dgram.create_socket('udp4').bind(0, '127.0.0.1', callback=lambda: process.send('done'))
    """)
    assert (trace["P"], trace["W1"]) == (["done", "0"], [])


def test_dgram_close_in_listening(play: Play) -> None:
    """test-dgram-cluster-close-in-listening: closing inside listening is safe."""
    trace = play("""
        if cluster.is_primary:
            cluster.fork().on('exit', lambda code, sig: trace(code))
        else:
            s = dgram.create_socket('udp4')
            s.bind(0, '127.0.0.1', callback=lambda: s.close(process.disconnect))
    """)
    assert trace["P"] == ["0"]


def test_dgram_exclusive_implicit_bind(play: Play) -> None:
    """test-dgram-exclusive-implicit-bind: a socket that sends unbound has a port of its own, a bound one shares."""
    trace = play("""
        if cluster.is_primary:
            ports = {}
            def message(data, peer):
                ports.setdefault(data.decode(), set()).add(peer[1])
                seen.append(data)
                if len(seen) == 4:
                    trace(len(ports['bound']), len(ports['free'])); u.close(); cluster.disconnect()
            seen = []
            u = dgram.create_socket('udp4', message)
            def go():
                for kind in ('bound', 'bound', 'free', 'free'):
                    cluster.fork({'PORT': str(u.address().port), 'KIND': kind})
            u.bind(0, '127.0.0.1', callback=go)
        else:
            s, kind = dgram.create_socket('udp4'), os.environ['KIND']
            def send(): s.send(kind, int(os.environ['PORT']), '127.0.0.1')
            s.bind(0, '127.0.0.1', callback=send) if kind == 'bound' else send()
    """)
    assert trace["P"] == ["1 2"]


def test_listen_fd(play: Play) -> None:
    """test-listen-fd-cluster: a listening descriptor of the primary's, served by a worker."""
    trace = play("""
        if cluster.is_primary:
            s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()
            w = cluster.fork({'FD': str(s.fileno())})
            def listening(a):
                trace(a.address_type, a.address, a.port == s.getsockname()[1], a.fd == s.fileno())
                ask(a.port, lambda text: (trace(text), w.disconnect()))
            w.on('listening', listening)
        else:
            net.create_server(lambda c, p: c.sendall(b'served')).listen(fd=int(os.environ['FD']))
    """)
    assert trace["P"] == ["- - true true", "served"]


def test_listen_exclusive_random_ports(play: Play) -> None:
    """test-net-listen-exclusive-random-ports: exclusive port 0: each worker has another port."""
    trace = play("""
        if cluster.is_primary:
            ports = []
            def message(w, m, h):
                ports.append(m)
                if len(ports) == 2: trace(len(set(ports))); cluster.disconnect()
            cluster.on('message', message)
            for _ in range(2): cluster.fork()
        else:
            s = net.create_server()
            s.listen(0, '127.0.0.1', exclusive=True, callback=lambda: process.send(s.address().port))
    """)
    assert trace["P"] == ["2"]


def test_listen_own_socket(play: Play) -> None:
    """test-net-listen-handle-in-cluster-1 and -2: a server on a socket of one's own never asks the primary."""
    trace = play("""
        if cluster.is_primary:
            watch('listening'); w = cluster.fork()
            w.on('message', lambda m, h: ask(m, lambda text: (trace(text), w.disconnect())))
        else:
            own = socket.socket(); own.bind(('127.0.0.1', 0)); own.listen()
            s = net.from_fd(own.detach())
            s.on('connection', lambda c: c.sendall(b'own'))
            s.on('listening', lambda: process.send(s.address().port))
    """)
    assert (trace["P"], trace["P1"]) == (["own"], [])


def test_listen_twice(play: Play) -> None:
    """test-net-listen-twice: two listen() before the reply: one listening, a clean exit."""
    trace = play("""
        if cluster.is_primary:
            cluster.fork().on('exit', lambda code, sig: trace(code))
        else:
            s = net.create_server(); s.on('listening', lambda: (trace('listening'), process.disconnect()))
            s.listen(0, '127.0.0.1'); s.listen(0, '127.0.0.1')
    """)
    assert (trace["P"], trace["W1"]) == (["0"], ["listening"])


def test_close_before_reply(play: Play) -> None:
    """test-net-server-close-before-ipc-response: closed before the reply: released, and the process can end."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('message', lambda m, h: w.disconnect()); w.on('exit', lambda code, sig: trace(code))
        else:
            net.create_server().listen(0, '127.0.0.1').close(lambda e: process.send('closed'))
    """)
    assert trace["P"] == ["0"]


def test_listen_shared_ports(play: Play) -> None:
    """sequential/test-net-listen-shared-ports: shared works in both, exclusive is EADDRINUSE in the second."""
    trace = play(
        HELD
        + """
if cluster.is_primary:
    results = []
    def message(w, m, h):
        results.append(m)
        if w.id == 1: cluster.fork({'PORTS': os.environ['PORTS']})
        else: trace(results); cluster.disconnect()
    cluster.on('message', message)
    def go(port):
        other = net.create_server()
        def both():
            os.environ['PORTS'] = f'{port} {other.address().port}'
            holder.close(lambda: other.close(lambda: cluster.fork({'PORTS': os.environ['PORTS']})))
        other.listen(0, '127.0.0.1', callback=both)
    held(go)
else:
    shared, exclusive = map(int, os.environ['PORTS'].split())
    a, b = net.create_server(), net.create_server()
    b.on('error', lambda e: process.send(e.code))
    second = lambda: b.listen(exclusive, '127.0.0.1', exclusive=True, callback=lambda: process.send('both'))
    a.listen(shared, '127.0.0.1', callback=second)
"""
    )
    assert trace["P"] == ['["both","EADDRINUSE"]']
