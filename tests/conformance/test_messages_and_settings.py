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
            cluster.setup_primary(serialization='advanced')
            loop = {'a': 1}; loop['me'] = loop
            w = cluster.fork()
            w.on('message', lambda m, h: (trace(m['me'] is m, m['a']), w.disconnect()))
            w.send(loop)
        else:
            process.on('message', lambda m, h: process.send(m))
    """)
    assert trace["P"] == ["true 1"]


def test_cwd(play: Play) -> None:
    """test-cluster-cwd: unset it is inherited; set, the worker runs there."""
    trace = play("""
        if cluster.is_primary:
            here = os.getcwd()
            trace(cluster.settings.get('cwd'))
            w = cluster.fork()
            def second(m, h):
                trace(m == here)
                cluster.setup_primary(cwd='/', exec=os.path.abspath(__file__))
                cluster.fork().on('message', lambda m, h: trace(m))
            w.on('message', second)
        else:
            process.send(os.getcwd()); process.disconnect()
    """)
    assert trace["P"] == ["-", "true", "/"]


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
    """test-cluster-fork-stdio: a further pipe works; exit (0, null)."""
    trace = play("""
        if cluster.is_primary:
            cluster.setup_primary(stdio=['pipe', 'pipe', 'pipe', 'ipc', 'pipe'])
            w = cluster.fork()
            trace(len(w.process.stdio))
            w.process.stdio[4].on('data', lambda d: trace(d.decode()))
            w.on('exit', lambda code, sig: trace(code, sig))
        else:
            os.write(4, b'hello'); process.exit(0)
    """)
    assert sorted(trace["P"]) == ["0 -", "5", "hello"]


def test_invalid_message(play: Play) -> None:
    """test-cluster-invalid-message: a forged internal message is a message like any other, and harms nothing."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('message', lambda m, h: trace(m))
            w.on('exit', lambda code, sig: trace(code))
        else:
            process.send({'cmd': 'NODE_CLUSTER', 'ack': -1}, callback=lambda e: process.disconnect())
    """)
    assert trace["P"] == ['{"cmd":"NODE_CLUSTER","ack":-1}', "0"]


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
    """test-cluster-net-send: a connected socket that is sent to the primary works there."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('listening', lambda a: ask(a.port, lambda text: (trace(text), w.disconnect())))
            w.on('message', lambda m, sock: (sock.sendall(b'from the primary'), sock.close()))
        else:
            net.create_server(lambda sock, p: process.send('socket', sock)).listen(0, '127.0.0.1')
    """)
    assert trace["P"] == ["from the primary"]


def test_send_deadlock(play: Play) -> None:
    """test-cluster-send-deadlock: sockets in both directions at once."""
    trace = play("""
        if cluster.is_primary:
            w, done = cluster.fork(), []
            def answered(text):
                done.append(text)
                if len(done) == 6: trace(sorted(done)); s.close(); w.disconnect()
            s = net.create_server(lambda sock, peer: w.send('down', sock))
            def listening(a):
                for _ in range(3): ask(a.port, answered)
                s.listen(0, '127.0.0.1', callback=lambda: [ask(s.address().port, answered) for _ in range(3)])
            w.on('listening', listening)
            w.on('message', lambda m, sock: (sock.sendall(b'P'), sock.close()))
        else:
            process.on('message', lambda m, sock: (sock.sendall(b'W'), sock.close()))
            net.create_server(lambda sock, p: process.send('up', sock)).listen(0, '127.0.0.1')
    """)
    assert trace["P"] == ['["P","P","P","W","W","W"]']


def test_send_handle_twice(play: Play) -> None:
    """test-cluster-send-handle-twice: the same socket twice: no crash, the worker exits with 0."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('listening', lambda a: ask(a.port, lambda text: None))
            w.on('message', lambda m, sock: (trace(m, sock is not None), sock and sock.close()))
            w.on('exit', lambda code, sig: trace(code))
        else:
            def handler(sock, p):
                process.send('one', sock)
                process.send('two', sock, callback=lambda e: process.disconnect())
            net.create_server(handler).listen(0, '127.0.0.1')
    """)
    assert trace["P"] == ["one true", "two false", "0"]


def test_send_socket_to_worker_http_server(play: Play) -> None:
    """test-cluster-send-socket-to-worker-http-server: a received socket goes into the worker's HTTP server."""
    trace = play("""
        def app(environ, start):
            start('200 OK', [('Content-Length', '5')]); return [b'hello']
        if cluster.is_primary:
            w = cluster.fork()
            def give(sock, peer): w.send('take', sock)
            s = net.create_server(give)
            def go():
                c = socket.create_connection(('127.0.0.1', s.address().port))
                c.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')
                def read(): trace(c.recv(1000).split(b'\\r\\n\\r\\n')[1].decode()); s.close(); w.disconnect()
                w.on('message', lambda m, h: cluster.call_later(0.2, read))
            w.on('online', lambda: s.listen(0, '127.0.0.1', callback=go))
        else:
            server = http.create_server(app)
            process.on('message', lambda m, sock: (server.emit('connection', sock), process.send('taken')))
    """)
    assert trace["P"] == ["hello"]


def test_send_handle_large_payload(play: Play) -> None:
    """sequential/test-cluster-send-handle-large-payload: 800 KB with a socket, there and back."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            s = net.create_server(lambda sock, peer: w.send('x' * 800000, sock))
            def back(m, sock):
                trace(len(m), sock is not None); sock.close(); s.close(); w.disconnect()
            w.on('message', back)
            w.on('online', lambda: s.listen(0, '127.0.0.1', callback=lambda: ask(s.address().port, lambda text: None)))
        else:
            process.on('message', lambda m, sock: process.send(m, sock))
    """)
    assert trace["P"] == ["800000 true"]


def test_setup_primary_argv(play: Play) -> None:
    """test-cluster-setup-primary-argv: what is added to argv before the first setup shows up in settings."""
    trace = play(
        """
        sys.argv.append('added')
        cluster.on('setup', lambda s: trace('setup'))
        cluster.setup_primary()
        trace(cluster.settings['args'])
    """,
        "given",
    )
    assert trace["P"] == ['["given","added"]', "setup"]


def test_setup_primary_cumulative(play: Play) -> None:
    """test-cluster-setup-primary-cumulative: empty, defaults, and calls that add up."""
    trace = play("""
        trace(len(cluster.settings))
        cluster.setup_primary()
        trace(cluster.settings['exec'] == sys.argv[0], cluster.settings['args'], cluster.settings['silent'])
        cluster.setup_primary(exec='over.py'); cluster.setup_primary(args=['a', 'b'])
        cluster.setup_primary(silent=True)
        trace(cluster.settings['exec'], cluster.settings['args'], cluster.settings['silent'])
    """)
    assert trace["P"] == ["0", "true [] false", 'over.py ["a","b"] true']


def test_setup_primary_emit(play: Play) -> None:
    """test-cluster-setup-primary-emit: setup carries the settings, and comes with every fork."""
    trace = play("""
        if cluster.is_primary:
            cluster.on('setup', lambda s: trace(s is cluster.settings, s.get('args')))
            cluster.setup_primary(args=['works'])
            cluster.call_later(0.05, lambda: cluster.fork().on('online', cluster.disconnect))
    """)
    assert trace["P"] == ['true ["works"]', 'true ["works"]']


def test_setup_primary_multiple(play: Play) -> None:
    """test-cluster-setup-primary-multiple: once for each call, each with its own snapshot."""
    trace = play("""
        cluster.on('setup', lambda s: trace(s['n']))
        for n in (1, 2, 3): cluster.setup_primary(n=n)
    """)
    assert trace["P"] == ["1", "2", "3"]


def test_setup_primary(play: Play) -> None:
    """test-cluster-setup-primary: exec, args and silent reach two workers."""
    trace = play("""
        if cluster.is_primary:
            open('other.py', 'w').write('import sys\\nfrom nodecluster_compat import process\\nprint("quiet")\\n'
                                        'process.send(sys.argv[1:])\\nprocess.disconnect()\\n')
            cluster.setup_primary(exec='other.py', args=['custom'], silent=True)
            cluster.on('message', lambda w, m, h: trace(m))
            for _ in range(2): cluster.fork()
    """)
    assert trace["P"] == ['["custom"]', '["custom"]']


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
    """test-cluster-worker-events: a message is seen on both objects; errors surface on the worker."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('message', lambda m, h: trace('worker', m))
            w.process.on('message', lambda m, h: (trace('process', m), w.disconnect()))
            w.on('error', lambda e: trace('error'))
            w.on('exit', lambda *_: w.send('too late'))
        else:
            cluster.worker.on('message', lambda m, h: process.send(m)); process.send('hi')
    """)
    assert trace["P"] == ["worker hi", "process hi", "error"]


def test_tls_ticket(play: Play, tmp_path: Path) -> None:
    """test-tls-ticket-cluster: a TLS session begun with one worker is resumed with another.

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
                for _ in range(6):
                    with socket.create_connection(('127.0.0.1', port)) as raw:
                        with mine.wrap_socket(raw, session=session) as c:
                            workers.add(c.recv(10)); resumed += c.session_reused; session = c.session
                cluster.call_soon_threadsafe(lambda: (trace(len(workers), resumed), cluster.disconnect()))
            def ready(w, a):
                listening.append(w)
                if len(listening) == 2:
                    import threading
                    threading.Thread(target=talk, args=(a.port,)).start()
            cluster.on('listening', ready)
            for _ in range(2): cluster.fork()
        else:
            def handler(sock, peer):
                with shared_context.context.wrap_socket(sock, server_side=True) as tls:
                    tls.sendall(str(cluster.worker.id).encode())
            net.create_server(handler).listen(0, '127.0.0.1')
    """)
    assert trace["P"] == ["2 5"]
