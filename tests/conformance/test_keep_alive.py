"""Node's own tests of what keeps a worker alive, each as a program of ours; the docstring names the upstream test."""

from __future__ import annotations

from stage import Play


def test_rr_ref(play: Play) -> None:
    """test-cluster-rr-ref: unref() and ref() on a server that the primary deals to, then a close: done comes."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('message', lambda m: (trace(m), m == 'done' and w.kill()))
        else:
            s = net.create_server(lambda sock, peer: trace('never'))
            s.listen(0, lambda: (s.unref(), s.ref(), s.close(lambda: process.send('done'))))
    """)
    assert (trace["P"], trace["W1"]) == (["done"], [])


def test_rr_handle_ref_unref(play: Play) -> None:
    """test-cluster-rr-handle-ref-unref: without the channel and a server that hold it, a worker ends by itself."""
    trace = play("""
        if cluster.is_primary:
            cluster.fork().on('exit', lambda code, sig: trace(code, sig))
        else:
            s = net.create_server(lambda sock, peer: trace('never'))
            s.listen(0, lambda: (s.ref(), s.unref(), process.channel.unref()))
    """)
    assert (trace["P"], trace["W1"]) == (["0 -"], [])


def test_rr_handle_close(play: Play) -> None:
    """test-cluster-rr-handle-close: without the channel and with its server closed, a worker ends by itself."""
    trace = play("""
        if cluster.is_primary:
            cluster.fork().on('exit', lambda code, sig: trace(code, sig))
        else:
            s = net.create_server(lambda sock, peer: trace('never'))
            s.listen(0, lambda: (process.channel.unref(), s.close()))
    """)
    assert (trace["P"], trace["W1"]) == (["0 -"], [])


def test_rr_handle_keep_loop_alive(play: Play) -> None:
    """test-cluster-rr-handle-keep-loop-alive: an open server keeps a worker alive, although its channel does not.

    Left out: three seconds; the worker answers over its channel, half a second after its last greenlet has ended.
    """
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('listening', lambda: cluster.set_timeout(w.send, 500, 'alive?'))
            w.on('message', lambda m: (trace(m, w.is_dead()), w.kill()))
            w.on('exit', lambda code, sig: trace(code, sig))
        else:
            process.on('message', lambda m: process.send('alive'))
            s = net.create_server(lambda sock, peer: trace('never'))
            s.listen(0, lambda: process.channel.unref())
    """)
    assert (trace["P"], trace["W1"]) == (["alive false", "- SIGTERM"], [])


def test_dgram_unref_in_cluster(play: Play) -> None:
    """test-dgram-unref-in-cluster: unref() before bind() holds for the socket that the primary gives.

    Left out: getActiveResourcesInfo(); the worker ends although the socket is open, which is what that stands for.
    """
    trace = play("""
        if cluster.is_primary:
            cluster.fork().on('exit', lambda code, sig: trace(code, sig))
        else:
            s = dgram.create_socket('udp4')
            s.unref()
            s.bind()
            s.on('listening', lambda: (trace('bound', s.address().port > 0), process.channel.unref()))
    """)
    assert (trace["P"], trace["W1"]) == (["0 -"], ["bound true"])


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
