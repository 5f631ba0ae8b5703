"""Node's own tests of what keeps a worker alive: servers, sockets and the channel, held and let go of."""

from __future__ import annotations

from stage import Play

HELD = """
    if cluster.is_primary:
        for how in sys.argv[1:]:
            w = cluster.fork({'HOW': how})
            w.on('exit', lambda code, sig, how=how: trace(how, code, sig))
            w.on('message', lambda message, handle=None, w=w, how=how: (trace(how, message), w.kill()))
    else:
        how = os.environ['HOW']
        server = dgram.create_socket('udp4') if how == 'udp' else net.create_server()
        server.on('message' if how == 'udp' else 'connection', lambda *_: trace('never'))
        def listening():
            if how == 'ref':
                server.unref()
                server.ref()
                server.close(lambda: process.send('done'))
            if how == 'close':
                process.channel.unref()
                server.close()
            if how == 'unref':
                server.ref()
                server.unref()
                process.channel.unref()
            if how == 'hold':
                process.channel.unref()
                cluster.set_timeout(process.send, 200, 'alive').unref()
            if how == 'udp':
                process.channel.unref()
        if how == 'udp':
            server.unref()
            server.bind()
            server.on('listening', listening)
        else:
            server.listen(0, callback=listening)
"""


def test_what_holds_a_worker(play: Play) -> None:
    """Workers that end because nothing holds them, and one that lives because its server does.

    test-cluster-rr-ref: a server that was let go of and held again can be closed.
    test-cluster-rr-handle-close: closed, and without the channel, nothing is left.
    test-cluster-rr-handle-ref-unref: nor is there with a server that was let go of.
    test-cluster-rr-handle-keep-loop-alive: an open server holds by itself (upstream waits three seconds).
    test-dgram-unref-in-cluster: a socket that is let go of before it is bound does not (upstream counts handles).
    """
    trace = play(HELD, "ref", "close", "unref", "hold", "udp")
    assert sorted(trace["P"]) == [
        "close 0 -",
        "hold - SIGTERM",
        "hold alive",
        "ref - SIGTERM",
        "ref done",
        "udp 0 -",
        "unref 0 -",
    ]


def test_primary_may_end_before_its_worker(play: Play) -> None:
    """``subprocess.unref()`` and ``channel.unref()``: the worker then ends because its primary has."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            def online():
                trace(w.process.unref(), w.process.channel.unref().has_ref())
                server = net.create_server()
                server.listen(0, '127.0.0.1', callback=lambda: (trace('listening'), server.unref()))
            w.on('online', online)
            process.on('exit', lambda code: trace('exit', code, w.is_dead()))
    """)
    assert trace["P"] == ["- false", "listening", "exit 0 false"]


def test_server_that_listens_again_when_it_is_closed_is_open(play: Play) -> None:
    """It holds its process, and a worker that leaves closes it once more; a UDP socket cannot, as on Node."""
    trace = play("""
        if cluster.is_primary:
            cluster.fork().on('exit', lambda code, sig: trace(code, sig))
        else:
            server = net.create_server()
            begin = lambda: server.listen(0, '127.0.0.1')
            server.once('close', begin)
            server.on('close', lambda: trace('close'))
            server.once('listening', lambda: server.once('listening', cluster.worker.disconnect))
            server.once('listening', server.close)
            begin()
    """)
    assert (trace["P"], trace["W1"]) == (["0 -"], ["close", "close"])


def test_server_that_listens_again_while_its_last_connection_ends(play: Play) -> None:
    """It is no longer closed: who waits for that is called when it closes the next time, a late one with an error."""
    trace = play("""
        import threading
        if cluster.is_primary:
            cluster.fork().on('exit', lambda code, sig: trace(code, sig))
        else:
            begun, may_end = threading.Event(), threading.Event()
            def serve(client, peer):
                begun.set()
                client.recv(1)
            server = net.create_server(serve)
            def first():
                client = socket.create_connection(('127.0.0.1', server.address().port))
                def again():
                    if server.connections:
                        server.close(lambda *error: trace('first', *[one.code for one in error if one]))
                        server.close(lambda *error: trace('second', *[one.code for one in error if one]))
                        server.listen(0, '127.0.0.1', callback=lambda: second(client))
                    else:
                        cluster.set_timeout(again, 1)
                again()
            def second(client):
                trace('listening', server.listening, server.connections)
                client.close()
                def close():
                    if server.connections:
                        cluster.set_timeout(close, 1)
                    else:
                        trace('drained')
                        server.close(lambda *error: (trace('third'), cluster.worker.disconnect()))
                close()
            server.listen(0, '127.0.0.1', callback=first)
    """)
    assert trace["W1"] == ["listening true 1", "drained", "first", "second ERR_SERVER_NOT_RUNNING", "third"]
    assert trace["P"] == ["0 -"]


def test_server_that_cannot_listen_again_is_closed_when_its_last_connection_ends(play: Play) -> None:
    """The address is somebody else's, or it is closed once more before the answer: nobody is called too early."""
    trace = play("""
        import threading
        if cluster.is_primary:
            for how in ('taken', 'off'):
                cluster.fork({'HOW': how}).on('exit', lambda code, sig, how=how: trace(how, code, sig))
        else:
            how = os.environ['HOW']
            taken = socket.socket()
            taken.bind(('127.0.0.1', 0))
            taken.listen()
            server = net.create_server(lambda client, peer: client.recv(1))
            def told(name):
                return lambda *error: trace_as(how, name, server.connections, *[one.code for one in error if one])
            server.on('close', told('close'))
            server.on('error', lambda error: (trace_as(how, error.code), end()))
            def first():
                global client
                client = socket.create_connection(('127.0.0.1', server.address().port))
                begun()
            def begun():
                if not server.connections:
                    cluster.set_timeout(begun, 1)
                    return
                server.close(told('first'))
                if how == 'taken':
                    server.listen(taken.getsockname()[1], '127.0.0.1', exclusive=True)
                else:
                    server.listen(0, 'localhost')
                    server.close(told('second'))
                    cluster.set_timeout(end, 50)
            def end():
                trace_as(how, 'ends')
                client.close()
                cluster.worker.disconnect()
            server.listen(0, '127.0.0.1', exclusive=True, callback=first)
    """)
    assert trace["taken"] == ["EADDRINUSE", "ends", "close 0", "first 0"]
    assert trace["off"] == ["ends", "close 0", "first 0", "second 0 ERR_SERVER_NOT_RUNNING"]
    assert sorted(trace["P"]) == ["off 0 -", "taken 0 -"]
