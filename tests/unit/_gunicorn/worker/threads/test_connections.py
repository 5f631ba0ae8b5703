"""The end of a thread worker's connection: by its own thread, and who hears of the thread that is free."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat._gunicorn.requests.metering import Metering
from nodecluster_compat._gunicorn.worker.threads import client_waits, connection_ends, connections, ended_websockets
from nodecluster_compat._gunicorn.worker.threads.connections import ThreadConnections
from nodecluster_compat.thread_runtime.poller import Poller


@dataclass(eq=False)
class Connection:
    """gunicorn's, as far as it is looked at; its request had a body of so many bytes that nobody has read."""

    sock: socket.socket
    unread: int = 0
    has_early: bool = True
    is_handed_on: bool = False
    is_taken_over: bool = False
    relay: None = None
    unread_bytes: int = 0
    unarrived_bytes: int = 0
    may_say_until: float = 0.0
    client: str = ""
    upgrade: str = ""
    parser: Any = field(init=False)

    def __post_init__(self) -> None:
        body = SimpleNamespace(reader=SimpleNamespace(length=self.unread))
        request = SimpleNamespace(body=body, headers=[("HOST", "a"), ("UPGRADE", self.upgrade)])
        self.parser = SimpleNamespace(mesg=request, unreader=SimpleNamespace(buf=BytesIO()))


class Rig:
    """Two threads, and the connections that they have."""

    def __init__(self) -> None:
        self.poller = Poller()
        self.changes = 0
        self.clients: list[socket.socket] = []
        self.near: list[socket.socket] = []
        self.taken: list[Connection] = []
        self.connections = ThreadConnections(
            self.poller, lambda _: None, 5, threads=2, most=10, changed=self.changed, metering=Metering()
        )

    def changed(self) -> None:
        self.changes += 1

    def served(self, **more: Any) -> Connection:
        """A connection that a thread has answered."""
        near, far = socket.socketpair()
        self.clients.append(far)
        self.near.append(near)
        return self.take(Connection(near, **more))

    def take(self, connection: Connection) -> Connection:
        self.taken.append(connection)
        self.connections.take(connection)
        return connection

    def silent(self) -> socket.socket:
        """A client that says nothing; what it will hear."""
        near, far = socket.socketpair()
        self.clients.append(far)
        self.near.append(near)
        self.take(Connection(near, has_early=False))
        far.setblocking(False)
        return far

    def turn(self) -> None:
        """What the main thread does next."""
        self.poller.turn(0)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.poller.close()
    for client in (*made.clients, *made.near):
        client.close()


def test_nobody_is_told_where_nobody_waits(rig: Rig) -> None:
    """The connection is closed by its own thread, and the main thread goes on sleeping."""
    connection = rig.served()
    assert rig.connections.finished(connection)
    assert rig.clients[0].recv(1) == b""
    assert len(rig.connections) == 0
    rig.turn()
    assert rig.changes == 0


def test_offer_that_lies_is_told_of_a_free_thread(rig: Rig) -> None:
    """There was no room when somebody asked, so the first thread that is free says so; the next one has no need."""
    first, second = rig.served(), rig.served()
    assert not rig.connections.has_room()
    assert rig.connections.finished(first)
    rig.turn()
    assert rig.changes == 1
    assert rig.connections.has_room()
    assert rig.connections.finished(second)
    rig.turn()
    assert rig.changes == 1


def test_who_asks_while_a_thread_ends_is_told(rig: Rig) -> None:
    """Between the two looks for room a thread becomes free: one of both sees it."""
    first, _ = rig.served(), rig.served()
    looks = iter([False, True])
    rig.connections._has_room = lambda: next(looks)  # type: ignore[method-assign]
    assert rig.connections.has_room()
    assert rig.connections.finished(first)
    rig.turn()
    assert rig.changes == 1


def test_load_is_that_of_threads_that_are_busy_now(rig: Rig) -> None:
    """All of them are, since some moment; none of that is left when one has ended, before the main thread hears it."""
    first, _ = rig.served(), rig.served()
    assert rig.connections.load.full_since > 0
    assert rig.connections.finished(first)
    assert rig.connections.load.full_since == 0
    rig.turn()
    assert rig.changes == 1


@pytest.mark.parametrize(
    ("more", "sent"),
    [({"unread": 10}, b""), ({}, b"more"), ({"is_handed_on": True}, b"")],
    ids=["body that nobody has read", "bytes behind the request", "another worker's"],
)
def test_what_cannot_end_at_once_is_left_to_the_main_thread(rig: Rig, more: dict[str, Any], sent: bytes) -> None:
    """Its client may still be sending, or somebody else has it."""
    connection = rig.served(**more)
    rig.clients[0].sendall(sent)
    assert not rig.connections.finished(connection)
    assert connection.sock.fileno() >= 0
    assert len(rig.connections) == 1
    rig.connections.served(connection, keeps=False)
    assert rig.changes == 1


def test_client_that_has_left_is_waited_for_by_nobody(rig: Rig) -> None:
    """Although it owes a body."""
    connection = rig.served(unread=10)
    rig.clients[0].close()
    assert rig.connections.finished(connection)
    assert len(rig.connections) == 0


class Clock:
    """The time of the connections."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        for module in (client_waits, connection_ends, connections, ended_websockets):
            monkeypatch.setattr(module, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def is_open(client: socket.socket) -> bool:
    try:
        return client.recv(1) != b""
    except BlockingIOError:
        return True


def test_clients_that_say_nothing_leave_their_places_to_those_that_ask(rig: Rig, clock: Clock) -> None:
    """Both threads have one for a tenth of a second; whoever waits for room hears of it then."""
    silent = [rig.silent(), rig.silent()]
    assert not rig.connections.has_room()
    assert rig.connections.next_sweep == pytest.approx(0.1)
    clock.now += 0.11
    rig.connections.sweep()
    assert rig.changes == 2
    assert rig.connections.has_room()
    assert [is_open(client) for client in silent] == [True, True]


def test_client_that_says_nothing_is_closed_as_by_gthread(rig: Rig, clock: Clock) -> None:
    """Five seconds, and ``keepalive``: no sooner."""
    silent = rig.silent()
    for seconds, expected in ((0.11, True), (9.8, True), (0.2, False)):
        clock.now += seconds
        rig.connections.sweep()
        assert is_open(silent) is expected


def test_drain_lets_a_client_speak_that_has_just_come(rig: Rig, clock: Clock) -> None:
    """It has half a second; one that has said nothing for longer than five has none."""
    old = rig.silent()
    clock.now += 0.11
    rig.connections.sweep()
    clock.now += 5.0
    young = rig.silent()
    clock.now += 0.2
    rig.connections.sweep()
    rig.connections.end_idle()
    assert [is_open(old), is_open(young)] == [False, True]
    clock.now += 0.51
    rig.connections.sweep()
    assert not is_open(young)


@pytest.mark.parametrize(
    ("pauses", "expected"),
    [([2.1], [False]), ([1.9, 1.9, 2.1], [True, True, False]), ([1.9] * 5 + [0.6], [True] * 5 + [False])],
    ids=["silent", "silent at last", "talking"],
)
def test_client_is_waited_for_while_it_talks(rig: Rig, clock: Clock, pauses: list[float], expected: list[bool]) -> None:
    """Two seconds of silence are its end, and ten in all, at least after two more."""
    connection = rig.served(unread=10)
    rig.connections.served(connection, keeps=False)
    seen = []
    for pause in pauses:
        clock.now += pause
        rig.connections.sweep()
        seen.append(connection.sock.fileno() >= 0)
        if seen[-1]:
            rig.clients[0].sendall(b"more")
            rig.turn()
    assert seen == expected


@pytest.mark.parametrize(
    ("looks", "ends"),
    [([9, 9], 1), ([9, 8, 8], 2), ([9, 0], 1), ([9, 8, 7, 6, 5], 4)],
    ids=["takes nothing", "takes nothing more", "has all", "takes some each time"],
)
def test_silent_client_is_waited_for_while_its_host_takes_something(
    rig: Rig, clock: Clock, monkeypatch: pytest.MonkeyPatch, looks: list[int], ends: int
) -> None:
    """It may say something when it has read more: closed before, it would be reset; ten seconds in all."""
    left = iter(looks)
    monkeypatch.setattr(connection_ends, "unarrived", lambda _: next(left))
    connection = rig.served(unread=10)
    rig.connections.served(connection, keeps=False)
    for number in range(1, ends + 1):
        clock.now += 2.1
        rig.connections.sweep()
        assert (connection.sock.fileno() < 0) is (number == ends)
    assert list(left) == []


@pytest.mark.parametrize("state", ["idle", "silent", "lingering"])
def test_application_that_closes_a_connection_hurts_no_other_one(rig: Rig, clock: Clock, state: str) -> None:
    """A websocket's own thread closes its socket when it likes, and the kernel gives the number to the next client."""
    if state == "silent":
        rig.silent()
    else:
        rig.connections.served(rig.served(unread=10), keeps=state == "idle")
    fd = rig.near[0].fileno()
    rig.near[0].close()
    client = rig.silent()
    assert rig.near[1].fileno() == fd
    clock.now += 0.11
    rig.connections.sweep()
    clock.now += 5.0
    rig.connections.sweep()
    client.sendall(b"asks at last")
    rig.turn()
    assert list(rig.connections.busy) == [one for one in rig.taken if one.sock is rig.near[1]]
    assert len(rig.connections) == 1


def test_connection_that_is_closed_at_the_last_moment_ends(rig: Rig) -> None:
    """Between the look whether it is open, and that it is watched."""
    connection = rig.served()
    real = rig.poller.add_reader

    def closes_first(fd: int, callback: Callable[[], object]) -> None:
        connection.sock.close()
        real(fd, callback)

    rig.poller.add_reader = closes_first  # type: ignore[method-assign]
    rig.connections.served(connection, keeps=True)
    assert len(rig.connections) == 0
    assert rig.changes >= 1


def end(rig: Rig, **more: Any) -> Connection:
    """A connection whose request has ended: by its thread, or by the main thread."""
    connection = rig.served(**more)
    if not rig.connections.finished(connection):
        rig.connections.served(connection, keeps=False)
    return connection


def test_websocket_that_its_application_still_reads_is_told_the_end_and_closed_later(rig: Rig, clock: Clock) -> None:
    """Closed under a thread that reads, its client would hear nothing, and its number would be another one's."""
    heard: list[bytes] = []

    def read() -> None:
        while data := sock.recv(10):
            heard.append(data)

    sock = end(rig, upgrade="WebSocket").sock
    reader = threading.Thread(target=read)
    reader.start()
    client = rig.clients[0]
    assert client.recv(1) == b""
    assert len(rig.connections) == 0  # no drain waits for it
    client.sendall(b"goodbye")
    clock.now += 2.1
    rig.connections.sweep()
    reader.join()
    assert heard == [b"goodbye"]
    assert sock.fileno() >= 0
    clock.now += 0.4
    assert rig.connections.next_sweep == pytest.approx(0.6)
    clock.now += 0.7
    rig.connections.sweep()
    assert sock.fileno() < 0


def test_of_too_many_ended_websockets_the_first_are_closed(
    rig: Rig, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing counts them: a client that begins one after another has no more descriptors than that."""
    monkeypatch.setattr(ended_websockets, "_MOST", 2)
    ended = [end(rig, upgrade="websocket").sock for _ in range(4)]
    assert [sock.fileno() < 0 for sock in ended] == [True, True, False, False]


def test_websocket_that_its_application_has_closed_is_forgotten(rig: Rig, clock: Clock) -> None:
    """As simple-websocket does once its client has said goodbye."""
    end(rig, upgrade="websocket").sock.close()
    for _ in range(2):
        clock.now += 3
        rig.connections.sweep()
    assert rig.connections.next_sweep == pytest.approx(1.0)


def test_client_hears_the_end_although_a_thread_of_the_application_reads(rig: Rig) -> None:
    """The kernel keeps open what somebody reads, as what somebody has a copy of."""
    connection = rig.served()
    with connection.sock.dup():
        assert rig.connections.finished(connection)
        assert rig.clients[0].recv(1) == b""


@pytest.mark.parametrize("more", [{"is_handed_on": True, "upgrade": "websocket"}, {"is_taken_over": True}])
def test_connection_that_is_somebody_elses_now_is_not_shut(rig: Rig, more: dict[str, Any]) -> None:
    """Another worker's, where it had asked for a websocket in vain before; or the application's, which has a copy."""
    connection = rig.served(**more)
    with connection.sock.dup() as others:
        rig.connections.served(connection, keeps=False)
        assert connection.sock.fileno() < 0
        assert others.send(b"answer") == 6


def test_other_protocol_that_a_client_would_like_is_nobodys(rig: Rig) -> None:
    """Java's client asks for HTTP/2 whenever it connects."""
    assert end(rig, upgrade="h2c").sock.fileno() < 0
