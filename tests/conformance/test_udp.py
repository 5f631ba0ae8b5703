"""Node's own tests of datagrams, each as a program of ours; the docstring names the upstream test."""

from __future__ import annotations

from stage import Play


def test_child_index(play: Play) -> None:
    """test-cluster-child-index-dgram: two chains of bind(0), close, bind(0), close at the same time never collide."""
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
                second = dgram.create_socket('udp4')
                second.on('error', lambda e: trace('never', e))
                second.bind(0, callback=lambda: second.close(count))
            def chain():
                first = dgram.create_socket('udp4')
                first.on('error', lambda e: trace('never', e))
                first.bind(0, callback=lambda: (first.close(count), again()))
            chain(); chain()
    """)
    assert (trace["P"], trace["W1"]) == (["0 -"], [])


def test_shared_port(play: Play) -> None:
    """test-cluster-dgram-1: four workers share a port; each gets its ten datagrams, says so and disconnects.

    It ends after 40 only because a worker that leaves takes no datagram that it does not deliver.
    Left out: the fixed port; the number is the one that port 0 gave.
    """
    trace = play("""
        if cluster.is_primary:
            listening = []
            def bound(w, a):
                listening.append(a.port)
                if len(listening) == 4:
                    trace('ports', len(set(listening)))
                    s = dgram.create_socket('udp4')
                    sent = []
                    def after(error, count):
                        sent.append(count)
                        if len(sent) < 40: send()
                        else: s.close()
                    def send(): s.send('hello world', a.port, '127.0.0.1', after)
                    send()
            cluster.on('listening', bound)
            def watched(w):
                received = []
                w.on('message', lambda m, h: received.append(m['received']))
                w.on('disconnect', lambda: trace_as(f'P{w.id}', received))
                w.on('exit', lambda code, sig: trace_as(f'P{w.id}', code, sig))
            for _ in range(4): watched(cluster.fork())
        else:
            received = []
            def message(data, peer):
                received.append(data)
                if len(received) == 10:
                    process.send({'received': len(received)})
                    process.disconnect()
            dgram.create_socket('udp4', message).bind(0)
    """)
    assert trace["P"] == ["ports 1"]
    assert [trace[f"P{n}"] for n in (1, 2, 3, 4)] == [["[10]", "0 -"]] * 4


def test_send_from_workers(play: Play) -> None:
    """test-cluster-dgram-2: four workers send ten each from a socket that they share; cluster.disconnect() ends them.

    Left out: the primary's fixed port, which the workers get by their environment.
    """
    trace = play("""
        if cluster.is_primary:
            got, peers = [], set()
            def message(data, peer):
                got.append(data); peers.add(peer[1])
                if len(got) == 40:
                    trace('from ports', len(peers)); s.close(); cluster.disconnect(lambda: trace('done'))
            s = dgram.create_socket('udp4', message)
            s.bind(0, callback=lambda: [cluster.fork({'PORT': str(s.address().port)}) for _ in range(4)])
            cluster.on('exit', lambda w, code, sig: trace(code, sig))
        else:
            u = dgram.create_socket('udp4')
            u.bind(0)
            for _ in range(10): u.send('hello world', int(os.environ['PORT']), '127.0.0.1')
    """)
    assert trace["P"] == ["from ports 1", "0 -", "0 -", "0 -", "0 -", "done"]


def test_bind_fd(play: Play) -> None:
    """test-cluster-dgram-bind-fd: the number of a descriptor is the primary's; four workers share it, ten each."""
    trace = play("""
        if cluster.is_primary:
            own = socket.socket(type=socket.SOCK_DGRAM); own.bind(('127.0.0.1', 0))
            listening = []
            def bound(w, a):
                listening.append((a.port == own.getsockname()[1], a.fd == own.fileno(), a.address_type))
                if len(listening) == 4:
                    trace(sorted(set(listening)))
                    s = dgram.create_socket('udp4')
                    sent = []
                    def after(error, count):
                        sent.append(count)
                        if len(sent) < 40: send()
                        else: s.close()
                    def send(): s.send('hello world', a.port, a.address, after)
                    send()
            cluster.on('listening', bound)
            def watched(w):
                received = []
                w.send({'fd': own.fileno()})
                w.on('message', lambda m, h: (received.append(m['received']), w.disconnect()))
                w.on('exit', lambda code, sig: trace_as(f'P{w.id}', received, code, sig))
            for _ in range(4): watched(cluster.fork())
        else:
            received = []
            def start(m, h):
                s = dgram.create_socket('udp4')
                def message(data, peer):
                    received.append(data)
                    if len(received) == 10:
                        process.send({'received': len(received)})
                        s.close()
                s.on('message', message)
                s.bind(fd=m['fd'])
            process.on('message', start)
    """)
    assert trace["P"] == ['[[true,true,"udp4"]]']
    assert [trace[f"P{n}"] for n in (1, 2, 3, 4)] == [["[10] 0 -"]] * 4


def test_ipv6only(play: Play) -> None:
    """test-cluster-dgram-ipv6only: udp6 with ipv6_only on :: and udp4 on 0.0.0.0 have one port; both close; exit 0."""
    trace = play("""
        if cluster.is_primary:
            cluster.fork().on('exit', lambda code, sig: trace(code))
        else:
            closed = []
            def close():
                closed.append(1)
                if len(closed) == 2: cluster.worker.disconnect()
            six, four = dgram.create_socket('udp6', ipv6_only=True), dgram.create_socket('udp4')
            for s in (six, four): s.on('error', lambda e: trace('never', e))
            def both():
                trace(four.address().port == six.address().port, six.address().address, four.address().address)
                six.close(close); four.close(close)
            six.bind(0, '::', callback=lambda: four.bind(six.address().port, '0.0.0.0', callback=both))
    """)
    assert (trace["P"], trace["W1"]) == (["0"], ["true :: 0.0.0.0"])


def test_reuse(play: Play) -> None:
    """test-cluster-dgram-reuse: with reuse_address a worker binds the port that it has again; both close; exit 0."""
    trace = play("""
        if cluster.is_primary:
            cluster.fork().on('exit', lambda code, sig: trace(code))
        else:
            closed = []
            def close():
                closed.append(1)
                if len(closed) == 2: cluster.worker.disconnect()
            a, b = (dgram.create_socket('udp4', reuse_address=True) for _ in range(2))
            for s in (a, b): s.on('error', lambda e: (trace('never', e), process.exit(1)))
            def both():
                trace('both', a.address().port == b.address().port)
                a.close(close); b.close(close)
            a.bind(0, callback=lambda: b.bind(a.address().port, callback=both))
    """)
    assert (trace["P"], trace["W1"]) == (["0"], ["both true"])


def test_reuseport(play: Play) -> None:
    """test-cluster-dgram-reuseport: the primary is never asked; two sockets on one port; both close; exit 0."""
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
            a, b = (dgram.create_socket('udp4', reuse_port=True) for _ in range(2))
            for s in (a, b): s.on('error', lambda e: trace('never', e))
            process.on('message', lambda m, h: (a.close(close), b.close(close)))
            a.bind(0, callback=lambda: b.bind(a.address().port, callback=lambda: process.send('both')))
    """)
    assert (trace["P"], trace["P1"], trace["W1"]) == (["both shared 0", "0"], [], [])


def test_disconnect_unshared(play: Play) -> None:
    """test-cluster-disconnect-unshared-udp: a worker without a socket leaves; one that has one is untouched."""
    trace = play("""
        if cluster.is_primary:
            unbound = cluster.fork({'BOUND': ''})
            def online():
                bound = cluster.fork({'BOUND': 'y'})
                bound.on('listening', lambda a: unbound.disconnect())
                bound.on('exit', lambda code, sig: trace('bound', code))
                unbound.on('disconnect', lambda: (trace('bound is', bound.state), cluster.disconnect()))
            unbound.on('online', online)
        elif os.environ['BOUND']:
            dgram.create_socket('udp4').bind(0)
    """)
    assert trace["P"] == ["bound is listening", "bound 0"]


def test_port_after_port_zero(play: Play) -> None:
    """known_issues/test-dgram-bind-shared-ports-after-port-0: the number that 0 gave cannot be shared, a limit."""
    trace = play("""
        if cluster.is_primary:
            one = cluster.fork({'PORT': '0'})
            def success(m, h):
                trace(m[0])
                two = cluster.fork({'PORT': str(m[1])})
                two.on('message', lambda m, h: trace(m))
                two.on('exit', lambda code, sig: (trace(code, sig), one.send('bye')))
            one.on('message', success)
        else:
            process.on('message', lambda m, h: process.exit(0))
            s = dgram.create_socket('udp4')
            s.on('error', lambda e: process.send(e.code, callback=lambda _: process.exit(1)))
            done = lambda: process.send(['success', s.address().port])
            s.bind(int(os.environ['PORT']), '127.0.0.1', exclusive=False, callback=done)
    """)
    assert trace["P"] == ["success", "EADDRINUSE", "1 -"]


def test_bind_error(play: Play) -> None:
    """test-dgram-cluster-bind-error: an error reply becomes an error event; the socket is unbound again.

    Left out: the text of libuv's error UNKNOWN, which upstream forges in the worker; the primary's own error is tried.
    """
    trace = play("""
        if cluster.is_primary:
            u = dgram.create_socket('udp4')
            u.bind(0, callback=lambda: cluster.fork({'PORT': str(u.address().port)}))
            cluster.on('exit', lambda w, code, sig: (trace(code), u.close()))
        else:
            s = dgram.create_socket('udp4')
            def failed(e):
                s.off('error', failed)
                trace(e.code, e.syscall, s.address() is None)
                s.bind(0, callback=bound_again)
            def bound_again():
                trace('bound', s.address().port > 0)
                s.close()
                cluster.worker.disconnect()
            s.on('error', failed)
            s.bind(int(os.environ['PORT']))
    """)
    assert (trace["P"], trace["W1"]) == (["0"], ["EADDRINUSE bind true", "bound true"])


def test_close_during_bind(play: Play) -> None:
    """test-dgram-cluster-close-during-bind: closed before a positive answer: no bind, and the primary's copy is closed.

    Left out: that upstream's handle is closed in the worker; here the worker has none, it returns its share.
    """
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('message', lambda m, h: (trace(m, 'shared', len(cluster._primary.shared)), w.disconnect()))
            w.on('exit', lambda code, sig: trace(code))
        else:
            order = []
            s = dgram.create_socket('udp4')
            s.on('error', lambda e: trace('never', e))
            s.on('listening', lambda: trace('never'))
            s.bind(0, callback=lambda: trace('never'))
            s.close(lambda: order.append('closed'))
            other = dgram.create_socket('udp4')
            done = lambda: other.close(lambda: process.send([*order, 'done']))
            other.bind(0, '127.0.0.1', callback=done)
    """)
    assert (trace["P"], trace["W1"]) == (['["closed","done"] shared 0', "0"], [])


def test_close_before_cluster_reply(play: Play) -> None:
    """test-dgram-bind-socket-close-before-cluster-reply: closed before a negative answer: no error event."""
    trace = play("""
        if cluster.is_primary:
            u = dgram.create_socket('udp4')
            u.bind(0, callback=lambda: cluster.fork({'PORT': str(u.address().port)}))
            cluster.on('exit', lambda w, code, sig: (trace(code), u.close()))
        else:
            s = dgram.create_socket('udp4')
            s.on('error', lambda e: trace('never', e))
            s.bind(int(os.environ['PORT']), callback=lambda: trace('never'))
            s.close(lambda: trace('closed'))
            later = dgram.create_socket('udp4')  # answered after the first
            later.bind(0, callback=lambda: later.close(lambda: cluster.worker.disconnect()))
    """)
    assert (trace["P"], trace["W1"]) == (["0"], ["closed"])


def test_close_in_listening(play: Play) -> None:
    """test-dgram-cluster-close-in-listening: three workers close inside listening: no error, close follows."""
    trace = play("""
        if cluster.is_primary:
            for _ in range(3): cluster.fork().on('exit', lambda code, sig: trace(code))
        else:
            s = dgram.create_socket('udp4')
            s.on('error', lambda e: trace('never', e))
            s.on('listening', lambda: s.close())
            s.on('close', lambda: (trace('close'), cluster.worker.disconnect()))
            s.bind(0)
    """)
    assert trace["P"] == ["0", "0", "0"]
    assert [trace[f"W{n}"] for n in (1, 2, 3)] == [["close"]] * 3


def test_exclusive_implicit_bind(play: Play) -> None:
    """test-dgram-exclusive-implicit-bind: of four workers that send the two that bound share a port, the others do not.

    Left out: source.unref() of those that did not bind, because a disconnect closes their sockets here (D8).
    """
    trace = play("""
        if cluster.is_primary:
            seen, ports = [], set()
            def message(data, peer):
                seen.append(data); ports.add(peer[1])
                if len(seen) == 4: trace('ports', len(ports)); cluster.disconnect(); u.close()
            u = dgram.create_socket('udp4', message)
            def go():
                for bound in ('', '', 'y', 'y'):
                    cluster.fork({'BOUND': bound, 'PORT': str(u.address().port)})
            u.on('listening', go)
            u.bind(0, exclusive=True)
        else:
            source = dgram.create_socket('udp4')
            if os.environ['BOUND']: source.bind(0)
            source.send(b'abc', int(os.environ['PORT']), '127.0.0.1')
    """)
    assert trace["P"] == ["ports 3"]


def test_shared_and_exclusive_ports(play: Play) -> None:
    """sequential/test-dgram-bind-shared-ports: shared works in both workers, exclusive is EADDRINUSE in the second.

    Left out: the two fixed ports; the numbers are ones that were free a moment ago.
    """
    trace = play("""
        if cluster.is_primary:
            both = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(2)]
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
            a, b = (dgram.create_socket('udp4', lambda data, peer: None) for _ in range(2))
            a.on('error', lambda e: process.send(f'socket1:{e.code}'))
            b.on('error', lambda e: process.send(f'socket2:{e.code}'))
            second = lambda: b.bind(exclusive, exclusive=True, callback=lambda: process.send('success'))
            a.bind(shared, 'localhost', exclusive=False, callback=second)
    """)
    assert trace["P"] == ["first success", "second socket2:EADDRINUSE"]


def test_close_right_after_send(play: Play) -> None:
    """As on Node 20, measured: what was given to a socket that is closed while it is bound is neither sent nor told."""
    trace = play("""
        receiver = dgram.create_socket('udp4')
        receiver.on('message', lambda m, p: trace('got', m.decode()))
        def go():
            sender, port = dgram.create_socket('udp4'), receiver.address().port
            sender.on('close', lambda: (trace('closed'), cluster.call_later(0.1, receiver.close)))
            sender.send('lost', port, '127.0.0.1', lambda error, size: trace('never', error, size))
            sender.close()
        receiver.bind(0, '127.0.0.1', callback=go)
    """)
    assert trace["P"] == ["closed"]


def test_close_of_a_socket_that_was_never_bound(play: Play) -> None:
    """``close`` is emitted, as in Node; once more is an error."""
    trace = play("""
        u = dgram.create_socket('udp4')
        u.on('close', lambda: trace('closed'))
        u.close(lambda: trace('called back'))
        try:
            u.close()
        except Exception as error:
            trace(error.code)
    """)
    assert trace["P"] == ["ERR_SOCKET_DGRAM_NOT_RUNNING", "closed", "called back"]
