"""Node's own tests of messages, handles and settings as programs of ours; the docstring names the upstream test."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from stage import Play


def test_advanced_serialization(play: Play) -> None:
    """test-cluster-advanced-serialization: an object that refers to itself makes the round trip."""
    trace = play("""
        if cluster.is_primary:
            cluster.settings['serialization'] = 'advanced'
            w = cluster.fork()
            circular = {}
            circular['circular'] = circular
            w.on('online', lambda: w.send(circular))
            w.on('message', lambda m: (trace(list(m), m['circular'] is m), w.kill()))
        else:
            process.on('message', lambda m: process.send(m))
    """)
    assert trace["P"] == ['["circular"] true']


def test_cwd(play: Play) -> None:
    """test-cluster-cwd: unset it is inherited; set, the worker runs there."""
    trace = play("""
        if cluster.is_primary:
            here = os.getcwd()
            trace(cluster.settings.get('cwd'))
            cluster.fork().on('message', lambda m, h: trace_as('P1', m == here))
            cluster.setup_primary(cwd='/')
            trace(cluster.settings['cwd'])
            cluster.fork().on('message', lambda m, h: trace_as('P2', m))
        else:
            process.send(os.getcwd()); process.disconnect()
    """)
    assert (trace["P"], trace["P1"], trace["P2"]) == (["-", "/"], ["true"], ["/"])


def test_fork_env(play: Play) -> None:
    """test-cluster-fork-env: fork(env) adds and overrides; send returns true."""
    trace = play(
        """
        if cluster.is_primary:
            w = cluster.fork({'ADDED': 'new', 'OVERRIDDEN': 'yes'})
            w.on('message', lambda m, h: (trace(m), w.disconnect()))
            trace(os.environ['OVERRIDDEN'])
        else:
            trace(process.send([os.environ['ADDED'], os.environ['OVERRIDDEN']]))
    """,
        OVERRIDDEN="no",
    )
    assert (trace["P"], trace["W1"]) == (["no", '["new","yes"]'], ["true"])


def test_fork_stdio(play: Play) -> None:
    """test-cluster-fork-stdio: a further pipe works both ways; exit (0, null).

    Left out: pipe.unref(): a socket of Python's has none, so the worker closes it when it has disconnected.
    """
    trace = play("""
        if cluster.is_primary:
            cluster.setup_primary(stdio=['pipe', 'pipe', 'pipe', 'ipc', 'pipe'])
            w = cluster.fork()
            channel = w.process.stdio[4]
            response = []
            def data(piece):
                response.append(piece)
                if b''.join(response) == b'foobar': trace('answered'); w.disconnect()
            w.on('exit', lambda code, sig: trace(code, sig))
            channel.on('data', data)
            channel.write(b'foobar')
        else:
            import threading
            pipe = socket.socket(fileno=4)
            def echo():
                try:
                    while data := pipe.recv(100): pipe.sendall(data)
                except OSError: pass
            threading.Thread(target=echo).start()
            process.on('disconnect', pipe.close)
    """)
    assert trace["P"] == ["answered", "0 -"]


def test_invalid_message(play: Play) -> None:
    """test-cluster-invalid-message: a forged internal message is like any other, both ways; exit (0, null)."""
    trace = play("""
        FORGED = {'cmd': 'NODE_CLUSTER', 'ack': -1}
        if cluster.is_primary:
            w = cluster.fork()
            w.on('message', lambda m, h: (trace(m), w.disconnect()))
            w.on('exit', lambda code, sig: trace(code, sig))
            w.on('online', lambda: w.send(FORGED, callback=lambda error: trace('sent', error)))
        else:
            process.on('message', lambda m, h: (trace(m), process.send(FORGED)))
    """)
    forged = '{"cmd":"NODE_CLUSTER","ack":-1}'
    assert (trace["P"], trace["W1"]) == (["sent -", forged, "0 -"], [forged])


def test_message(play: Play) -> None:
    """test-cluster-message: both ways; the cluster's event has the worker and the message."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            cluster.on('message', lambda x, m, h: trace('cluster', x is w, m))
            w.on('message', lambda m, h: (trace('worker', m), w.disconnect()))
            w.send('hello')
        else:
            process.on('message', lambda m, h: process.send(f'{m} back'))
    """)
    assert trace["P"] == ["cluster true hello back", "worker hello back"]


def test_net_send(play: Play) -> None:
    """test-cluster-net-send: a socket that is sent to the primary works there: it reads what the peer writes."""
    trace = play("""
        import threading
        if cluster.is_primary:
            w = cluster.fork()
            def ended(text): trace('read', text); w.disconnect()
            def read(sock):
                text = b''
                while data := sock.recv(1000): text += data
                sock.close()
                cluster.call_soon_threadsafe(lambda: ended(text.decode()))
            def received(m, sock):
                trace(m, isinstance(sock, socket.socket))
                w.send('got')
                sock.setblocking(True)
                threading.Thread(target=read, args=(sock,)).start()
            w.once('message', received)
            w.on('exit', lambda code, sig: trace(code))
        else:
            accepted, connected = [], []
            def both():
                if accepted and connected: process.send('handle', connected[0])
            def handler(c, peer):
                import gevent.event
                got = gevent.event.Event()
                process.once('message', lambda m, h: (trace(m), got.set()))
                accepted.append(c); both()
                got.wait()
                c.sendall(b'hello')
            def connect():
                connected.append(socket.create_connection(('127.0.0.1', s.address().port))); both()
            s = net.create_server(handler)
            s.listen(0, '127.0.0.1', callback=lambda: threading.Thread(target=connect).start())
    """)
    assert (trace["P"], trace["W1"]) == (["handle true", "read hello", "0"], ["got"])


def test_send_deadlock(play: Play) -> None:
    """test-cluster-send-deadlock: sockets go to the worker and back, and nobody waits; exit (0, null)."""
    trace = play("""
        import threading
        if cluster.is_primary:
            w = cluster.fork()
            w.on('exit', lambda code, sig: (trace(code, sig), s.close()))
            s = net.create_server(lambda sock, peer: w.send('handle', sock))
            s.listen(0, '127.0.0.1', callback=lambda: w.send({'listen': s.address().port}))
            w.on('message', lambda m, sock: (trace(m, sock is not None), sock.close()))
        else:
            closed = []
            def client(port):
                with socket.create_connection(('127.0.0.1', port)) as c:
                    closed.append(c.recv(1))
                if len(closed) == 2: cluster.worker.disconnect()
            def received(m, handle):
                if m == 'handle': process.send('reply', handle); return
                for _ in range(2): threading.Thread(target=client, args=(m['listen'],)).start()
            process.on('message', received)
    """)
    assert trace["P"] == ["reply true", "reply true", "0 -"]


def test_send_handle_twice(play: Play) -> None:
    """test-cluster-send-handle-twice: the same socket twice: no crash, the worker ends with (0, null)."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('listening', lambda a: ask(a.port, lambda text: None))
            w.on('message', lambda m, sock: (trace(m, sock is not None), sock and sock.close()))
            w.on('exit', lambda code, sig: trace(code, sig))
        else:
            def handler(sock, p):
                process.send('one', sock)
                process.send('two', sock, callback=lambda e: cluster.worker.disconnect())
            net.create_server(handler).listen(0, '127.0.0.1')
    """)
    assert trace["P"] == ["one true", "two false", "0 -"]


def test_send_socket_to_worker_http_server(play: Play) -> None:
    """test-cluster-send-socket-to-worker-http-server: a received socket goes into the worker's HTTP server; exit 0.

    The server's connection event has that socket, and the server serves it.  Left out: socket.server, which a socket of
    Python's does not have.
    """
    trace = play("""
        def app(environ, start):
            start('200 OK', [('Content-Length', '5'), ('Connection', 'close')]); return [b'hello']
        if cluster.is_primary:
            w = cluster.fork()
            s = net.create_server(lambda sock, peer: w.send('socket', sock))
            w.on('exit', lambda code, sig: (trace(code), s.close()))
            def answered(text): trace(text.split('\\r\\n\\r\\n')[1]); w.disconnect()
            s.listen(0, '127.0.0.1', callback=lambda: get(s.address().port, answered))
        else:
            names = []
            server = http.create_server(app)
            server.on('connection', lambda c: trace('connection', names == [c.getpeername()]))
            def received(m, sock):
                names.append(sock.getpeername())
                server.emit('connection', sock)
            process.on('message', received)
    """)
    assert (trace["P"], trace["W1"]) == (["hello", "0"], ["connection true"])


def test_send_handle_large_payload(play: Play) -> None:
    """sequential/test-cluster-send-handle-large-payload: 800 KB with a socket, there and back; the worker ends by
    itself once nothing but the channel is left."""
    trace = play("""
        PAYLOAD = 'a' * 800004
        if cluster.is_primary:
            w = cluster.fork()
            s = net.create_server(lambda sock, peer: w.send({'payload': PAYLOAD}, sock))
            def back(m, sock):
                trace(m == {'payload': PAYLOAD}, isinstance(sock, socket.socket))
                s.close(); sock.close()
            w.on('message', back)
            w.on('exit', lambda code: trace(code))
            s.listen(0, '127.0.0.1', lambda: ask(s.address().port, lambda text: None))
        else:
            def received(m, sock):
                trace(m == {'payload': PAYLOAD}, isinstance(sock, socket.socket))
                process.send(m, sock)
                process.channel.unref()
            process.on('message', received)
    """)
    assert (trace["P"], trace["W1"]) == (["true true", "0"], ["true true"])


def test_setup_primary_argv(play: Play) -> None:
    """test-cluster-setup-primary-argv: what is added to argv before the first setup shows up in settings."""
    trace = play(
        """
        sys.argv += ['OMG,OMG', 'OMG,OMG']
        cluster.on('setup', lambda s: trace('setup', cluster.settings['args']))
        cluster.setup_primary()
        """,
        "given",
    )
    assert trace["P"] == ['setup ["given","OMG,OMG","OMG,OMG"]']


def test_setup_primary_cumulative(play: Play) -> None:
    """test-cluster-setup-primary-cumulative: empty, defaults, and calls that add up.

    Left out: exec_argv's default, because a worker is a fork and starts no interpreter; schedulingPolicy, which some
    versions of Node repeat in the settings.
    """
    trace = play("""
        shown = lambda: dict(sorted(cluster.settings.items()))
        trace(cluster.is_primary, shown())
        cluster.setup_primary()
        trace(shown() == {'args': sys.argv[1:], 'exec': sys.argv[0], 'silent': False})
        cluster.setup_primary(exec='overridden'); trace(shown())
        cluster.setup_primary(args=['foo', 'bar']); trace(shown())
        cluster.setup_primary(exec_argv=['baz', 'bang']); trace(shown())
        cluster.setup_primary(); trace(shown())
    """)
    last = '{"args":["foo","bar"],"exec":"overridden","exec_argv":["baz","bang"],"silent":false}'
    assert trace["P"] == [
        "true {}",
        "true",
        '{"args":[],"exec":"overridden","silent":false}',
        '{"args":["foo","bar"],"exec":"overridden","silent":false}',
        last,
        last,
    ]


def test_setup_primary_emit(play: Play) -> None:
    """test-cluster-setup-primary-emit: setup carries the settings, what an earlier call set included."""
    trace = play("""
        def first(settings):
            trace(settings['exec'], settings is cluster.settings)
            cluster.call_soon_threadsafe(again)
        def again():
            cluster.once('setup', lambda settings: trace('exec' in settings, settings['exec']))
            cluster.setup_primary()
        cluster.once('setup', first)
        cluster.setup_primary(exec='new-exec')
    """)
    assert trace["P"] == ["new-exec true", "true new-exec"]


def test_setup_primary_multiple(play: Play) -> None:
    """test-cluster-setup-primary-multiple: once for each call, on one turn or several, with its own snapshot."""
    trace = play("""
        cluster.on('setup', lambda s: trace(s['exec'], cluster.settings['exec']))
        def one(*names):
            if names:
                cluster.setup_primary(exec=names[0])
                cluster.call_later(0.01, one, *names[1:])
            else:
                for name in ('a', 'b'): cluster.setup_primary(exec=name)
        one('node-next', 'node-next-2', 'node-next-3')
    """)
    assert trace["P"] == [
        "node-next node-next",
        "node-next-2 node-next-2",
        "node-next-3 node-next-3",
        "a b",
        "b b",
    ]


def test_setup_primary(play: Play) -> None:
    """test-cluster-setup-primary: one setup event with args, silent and exec, and both reach two workers."""
    trace = play("""
        if cluster.is_primary:
            cluster.setup_primary(args=['custom argument'], silent=True)
            cluster.once('setup', lambda s: trace(s['args'], s['silent'], s['exec'] == sys.argv[0]))
            def online(w):
                w.once('message', lambda m, h: (trace('message', m), w.kill()))
            cluster.on('online', online)
            cluster.fork(); cluster.fork()
        else:
            print('never shown', flush=True)
            process.send(sys.argv[1])
    """)
    assert trace["P"] == ['["custom argument"] true true', "message custom argument", "message custom argument"]
    assert trace["never"] == []


def test_worker_constructor(play: Play) -> None:
    """test-cluster-worker-constructor: defaults and options; the process' events are the worker's."""
    trace = play("""
        from nodecluster_compat.base.emitter import Emitter
        w = cluster.Worker()
        trace(w.id, w.state, w.exited_after_disconnect, w.process)
        p = Emitter()
        w = cluster.Worker(id=3, state='online', process=p)
        w.on('message', lambda m, h: trace('message', m)); w.on('error', lambda e: trace('error', str(e)))
        trace(w.id, w.state, w.process is p)
        p.emit('message', 'hi', None); p.emit('error', RuntimeError('bad'))
    """)
    assert trace["P"] == ["0 none - -", "3 online true", "message hi", "error bad"]


def test_worker_events(play: Play) -> None:
    """test-cluster-worker-events: a message is seen on both objects; an error of process is one of the worker's."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('exit', lambda code: (trace('exit', code), process.exit(0)))
            trace(w.send('SOME MESSAGE'))
        else:
            messages = []
            def failed(e):
                trace('error', e)
                process.exit(2)
            def check(who, m):
                trace(who, m)
                messages.append(m)
                if len(messages) == 2:
                    trace(messages[0] == messages[1])
                    cluster.worker.once('error', failed)
                    process.emit('error', 'HI')
            process.on('message', lambda m: check('process', m))
            cluster.worker.on('message', lambda m: check('worker', m))
    """)
    assert trace["P"] == ["true", "exit 2"]
    assert trace["W1"] == ["worker SOME MESSAGE", "process SOME MESSAGE", "true", "error HI"]


def test_tls_ticket(play: Play, tmp_path: Path) -> None:
    """test-tls-ticket-cluster: a TLS session begun with one of four workers is resumed with the others.

    The context is made before the fork, in the primary's run of the script, and travels with the fork.  It is gevent's,
    because the primary is not patched.
    """
    assert shutil.which("openssl")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "shared_context.py").write_text(
        "import ssl\nfrom gevent.ssl import SSLContext\ncontext = SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
        "context.maximum_version = ssl.TLSVersion.TLSv1_2\n"
        "context.load_cert_chain('cert.pem', 'key.pem')\n"
    )
    trace = play("""
        sys.path.insert(0, os.getcwd())
        import ssl
        import shared_context
        if cluster.is_primary:
            listening = []
            def talk(port):
                mine = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                mine.check_hostname = False; mine.verify_mode = ssl.CERT_NONE
                mine.maximum_version = ssl.TLSVersion.TLSv1_2
                session, workers, resumed = None, set(), 0
                for _ in range(16):
                    with socket.create_connection(('127.0.0.1', port)) as raw:
                        with mine.wrap_socket(raw, session=session) as c:
                            workers.add(c.recv(10)); resumed += c.session_reused; session = c.session
                cluster.call_soon_threadsafe(lambda: (trace(len(workers), resumed), cluster.disconnect()))
            def ready(w, a):
                listening.append(w)
                if len(listening) == 4:
                    import threading
                    threading.Thread(target=talk, args=(a.port,)).start()
            cluster.on('listening', ready)
            for _ in range(4): cluster.fork()
        else:
            def handler(sock, peer):
                with shared_context.context.wrap_socket(sock, server_side=True) as tls:
                    tls.sendall(str(cluster.worker.id).encode())
            net.create_server(handler).listen(0, '127.0.0.1')
    """)
    assert trace["P"] == ["4 15"]


def test_socket_constructor(play: Play) -> None:
    """test-net-socket-constructor: sockets made of a worker's further descriptors are read and written; exit (0, null).

    Left out: the ways to construct one in the primary, which are Node's own.
    """
    trace = play("""
        if cluster.is_primary:
            cluster.setup_primary(stdio=['pipe', 'pipe', 'pipe', 'ipc', 'pipe', 'pipe', 'pipe'])
            w = cluster.fork()
            for number in (4, 5, 6):
                pipe = w.process.stdio[number]
                pipe.on('data', lambda data, number=number: trace_as(f'P{number}', data.decode()))
                pipe.end(f'to {number}')
            w.on('exit', lambda code, sig: trace(len(w.process.stdio), code, sig))
        else:
            import threading
            def use(number):
                with socket.socket(fileno=number) as pipe:
                    pipe.sendall(f'{number} got '.encode() + pipe.recv(100))
            threads = [threading.Thread(target=use, args=(number,)) for number in (4, 5, 6)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            process.disconnect()
    """)
    assert trace["P"] == ["7 0 -"]
    assert [trace[f"P{n}"] for n in (4, 5, 6)] == [["4 got to 4"], ["5 got to 5"], ["6 got to 6"]]
