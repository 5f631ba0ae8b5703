"""Node's own tests of a worker's life, each as a program of ours; the docstring names the upstream test."""

from __future__ import annotations

import pytest
from stage import Play


def test_basic(play: Play) -> None:
    """test-cluster-basic: first id 1; fork, online, listening, exit on both with the right arguments and states.

    Left out: the receiver ``this``, which a Python function does not have.
    """
    trace = play("""
        assert 'NODE_UNIQUE_ID' not in os.environ
        if cluster.is_primary:
            watch()
            w = watch_worker(cluster.fork())
            trace(w.id, isinstance(w, cluster.Worker))
            for event in ('online', 'listening', 'exit'):
                w.on(event, lambda *args, event=event: trace('worker', event, len(args)))
            for event in ('fork', 'online', 'listening', 'exit'):
                cluster.on(event, lambda x, *args, event=event: trace('cluster', event, x is w, x.state))
            w.on('exit', lambda code, sig: trace(code == w.process.exit_code, sig == w.process.signal_code))
            cluster.on('listening', lambda w, a: (trace(sorted(f for f in a.__slots__)), w.kill()))
        else:
            http.create_server(lambda e, s: []).listen(0, '127.0.0.1')
    """)
    assert trace["P"] == [
        "1 true",
        "cluster fork true none",
        "worker online 0",
        "cluster online true online",
        "worker listening 1",
        "cluster listening true listening",
        '["address","address_type","fd","port"]',
        "worker exit 2",
        "true true",
        "cluster exit true dead",
    ]
    assert trace["P1"] == [
        "cluster fork",
        "worker online online - false true",
        "cluster online",
        "worker listening address 4 127.0.0.1 some - listening - false true",
        "cluster listening address 4 127.0.0.1 some -",
        "worker disconnect disconnected false false false",
        "cluster disconnect",
        "worker exit - SIGTERM dead false true false",
        "cluster exit - SIGTERM",
    ]


def test_call_and_destroy(play: Play) -> None:
    """test-cluster-call-and-destroy: a worker disconnects; destroy() on it afterwards is harmless."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('disconnect', lambda: (trace(w.is_connected()), w.destroy()))
            trace(w.is_connected())
        else:
            trace(cluster.worker.is_connected())
            cluster.worker.on('disconnect', lambda: (trace(cluster.worker.is_connected()), cluster.worker.destroy()))
            cluster.worker.disconnect()
    """)
    assert trace["P"] == ["true", "false"]
    assert trace["W1"] in (["true", "false"], ["true"])  # the signal of destroy() may be faster than its own handler


@pytest.mark.table(quick=["disconnect"])
@pytest.mark.parametrize("how", ["disconnect", "destroy"])
def test_concurrent_disconnect(play: Play, how: str) -> None:
    """test-cluster-concurrent-disconnect: a storm of disconnect and destroy, and no error but of a closed channel; all
    end with 0."""
    trace = play(
        """
        if cluster.is_primary:
            online, workers = [], []
            def tell(what):
                for w in workers:
                    if w.is_connected(): w.send(what)
            def one_more(w):
                online.append(w)
                if len(online) == 4: tell(os.environ['HOW'])
            def failed(e):
                if not (e.syscall == 'write' and e.code in ('EPIPE', 'ECONNRESET')): trace('never', e)
            for _ in range(4):
                w = cluster.fork()
                workers.append(w)
                w.once('online', lambda w=w: one_more(w))
                w.on('error', failed)
                w.once('disconnect', lambda: tell('disconnect'))
                w.once('exit', lambda code, sig: trace(code, sig))
        else:
            def told(m, h):
                if cluster.worker.is_connected(): getattr(cluster.worker, m)()
            process.on('message', told)
    """,
        HOW=how,
    )
    assert trace["P"] == ["0 -"] * 4


def test_disconnect_before_exit(play: Play) -> None:
    """test-cluster-disconnect-before-exit: cluster.disconnect() while one is disconnected but not dead."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('online', w.disconnect)
            w.on('disconnect', lambda: cluster.disconnect(lambda: trace('done')))
    """)
    assert trace["P"] == ["done"]


def test_disconnect_waits_for_the_primary(play: Play) -> None:
    """test-cluster-disconnect-exitedAfterDisconnect-race: the worker's disconnect comes after the primary knows."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('exit', lambda code, sig: trace(code, w.exited_after_disconnect))
        else:
            import gevent
            fired = []
            def disconnected():
                fired.append(1)
                trace('disconnect')
                process.exit(0)
            cluster.worker.on('disconnect', disconnected)
            cluster.worker.disconnect()
            trace('fired at once', bool(fired))
    """)
    assert (trace["P"], trace["W1"]) == (["0 true"], ["fired at once false", "disconnect"])


def test_disconnect_idle_worker(play: Play) -> None:
    """test-cluster-disconnect-idle-worker: fork and disconnect detached; the table is empty in the callback."""
    trace = play("""
        if cluster.is_primary:
            fork, disconnect = cluster.fork, cluster.disconnect
            fork(); fork()
            disconnect(lambda: trace(len(cluster.workers)))
    """)
    assert trace["P"] == ["0"]


def test_disconnect_leak(play: Play) -> None:
    """test-cluster-disconnect-leak: without round robin, an immediate cluster.disconnect() tells everything."""
    trace = play(
        """
        if cluster.is_primary:
            watch('disconnect', 'exit'); watch_worker(cluster.fork())
            cluster.disconnect()
        else:
            net.create_server().listen(0, '127.0.0.1')
    """,
        NODE_CLUSTER_SCHED_POLICY="none",
    )
    assert [line.split()[:2] for line in trace["P1"] if "online" not in line] == [
        ["worker", "disconnect"],
        ["cluster", "disconnect"],
        ["worker", "exit"],
        ["cluster", "exit"],
    ]


def test_disconnect_race(play: Play) -> None:
    """test-cluster-disconnect-race: without round robin, a listening and a just-online worker both end with 0."""
    trace = play(
        """
        if cluster.is_primary:
            cluster.on('exit', lambda w, code, sig: trace(code, sig))
            first = cluster.fork()
            def go(m, h):
                second = cluster.fork()
                first.disconnect()
                second.on('online', second.disconnect)
            first.on('message', go)
        else:
            net.create_server().listen(0, '127.0.0.1', callback=lambda: process.send('listening'))
    """,
        NODE_CLUSTER_SCHED_POLICY="none",
    )
    assert trace["P"] == ["0 -", "0 -"]


def test_disconnect_unshared_tcp(play: Play) -> None:
    """test-cluster-disconnect-unshared-tcp: a worker that never listened leaves; one that listens is untouched."""
    trace = play(
        """
        if cluster.is_primary:
            unbound = cluster.fork({'BOUND': ''})
            def online():
                bound = cluster.fork({'BOUND': 'y'})
                bound.on('listening', lambda a: unbound.disconnect())
                bound.on('exit', lambda code, sig: trace('bound', code))
                unbound.on('disconnect', lambda: (trace('bound is', bound.state), cluster.disconnect()))
            unbound.on('online', online)
        elif os.environ['BOUND']:
            net.create_server().listen(0)
    """,
        NODE_CLUSTER_SCHED_POLICY="none",
    )
    assert trace["P"] == ["bound is listening", "bound 0"]


def test_disconnect_with_no_workers(play: Play) -> None:
    """test-cluster-disconnect-with-no-workers: the callback runs, later."""
    assert play("cluster.disconnect(lambda: trace('called')); trace('after')")["P"] == ["after", "called"]


def test_disconnect(play: Play) -> None:
    """test-cluster-disconnect: workers with two servers each serve, disconnect, and it all works a second time."""
    trace = play("""
        if cluster.is_primary:
            def round_of(number):
                heard, served = [], []
                def listening(w, a):
                    heard.append(a.port)
                    if len(heard) == 8:
                        for port in sorted(set(heard)): ask(port, answered)
                def answered(text):
                    served.append(text)
                    if len(served) == 2:
                        trace(number, served, len(set(heard)))
                        cluster.off('listening', listening)
                        cluster.disconnect(lambda: number == 2 or round_of(2))
                cluster.on('listening', listening)
                for _ in range(4): cluster.fork()
            round_of(1)
        else:
            for _ in range(2):
                net.create_server(lambda s, p: s.sendall(b'echo')).listen(0, '127.0.0.1')
    """)
    assert trace["P"] == ['1 ["echo","echo"] 2', '2 ["echo","echo"] 2']


def test_ipc_throw(play: Play) -> None:
    """test-cluster-ipc-throw: an error handler that throws after disconnect(): one uncaughtException, an end."""
    trace = play("""
        s = http.create_server(lambda environ, start: [])
        if cluster.is_primary:
            def start():
                w = cluster.fork({'PORT': s.address().port})
                w.on('exit', lambda code, sig: (trace(code, sig), s.close()))
            s.listen(port=0, callback=start)
        else:
            process.on('uncaughtException', lambda error: trace('uncaught', error.code))
            s.listen(os.environ['PORT'])
            def failed(e):
                trace('error', e.code)
                cluster.worker.disconnect()
                raise e
            s.on('error', failed)
    """)
    assert (trace["P"], trace["W1"]) == (["0 -"], ["error EADDRINUSE", "uncaught EADDRINUSE"])


def test_kill_disconnect(play: Play) -> None:
    """test-cluster-kill-disconnect: a worker's disconnect() and kill(): voluntary at both events."""
    trace = play("""
        if cluster.is_primary:
            for how in ('disconnect', 'kill'):
                w = cluster.fork({'HOW': how})
                w.on('disconnect', lambda w=w: trace_as(f'P{w.id}', w.exited_after_disconnect))
                w.on('exit', lambda code, sig, w=w: trace_as(f'P{w.id}', w.exited_after_disconnect, code, sig))
        else:
            getattr(cluster.worker, os.environ['HOW'])()
    """)
    assert trace["P1"] == trace["P2"] == ["true", "true 0 -"]


def test_kill_infinite_loop(play: Play) -> None:
    """test-cluster-kill-infinite-loop: process.kill() stops a worker that loops: (null, SIGTERM)."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('online', w.process.kill)
            w.on('exit', lambda code, sig: trace(code, sig))
        else:
            while True: pass
    """)
    assert trace["P"] == ["- SIGTERM"]


def test_primary_error(play: Play) -> None:
    """test-cluster-primary-error: an uncaught error of the primary: code 1, and no worker survives.

    Left out: that a handler raises it: that never ends a primary here (D6), the script's own code does.
    """
    trace = play(
        """
        if cluster.is_primary:
            for _ in range(2): trace(cluster.fork().process.pid)
            raise RuntimeError('accident')
        http.create_server(lambda e, s: []).listen(0, '127.0.0.1')
    """,
        code=1,
        quiet=False,
    )
    assert len(trace["P"]) == 2
    for pid in trace["P"]:
        assert_gone(int(pid))


@pytest.mark.parametrize(("how", "code"), [("process.exit(0)", 0), ("os.kill(os.getpid(), signal.SIGKILL)", -9)])
def test_primary_kill(play: Play, how: str, code: int) -> None:
    """test-cluster-primary-kill: the primary ends by itself, or is killed: its listening worker ends, too."""
    trace = play(
        f"""
        if cluster.is_primary:
            w = cluster.fork()
            trace(w.process.pid)
            w.once('listening', lambda a: {how})
        else:
            http.create_server(lambda e, s: []).listen(0, '127.0.0.1')
    """,
        code=code,
    )
    assert_gone(int(trace["P"][0]))


def assert_gone(pid: int) -> None:
    """Its primary is gone: it reads end-of-file and exits, which another process can only see by looking."""
    import os
    import select

    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([fd], [], [], 20)[0]
    finally:
        os.close(fd)


def test_process_disconnect(play: Play) -> None:
    """test-cluster-process-disconnect: a raw disconnect in a listening worker: exit (0, null)."""
    trace = play("""
        if cluster.is_primary:
            cluster.on('exit', lambda w, code, sig: trace(code, sig))
            cluster.fork()
        else:
            net.create_server().listen(0, '127.0.0.1', callback=process.disconnect)
    """)
    assert trace["P"] == ["0 -"]


def test_uncaught_exception(play: Play) -> None:
    """test-cluster-uncaught-exception: the program's own listener decides about an uncaught exception."""
    trace = play(
        """
        if cluster.is_primary:
            def decide(error, origin):
                trace('uncaught', str(error), origin)
                cluster.set_timeout(lambda: process.exit(42))
            process.on('uncaughtException', decide)
            cluster.fork()
            raise RuntimeError('kill primary')
        process.exit()
    """,
        code=42,
    )
    assert trace["P"] == ["uncaught kill primary uncaughtException"]


def test_worker_death(play: Play) -> None:
    """test-cluster-worker-death: exit(42) is (42, null) on worker and cluster."""
    trace = play("""
        if cluster.is_primary:
            watch('exit'); watch_worker(cluster.fork())
        else:
            process.exit(42)
    """)
    assert trace["P1"][-2:] == ["worker exit 42 - dead false true false", "cluster exit 42 -"]


def test_worker_destroy(play: Play) -> None:
    """test-cluster-worker-destroy: destroy() while connected and after a disconnect: both events in the primary."""
    trace = play("""
        if cluster.is_primary:
            watch('disconnect', 'exit')
            cluster.fork(); cluster.fork()
        elif cluster.worker.id == 1:
            cluster.worker.process.on('disconnect', cluster.worker.destroy)
            cluster.worker.disconnect()
        else:
            cluster.worker.destroy()
    """)
    assert trace["P1"] == trace["P2"] == ["cluster disconnect", "cluster exit 0 -"]


def test_worker_disconnect(play: Play) -> None:
    """test-cluster-worker-disconnect: returns the worker; states, flags; the worker's own handler ran; it is gone."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.once('listening', lambda a: trace(w.disconnect() is w))
            cluster.once('disconnect', lambda w: trace('cluster disconnect'))
            cluster.once('exit', lambda *_: trace('cluster exit'))
            w.once('disconnect', lambda: trace(w.state, w.exited_after_disconnect))
            w.once('exit', lambda code, sig: trace(code, sig, os.path.exists(f'/proc/{w.process.pid}')))
        else:
            cluster.worker.on('disconnect', lambda: process.exit(42))
            http.create_server(lambda e, s: []).listen(0, '127.0.0.1')
    """)
    assert trace["P"] == ["true", "disconnected true", "cluster disconnect", "42 - false", "cluster exit"]


def test_worker_exit(play: Play) -> None:
    """test-cluster-worker-exit: exit(42): each event once; the process is gone at exit."""
    trace = play("""
        if cluster.is_primary:
            w = watch_worker(cluster.fork()); watch('disconnect', 'exit')
            w.on('exit', lambda *_: trace(os.path.exists(f'/proc/{w.process.pid}')))
        else:
            http.create_server(lambda e, s: []).listen(0, '127.0.0.1', callback=lambda: process.exit(42))
    """)
    assert [line for line in trace["P1"] if "disconnect" in line] == [
        "worker disconnect disconnected false false false",
        "cluster disconnect",
    ]
    assert [line for line in trace["P1"] if " exit" in line] == [
        "worker exit 42 - dead false true false",
        "cluster exit 42 -",
    ]
    assert trace["P"] == ["false"]


def test_worker_forced_exit(play: Play) -> None:
    """test-cluster-worker-forced-exit: a disconnect that was asked honours an exit code, a lost channel does not."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork(); w.on('online', w.disconnect); w.on('exit', lambda code, sig: trace('asked', code))
            def next():
                x = cluster.fork(); x.on('message', lambda m, h: x.process.disconnect())
                x.on('exit', lambda code, sig: trace('lost', code))
            w.on('exit', lambda code, sig: next())
        else:
            process.on('disconnect', lambda: later(0.1, lambda: process.exit(42)))
            process.send('ready')
    """)
    assert trace["P"] == ["asked 42", "lost 0"]


def test_worker_init(play: Play) -> None:
    """test-cluster-worker-init: cluster.worker hears messages from the start; disconnect returns the worker."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('message', lambda m, h: (trace(m), trace(w.disconnect() is w)))
            w.send('hello')
        else:
            cluster.worker.on('message', lambda m, h: cluster.worker.send(m == 'hello'))
    """)
    assert trace["P"] == ["true", "true"]


def test_worker_is_connected(play: Play) -> None:
    """test-cluster-worker-isconnected: through the whole life, on both sides."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            trace(w.is_connected())
            w.on('online', lambda: trace(w.is_connected()))
            w.on('message', lambda m, h: (trace(w.is_connected()), w.disconnect()))
            w.on('disconnect', lambda: trace(w.is_connected()))
            w.on('exit', lambda *_: trace(w.is_connected()))
        else:
            trace(cluster.worker.is_connected())
            process.on('disconnect', lambda: trace(cluster.worker.is_connected()))
            process.send('x')
    """)
    assert (trace["P"], trace["W1"]) == (["true", "true", "true", "false", "false"], ["true", "false"])


def test_worker_is_dead(play: Play) -> None:
    """test-cluster-worker-isdead: false after the fork and in the worker, true at exit."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            trace(w.is_dead())
            w.on('message', lambda m, h: (trace(m), w.kill()))
            w.on('exit', lambda *_: trace(w.is_dead()))
        else:
            process.send(cluster.worker.is_dead())
    """)
    assert trace["P"] == ["false", "false", "true"]


def test_worker_kill_signal(play: Play) -> None:
    """test-cluster-worker-kill-signal: kill(SIGKILL): flag false, (null, SIGKILL), each event once, no entry."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.once('listening', lambda a: w.kill('SIGKILL'))
            w.on('disconnect', lambda: trace(w.state, w.exited_after_disconnect))
            w.on('exit', lambda code, sig: trace(code, sig, os.path.exists(f'/proc/{w.process.pid}')))
            cluster.on('exit', lambda *_: trace(len(cluster.workers)))
        else:
            http.create_server(lambda e, s: []).listen(0, '127.0.0.1')
    """)
    assert trace["P"] == ["disconnected false", "- SIGKILL false", "0"]


def test_worker_kill(play: Play) -> None:
    """test-cluster-worker-kill: process.kill(SIGKILL): the same, in order."""
    trace = play("""
        if cluster.is_primary:
            w = watch_worker(cluster.fork()); watch('disconnect', 'exit')
            w.once('listening', lambda a: w.process.kill('SIGKILL'))
            alive = lambda: os.path.exists(f'/proc/{w.process.pid}')
            w.on('exit', lambda *_: trace(w.process.exit_code, w.process.signal_code, alive()))
        else:
            http.create_server(lambda e, s: []).listen(0, '127.0.0.1')
    """)
    assert trace["P1"][2:] == [
        "worker disconnect disconnected false false false",
        "cluster disconnect",
        "worker exit - SIGKILL dead false true false",
        "cluster exit - SIGKILL",
    ]
    assert trace["P"] == ["- SIGKILL false"]


def test_worker_no_exit(play: Play) -> None:
    """test-cluster-worker-no-exit: an outgoing connection keeps a disconnected worker alive until it ends."""
    trace = play("""
        if cluster.is_primary:
            import gevent.event
            gone = gevent.event.Event()
            s = net.create_server(lambda sock, peer: (w.disconnect(), gone.wait(), sock.sendall(b'bye')))
            def start():
                global w
                w = cluster.fork({'PORT': str(s.address().port)})
                w.on('disconnect', lambda: (trace('disconnect'), cluster.call_later(0.2, gone.set)))
                w.on('exit', lambda code, sig: (trace('exit', code), s.close()))
            s.listen(0, '127.0.0.1', callback=start)
        else:
            import threading
            def talk():
                with socket.create_connection(('127.0.0.1', int(os.environ['PORT']))) as c:
                    trace(c.recv(10).decode())
            threading.Thread(target=talk).start()
    """)
    assert (trace["P"], trace["W1"]) == (["disconnect", "exit 0"], ["bye"])


def test_worker_wait_server_close(play: Play) -> None:
    """test-cluster-worker-wait-server-close: disconnect comes only after the server is closed and drained."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork(); clients = []
            def listening(a):
                clients.append(socket.create_connection(('127.0.0.1', a.port)))
            w.on('listening', listening)
            def ends():
                trace('client ends')
                clients.pop().close()
            w.on('message', lambda m, h: (w.disconnect(), cluster.call_later(0.2, ends)))
            w.on('disconnect', lambda: trace('disconnect'))
        else:
            s = net.create_server(lambda sock, peer: (process.send('x'), sock.recv(1)))
            s.on('close', lambda: trace('close'))
            process.on('disconnect', lambda: trace('disconnect'))
            s.listen(0, '127.0.0.1')
    """)
    assert (trace["P"], trace["W1"]) == (["client ends", "disconnect"], ["close", "disconnect"])


def test_fork_closed_channel(play: Play) -> None:
    """test-child-process-fork-closed-channel-segfault: handles for a worker that exits upon the first never hurt the
    primary; the channel is None at close."""
    trace = play("""
        if cluster.is_primary:
            allowed = ('ERR_IPC_CHANNEL_CLOSED', 'ECONNRESET', 'ECONNREFUSED', 'EMFILE')
            s = net.create_server(lambda sock, peer: sock.recv(1))
            def start():
                w = cluster.fork()
                def send(callback):
                    c = socket.create_connection(('127.0.0.1', s.address().port))
                    w.send({}, c, callback)
                def second(error):
                    if error is not None and getattr(error, 'code', None) not in allowed: trace('second', error)
                w.on('online', lambda: send(lambda error: (trace('first', error), send(second))))
                w.on('error', lambda error: error.code in allowed or trace('never', error))
                w.process.once('close', lambda code: (trace('close', code, w.process.channel), s.close()))
            s.listen(0, '127.0.0.1', start)
        else:
            process.on('message', lambda m: process.exit(1))
    """)
    assert trace["P"] == ["first -", "close 1 -"]


def test_cluster_preload(play: Play) -> None:
    """fixtures/cluster-preload: what a module imports first in a worker sees cluster.worker."""
    trace = play("""
        if cluster.is_primary:
            cluster.on('exit', lambda w, code, sig: trace(code))
            cluster.fork()
        else:
            lines = ['from nodecluster_compat import cluster, process', 'process.exit(42 + cluster.worker.id)']
            open('preloaded.py', 'w').write('\\n'.join(lines))
            sys.path.insert(0, os.getcwd())
            import preloaded
    """)
    assert trace["P"] == ["43"]
