"""Where we are better than Node on purpose: one test for each line of docs/differences.md that no scenario shows."""

from __future__ import annotations

import re
from pathlib import Path

from stage import Play

ROOT = Path(__file__).parents[2]


def test_d2_a_full_worker_is_not_asked_again_before_it_has_room(play: Play) -> None:
    """D2: two workers with room for one, three clients: Node bounces the third thousands of times a second."""
    trace = play("""
        if cluster.is_primary:
            dealer, told = cluster._primary.dealer, []
            stock = dealer._engine.notices.refused
            def refused(end, listener_id, connection):
                told.append(end.worker_id)
                stock(end, listener_id, connection)
            dealer._engine.notices.refused = refused
            ready, clients = [], []
            def listening(w, a):
                ready.append(w)
                if len(ready) == 2:
                    clients.extend(socket.create_connection(('127.0.0.1', a.port)) for _ in range(3))
                    cluster.call_later(0.5, look)
            def look():
                trace(1 <= len(told) <= 2)
                clients[0].close(); clients[1].close(); clients[2].settimeout(20)
                import threading
                def read():
                    text = clients[2].recv(10).decode()
                    cluster.call_soon_threadsafe(lambda: (trace(text), clients[2].close(), cluster.disconnect()))
                threading.Thread(target=read).start()
            cluster.on('listening', listening)
            for _ in range(2): cluster.fork()
        else:
            s = net.create_server(lambda sock, p: (sock.sendall(b'served'), sock.recv(1)))
            s.max_connections = 1
            s.listen(0, '127.0.0.1')
    """)
    assert trace["P"] == ["true", "served"]


def test_d3_the_queue_of_accepted_connections_has_a_bound(play: Play) -> None:
    """D3: a stopped worker, many clients: the primary accepts up to its bound, and everybody is served in the end."""
    trace = play("""
        if cluster.is_primary:
            w, served, clients = cluster.fork(), [], []
            def listening(a):
                w.process.kill('SIGSTOP')
                def go():
                    for _ in range(200):
                        c = socket.create_connection(('127.0.0.1', a.port)); c.settimeout(20); clients.append(c)
                    cluster.call_later(0.3, look)
                cluster.call_later(0.05, go)
            def look():
                waiting = cluster._primary.dealer.waiting_connections()
                trace(0 < waiting <= 130)
                w.process.kill('SIGCONT')
                import threading
                def read():
                    got = {c.recv(1) for c in clients}
                    cluster.call_soon_threadsafe(lambda: (trace(got == {b'x'}), w.disconnect()))
                threading.Thread(target=read).start()
            w.on('listening', listening)
        else:
            net.create_server(lambda sock, p: sock.sendall(b'x')).listen(0, '127.0.0.1')
    """)
    assert trace["P"] == ["true", "true"]


def test_d5_a_second_disconnect_is_nothing(play: Play) -> None:
    """D5: in Node the worker or the primary crashes in most runs."""
    trace = play("""
        if cluster.is_primary:
            w = cluster.fork()
            w.on('listening', lambda a: (w.disconnect(), w.disconnect(), w.disconnect()))
            w.on('disconnect', lambda: trace('disconnect'))
            w.on('exit', lambda code, sig: trace(code, sig, w.exited_after_disconnect))
        else:
            net.create_server().listen(0, '127.0.0.1')
    """)
    assert trace["P"] == ["disconnect", "0 - true"]


def test_d6_an_error_on_a_channel_is_logged(play: Play) -> None:
    """D6: without an error listener Node's primary dies of it; so it does of a handler that raises."""
    trace = play(
        """
        if cluster.is_primary:
            def broken(*_): raise RuntimeError('broken handler')
            cluster.on('exit', broken)
            w = cluster.fork()
            w.on('exit', lambda code, sig: (w.send('nobody there'), cluster.call_later(0.1, lambda: trace('alive'))))
        else:
            process.exit(0)
    """,
        quiet=False,
    )
    assert trace["P"] == ["alive"]


def test_every_difference_is_written_down_and_tested() -> None:
    """docs/differences.md has each number once, and each is named by a test or a scenario."""
    page = (ROOT / "docs" / "differences.md").read_text()
    numbers = re.findall(r"^\| (D\d+) \|", page, flags=re.MULTILINE)
    assert numbers == [f"D{number}" for number in range(1, len(numbers) + 1)]
    tests = "".join(
        path.read_text()
        for folder in ("conformance", "oracle", "unit", "faults", "integration")
        for path in (ROOT / "tests" / folder).rglob("*.py")
    )
    assert [number for number in numbers if not re.search(rf"\b{number}\b", tests)] == []
