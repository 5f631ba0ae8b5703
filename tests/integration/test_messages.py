"""Messages between the primary and its workers: order, size, return values, back-pressure, and nothing lost early."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack

import pytest
from kinds import THREAD_WORKER, every_kind, every_wsgi_kind
from remote_control import (
    REMOTE,
    ask,
    freeze,
    healthy,
    here,
    occupy,
    resident_bytes,
    said,
    tell,
    wait,
    wait_ended,
    wait_said,
)

from pytest_cluster import Cluster

MEBIBYTE = 1024 * 1024
COLLECT_IN_WORKER = """
got = []
process.on('message', lambda message, handle: None if isinstance(message, dict) else got.append(message))
"""
COLLECT_IN_PRIMARY = """
got = []
cluster.on('message', lambda worker, message, handle: None if isinstance(message, dict) else got.append(message))
"""

HEAR = """
got = []
process.on('message', lambda m, h: got.append(m[:3]) if isinstance(m, str) and m[0] == '#' else None)
"""
FILL = """
refused, text = [], 'y' * 1024 * 1024
for number in range(200):
    to.send(text, callback=lambda error: refused.append(type(error).__name__) if error else None)
to.send(text)
"""


@pytest.mark.table(quick=["threads"])
@every_kind
@pytest.mark.cluster(**REMOTE)
def test_order_under_load(cluster: Cluster) -> None:
    """Ten thousand messages each way arrive once and in order, although nobody waits for anybody."""
    ask(cluster, "primary", COLLECT_IN_PRIMARY)
    ask(cluster, "worker/1", COLLECT_IN_WORKER)

    ask(cluster, "worker/1", "for number in range(10_000): process.send(number)")
    assert ask(cluster, "primary", "result = got == list(range(10_000))")
    ask(cluster, "primary", "for number in range(10_000): cluster.workers[1].send([number])")
    assert ask(cluster, "worker/1", "result = got == [[number] for number in range(10_000)]")


@pytest.mark.cluster(**REMOTE)
def test_order_of_listeners(cluster: Cluster) -> None:
    """In the primary the cluster hears a message first; in a worker ``cluster.worker`` does."""
    ask(
        cluster,
        "primary",
        """
        cluster.workers[1].on('message', lambda *args: say(second=args) if args[0] == 'up' else None)
        cluster.on('message', lambda *args: say(first=[args[0].id, *args[1:]]) if args[1] == 'up' else None)
        """,
    )
    listen = "on('message', lambda *args: say({}=args) if args[0] == 'down' else None)\n"
    ask(cluster, "worker/1", "process." + listen.format("fourth") + "cluster.worker." + listen.format("third"))
    ask(cluster, "worker/1", "process.send('up')")
    ask(cluster, "primary", "cluster.workers[1].send('down')")
    wait_said(cluster, fourth=["down", None])

    places = {"first", "second", "third", "fourth"}
    assert [one for one in said(cluster) if places & set(one)] == [
        {"first": [1, "up", None]},
        {"second": ["up", None]},
        {"third": ["down", None]},
        {"fourth": ["down", None]},
    ]


@pytest.mark.table(quick=["16 MiB"], long=["100 MiB"])
@pytest.mark.cluster(**REMOTE)
@pytest.mark.parametrize("most", [16 * MEBIBYTE, 100 * MEBIBYTE], ids=lambda most: f"{most // MEBIBYTE} MiB")
def test_any_size(cluster: Cluster, most: int) -> None:
    """From one byte to 100 MiB, there and back; requests are answered while the largest is under way."""
    watch = """
        import zlib
        def weigh(message):
            return None if isinstance(message, dict) else [len(message), zlib.crc32(message.encode())]
        make = lambda size: ('0123456789abcdef' * (size // 16 + 1))[:size]
    """
    ask(cluster, "worker/1", watch + "    process.on('message', lambda m, h: weigh(m) and say(down=weigh(m)))")
    ask(cluster, "primary", watch + "    cluster.on('message', lambda w, m, h: weigh(m) and say(up=weigh(m)))")
    for size in (1, 16, 65_531, 65_536, 131_072, MEBIBYTE, most // 10):
        sent = f"text = make({size}); result = weigh(text)\n"
        wait_said(cluster, down=ask(cluster, "primary", sent + "cluster.workers[1].send(text)"))
        wait_said(cluster, up=ask(cluster, "worker/1", sent + "process.send(text)"))

    largest = f"text = make({most}); result = weigh(text)\n"
    freeze(cluster, cluster.worker(1).pid)
    with ExitStack() as stack:
        held = occupy(cluster, stack)  # from here on every request is worker 2's
        tell(cluster, "primary", largest + "cluster.workers[1].send(text); say(begun='down')")
        wait_said(cluster, begun="down")
        assert {cluster.get("/").json()["worker"] for _ in range(4)} == {2}
        os.kill(cluster.worker(1).pid, signal.SIGCONT)
        while not [one for one in said(cluster) if one.get("down", [0])[0] == most]:
            assert cluster.get("/").status == 200
        assert held.recv(65536).startswith(b"HTTP/1.1 200")
    tell(cluster, "worker/1", largest + "process.send(text)")
    while not [one for one in said(cluster) if one.get("up", [0])[0] == most]:
        assert cluster.get("/").status == 200
    assert healthy(cluster)


@pytest.mark.table(quick=["primary"])
@pytest.mark.cluster(**REMOTE)
@pytest.mark.parametrize("where", ["primary", "worker/1"])
def test_what_cannot_be_sent(cluster: Cluster, where: str) -> None:
    """The sender gets an exception that says why, and nothing is sent in part."""
    ask(cluster, "primary", COLLECT_IN_PRIMARY + "send = cluster.workers[1].send")
    ask(cluster, "worker/1", COLLECT_IN_WORKER + "send = process.send")
    errors = ask(
        cluster,
        where,
        """
        loop = []
        loop.append(loop)
        result = []
        for bad in (object(), loop, {'deep': [1, {2: lambda: 0}]}, 'x' * (128 * 1024 * 1024)):
            try:
                send(bad)
                result.append('sent')
            except Exception as error:
                result.append([type(error).__name__, str(error)])
        try:
            send('handle', open('/dev/null'))
        except TypeError as error:
            result.append(str(error))
        send(['good'])
        """,
    )
    other = {"primary": "worker/1", "worker/1": "primary"}[where]

    assert [one[0] for one in errors[:4]] == ["MessageNotSerializable"] * 3 + ["MessageTooLarge"]
    assert "JSON can carry" in errors[0][1]
    assert "refers to itself" in errors[1][1]
    assert "send it in parts" in errors[3][1]
    assert "expected a socket or a server as handle" in errors[4]
    assert ask(cluster, other, "result = got") == [["good"]]


@pytest.mark.table(quick=["asgi"])
@every_kind
@pytest.mark.cluster(**REMOTE)
def test_callback_and_return_value(cluster: Cluster) -> None:
    """``True`` and a callback with ``None`` on a later turn; on a closed channel ``False`` and a report."""
    attempt = """
        calls = []
        result = [send('text', callback=lambda error: calls.append(repr(error))), list(calls)]
    """
    ask(cluster, "primary", "send = cluster.workers[1].send")
    assert ask(cluster, "primary", attempt) == [True, []]
    assert ask(cluster, "primary", "result = calls") == ["None"]
    ask(cluster, "worker/1", "send = process.send")
    # In a worker of threads it has another thread than whatever is asked here, and may be first.
    has_threads = cluster.options.worker_class == THREAD_WORKER
    assert ask(cluster, "worker/1", attempt) in ([True, []], *([[True, ["None"]]] if has_threads else []))
    wait(lambda: ask(cluster, "worker/1", "result = calls") == ["None"], "the callback", cluster)

    ask(cluster, "primary", "dead = cluster.workers[1]")
    cluster.worker(1).kill()
    wait_ended(cluster, worker=1)
    cluster.wait_listening()
    assert ask(cluster, "primary", attempt) == [False, []]
    (closed,) = ask(cluster, "primary", "result = calls")
    assert closed.startswith("ChannelClosed(")
    assert ask(cluster, "primary", "result = send('nobody hears')") is False
    wait(lambda: "A message to worker 1 was not sent" in cluster.log, "a line in the log", cluster)
    ask(cluster, "primary", "dead.on('error', lambda error: say(error=type(error).__name__)); send('one hears')")
    wait_said(cluster, error="ChannelClosed")


@pytest.mark.table(quick=["gevent"])
@every_kind
@pytest.mark.cluster(**REMOTE)
def test_back_pressure(cluster: Cluster) -> None:
    """From 128 KiB on ``send`` says ``False`` and still sends; at the bound it refuses; all that was taken arrives."""
    pid = cluster.worker(1).pid
    ask(cluster, "worker/1", HEAR)
    ask(cluster, "primary", "to = cluster.workers[1]; errors = []")
    freeze(cluster, pid)
    with ExitStack() as stack:
        held = occupy(cluster, stack)  # from here on every request is worker 2's
        answers, queued = ask(
            cluster,
            "primary",
            """
            answers, queued = [], []
            for number in range(64):
                answers.append(to.send(f'#{number:02}' + 'x' * 16384, callback=errors.append))
                queued.append(to.line._channel.queued_bytes)
            result = [answers, queued]
            """,
        )
        assert answers == [waiting < 128 * 1024 for waiting in queued]
        assert {True, False} == set(answers)
        assert 0 < ask(cluster, "primary", "result = len(errors)") < 64

        before = resident_bytes(cluster.primary.pid)
        ask(cluster, "primary", FILL)
        refused = ask(cluster, "primary", "result = refused")
        assert (set(refused), 60 < len(refused) < 80) == ({"ChannelFull"}, True)
        wait(lambda: "A message to worker 1 was not sent" in cluster.log, "a line in the log", cluster)
        assert resident_bytes(cluster.primary.pid) - before < 160 * MEBIBYTE
        assert {cluster.get("/").json()["worker"] for _ in range(4)} == {2}

        os.kill(pid, signal.SIGCONT)
        assert held.recv(65536).startswith(b"HTTP/1.1 200")
    assert ask(cluster, "worker/1", "result = got") == [f"#{number:02}" for number in range(64)]
    assert ask(cluster, "primary", "result = [errors == [None] * 64, to.line._channel.queued_bytes]") == [True, 0]
    assert healthy(cluster)


@pytest.mark.cluster(**REMOTE)
def test_message_right_after_fork(cluster: Cluster) -> None:
    """A handle can be sent to before its process exists; the worker hears it once it listens."""
    assert ask(cluster, "primary", "w = cluster.fork(); result = w.send('first')") is True
    ask(cluster, "primary", "w.send({'remote': 'run', 'source': 'say(first=cluster.worker.id)', 'reply': False})")
    wait_said(cluster, first=3)
    cluster.wait_listening(3)


@pytest.mark.cluster(**REMOTE)
def test_early_messages_of_a_worker(cluster: Cluster) -> None:
    """With no listener in the primary a worker's messages wait there until the first one comes (D7)."""
    tell(
        cluster,
        "primary",
        """
        def listen(worker, *args):
            cluster.on('message', lambda worker, message, handle: say(late=[worker.id, message]))
        cluster.remove_all_listeners('message')
        cluster.on('exit', listen)
        say(deaf=1)
        """,
    )
    wait_said(cluster, deaf=1)
    sender = here(cluster, "for number in range(3): process.send(number)")["worker"]
    assert said(cluster, late=[sender, 0]) == []
    cluster.worker(3 - sender).kill()
    wait_said(cluster, late=[sender, 2])
    here(cluster, "process.send('and')")
    here(cluster, "process.send('and')")
    wait_said(cluster, late=[sender, "and"])

    assert [one["late"] for one in said(cluster) if sender in one.get("late", [])][:3] == [
        [sender, n] for n in range(3)
    ]


@pytest.mark.cluster(**REMOTE, workers=1)
def test_early_messages_of_the_primary(cluster: Cluster) -> None:
    """With no listener in a worker the primary's messages wait there until the first one comes (D7)."""
    here(cluster, "process.remove_all_listeners('message'); got = []")
    tell(cluster, "primary", "for number in range(3): cluster.workers[1].send(number)\nsay(sent=1)")
    wait_said(cluster, sent=1)
    here(cluster, "process.on('message', lambda message, handle: got.append(message))")

    wait(lambda: here(cluster, "result = got")["result"] == [0, 1, 2], "all three, in order", cluster)


@pytest.mark.table(quick=["gevent"])
@every_wsgi_kind
@pytest.mark.cluster(**REMOTE, workers=1)
def test_handlers_run_one_at_a_time_beside_requests(cluster: Cluster) -> None:
    """A handler that waits holds up later messages and no request; one that raises holds up nothing."""
    here(
        cluster,
        """
        from threading import Event
        release, order = Event(), []
        def slow(message, handle):
            if isinstance(message, dict):
                return
            order.append(['in', message])
            release.wait()
            order.append(['out', message])
            raise RuntimeError('done')
        process.on('message', slow)
        """,
    )
    tell(cluster, "primary", "for number in range(2): cluster.workers[1].send(number)")
    wait(lambda: here(cluster, "result = order")["result"] == [["in", 0]], "the first message", cluster)
    assert cluster.get("/").status == 200
    assert here(cluster, "result = list(order); release.set()")["result"] == [["in", 0]]

    whole = [["in", 0], ["out", 0], ["in", 1], ["out", 1]]
    wait(lambda: here(cluster, "result = order")["result"] == whole, "both messages", cluster)
    wait(lambda: cluster.log.count("RuntimeError: done") == 2, "what both have raised, in the log", cluster)


@pytest.mark.cluster(**REMOTE, workers=1)
def test_time_out_that_leaves_a_handler_holds_up_nothing(cluster: Cluster) -> None:
    """gevent's is no ``Exception``; the message behind it is told all the same, and the log has it."""
    here(
        cluster,
        """
        import gevent
        told = []
        def late(message, handle):
            if isinstance(message, int):
                told.append(message)
                with gevent.Timeout(0.001):
                    gevent.sleep(30)
        process.on('message', late)
        """,
    )
    tell(cluster, "primary", "for number in range(2): cluster.workers[1].send(number)")
    wait(lambda: here(cluster, "result = told")["result"] == [0, 1], "both messages", cluster)
    wait(lambda: cluster.log.count("Timeout: 0.001 second") == 2, "two lines of the log", cluster)
