"""A Socket.IO client comes back, to whichever worker, and has its id, its rooms and what it missed."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any, Final

import pytest
import socketio
from socketio_clients import Comer, callers, comer

from pytest_cluster import Cluster, ClusterFactory

GEVENT: Final[dict[str, Any]] = {
    "app": "socketio_app:app",
    "worker_class": "nodecluster_compat.Worker",
    "workers": 3,
    "env": {"SIO_MANAGER": '{"recovery": 60}'},
}
THREADS: Final[dict[str, Any]] = {
    **GEVENT,
    "worker_class": "nodecluster_compat.ThreadWorker",
    "settings": {"threads": 16},
    "env": {**GEVENT["env"], "SIO_MODE": "threading"},
}
ASGI: Final[dict[str, Any]] = {
    **GEVENT,
    "app": "socketio_asgi:app",
    "worker_class": "nodecluster_compat.ASGIWorker",
}
KINDS: Final = [
    pytest.param(name, marks=pytest.mark.cluster(**options))
    for name, options in {"gevent": GEVENT, "threads": THREADS, "asgi": ASGI}.items()
]
EACH_KIND: Final = pytest.mark.parametrize("kind", KINDS, scope="module")


@pytest.mark.table(quick=["gevent"])
@EACH_KIND
def test_a_client_that_comes_back_has_missed_nothing(cluster: Cluster, kind: str) -> None:
    """By a worker that is another than it was, three times; it is found by its id wherever it is."""
    with callers(cluster, 1) as [other], comer(cluster) as one:
        sid = one.sid
        one.ask("join", "room")
        other.say("tell", "room", "before")
        one.wait_told("before")
        homes = [one.worker]
        for turn in range(3):
            one.break_connection()
            other.ask("tell", "room", f"to the room {turn}")
            other.ask("tell", sid, {"to it": b"bytes"})
            other.ask("tell", "elsewhere", "not to it")
            other.ask("others", "to all others")
            assert one.come_back() == sid
            one.wait_told(f"to the room {turn}", {"to it": b"bytes"}, "to all others")
            assert one.ask("rooms", sid) == other.ask("rooms", sid) == sorted([sid, "room"])
            other.ask("tell", "room", "live")
            other.ask("tell", sid, "live to it")
            one.wait_told("live", "live to it")
            homes.append(one.worker)
        assert all(here != there for here, there in pairwise(homes))


@pytest.mark.table(quick=["asgi"])
@EACH_KIND
def test_a_client_that_comes_and_goes_is_told_each_thing_once(cluster: Cluster, kind: str) -> None:
    """While clients of all workers emit all the time, to many, and several at once."""
    with callers(cluster, 6) as others, comer(cluster) as one, ThreadPoolExecutor(3) as pool:
        for each in (*others, one):
            each.ask("join", "room")
        ends = threading.Event()

        def emits(number: int) -> list[str]:
            said: list[str] = []
            while not ends.is_set():
                said.append(f"{number}: {len(said)}")
                others[number].ask("tell", "room", said[-1])
            return said

        emitting = [pool.submit(emits, number) for number in range(3)]
        sid = one.sid
        try:
            for _ in range(10):
                one.break_connection()
                while others[3].ask("rooms", sid):
                    pass  # its worker has not heard of it, and would keep it for two seconds after it came
                assert one.come_back() == sid
        finally:
            ends.set()
        said = [value for each in emitting for value in each.result()]
        one.wait(lambda it: len(it.told) >= len(said), "it has missed something")
        assert sorted(one.told) == sorted(said)


@pytest.mark.table(quick=["unknown name-gevent", "garbage-threads", "no text-gevent", "too long-threads"])
@EACH_KIND
@pytest.mark.parametrize(
    "claim",
    [{"pid": "nobody"}, {"offset": "\0garbage"}, {"offset": ["a list"]}, {"offset": "f" * 10_000}],
    ids=["unknown name", "garbage", "no text", "too long"],
)
def test_who_cannot_be_recovered_begins_anew(cluster: Cluster, kind: str, claim: dict[str, Any]) -> None:
    with comer(cluster) as one:
        sid = one.sid
        one.ask("join", "room")
        one.break_connection()
        assert one.come_back(**claim) != sid
        assert one.ask("rooms", one.sid) == [one.sid]


@pytest.mark.table(quick=["gevent"])
@EACH_KIND
def test_who_said_goodbye_begins_anew(cluster: Cluster, kind: str) -> None:
    with callers(cluster, 1) as [other], comer(cluster) as one:
        sid = one.sid
        one.client._send_packet(socketio.packet.Packet(socketio.packet.DISCONNECT))
        while other.ask("rooms", sid):
            pass  # its worker has not heard of it
        one.client.disconnect()
        assert one.come_back() != sid


@pytest.mark.table(quick=["gevent"])
@EACH_KIND
def test_a_worker_that_does_not_know_yet_that_a_connection_is_dead_gives_it_up(cluster: Cluster, kind: str) -> None:
    """The network has changed, and the client is back before its old connection times out."""
    with callers(cluster, 1) as [other], comer(cluster) as one:
        sid, old = one.sid, one.client
        one.client = old_again = one.made()
        old_again.connect(cluster.url, transports=["websocket"], auth={"pid": old.pid, "offset": None}, wait_timeout=20)
        assert one.sid == sid
        other.say("tell", sid, "once")
        one.wait_told("once")
        one.client = old
        one.close()
        one.client = old_again
        assert one.ask("rooms", sid) == [sid]


@pytest.mark.table(quick=["threads", "asgi"])
@EACH_KIND
def test_of_two_who_come_back_at_once_one_has_it(cluster: Cluster, kind: str) -> None:
    """A tab that was copied, or a client that tries again while its first attempt is under way."""
    for _ in range(5):
        with comer(cluster) as one, comer(cluster) as other:
            sid, pid = one.sid, one.client.pid
            one.ask("join", "room")
            one.break_connection()
            other.break_connection()
            with ThreadPoolExecutor(2) as both:
                sids = list(both.map(partial(Comer.come_back, pid=pid, offset=None), (one, other)))
            assert sids.count(sid) == 1
            winner = one if one.sid == sid else other
            loser = other if winner is one else one
            assert winner.ask("rooms", sid) == sorted([sid, "room"])
            assert loser.ask("rooms", loser.sid) == [loser.sid]
            loser.say("tell", sid, "to it alone")
            winner.wait_told("to it alone")
            assert loser.told == []


@pytest.mark.slow
def test_sessions_outlive_their_workers(cluster_factory: ClusterFactory) -> None:
    """One is killed, one ends in order; and then all are replaced, while the client is away.

    What only it was told, and has had, does not come again.
    """
    cluster = cluster_factory(**GEVENT)
    with comer(cluster) as one:
        sid = one.sid
        one.ask("join", "room")
        for end in ("killed", "ended", "reloaded"):
            one.say("tell", sid, f"before it is {end}")
            one.wait_told(f"before it is {end}")
            if end != "reloaded":
                cluster.worker(one.worker).kill(signal.SIGKILL if end == "killed" else signal.SIGTERM)
                one.wait(lambda client: not client.client.connected, "its worker is gone")
                cluster.wait_listening()
            else:
                one.break_connection()
            with callers(cluster, 1) as [other]:
                other.say("tell", "room", f"{end} 1")
                other.say("tell", sid, f"{end} 2")
                other.ask("echo", "all is sent")
            if end == "reloaded":
                assert cluster.reload().state == "succeeded"
            assert one.come_back() == sid
            one.wait_told(f"{end} 1", f"{end} 2")
            assert one.ask("rooms", sid) == sorted([sid, "room"])
