"""Who has waited too long, and what is told of it."""

from __future__ import annotations

import logging
import socket
from collections.abc import Collection, Iterable
from types import SimpleNamespace

import pytest

from nodecluster_compat.base.records import Connection
from nodecluster_compat.connections.listener import _is_gone
from nodecluster_compat.connections.queue_watch import QueueStatus, QueueWatch, WaitingTimes


class FakeListener:
    def __init__(self, *fds: int) -> None:
        self.served = SimpleNamespace(listener_id=1, name="here")
        self.waiting = tuple(Connection(fd, "") for fd in fds)
        self.gone: set[int] = set()

    def drop_those_that_left(self, waited: Iterable[Connection]) -> int:
        return self.drop([one for one in waited if one.fd in self.gone])

    def drop(self, connections: Collection[Connection]) -> int:
        self.waiting = tuple(one for one in self.waiting if one not in connections)
        return len(connections)


def test_time_counts_from_the_first_look() -> None:
    """And ends at the limit; nobody is overdue without one."""
    times = WaitingTimes()
    queue = [Connection(5, "a"), Connection(6, "b")]
    assert times.note(100.0, queue[:1], 3.0) == []
    assert times.note(102.9, queue, 3.0) == []
    assert times.note(103.0, queue, 0.0) == []
    assert times.note(103.0, queue, 3.0) == queue[:1]
    assert times.note(105.9, queue, 3.0) == queue


def test_another_connection_with_the_same_descriptor_begins_anew() -> None:
    """Descriptors come again."""
    times = WaitingTimes()
    times.note(100.0, [Connection(5, "a")], 3.0)
    assert times.note(104.0, [Connection(5, "a")], 3.0) == []


def test_episode_is_told_at_both_ends(caplog: pytest.LogCaptureFixture) -> None:
    """One line when it begins, one when nobody waits any more, with the number."""
    listener = FakeListener(5, 6)
    watch = QueueWatch([listener], logging.getLogger("test"))  # type: ignore[list-item]
    kept = listener.waiting
    for now in (0.0, 1.0, 2.0):
        watch.sample(now, 2.0)
    assert watch.status == QueueStatus(0, 0, 2)
    listener.waiting = kept
    for now in (3.0, 4.0, 5.0, 6.0):
        watch.sample(now, 2.0)
    begun = [one for one in caplog.messages if "No worker takes the connections of here" in one]
    ended = [one for one in caplog.messages if "Nobody waits for a worker any more; 2 connections" in one]
    assert (len(begun), len(ended)) == (2, 2)


def test_clients_that_have_left_are_counted() -> None:
    """They are not overdue, and they make room."""
    listener = FakeListener(5, 6, 7)
    listener.gone = {6}
    watch = QueueWatch([listener], logging.getLogger("test"))  # type: ignore[list-item]
    watch.sample(0.0, 0.0)
    assert watch.status == QueueStatus(2, 1, 0)
    watch.sample(1.5, 0.0)
    assert watch.status == QueueStatus(2, 1, 0, 1.5)
    listener.waiting = ()
    assert watch.status == QueueStatus(0, 1, 0)


@pytest.mark.usefixtures("no_leaks")
@pytest.mark.parametrize(
    ("sent", "shut", "closed", "gone"),
    [
        (b"", False, False, False),
        (b"GET /", False, False, False),
        (b"GET /", True, False, False),
        (b"GET /", False, True, False),
        (b"", True, False, True),
        (b"", False, True, True),
    ],
)
def test_who_is_gone(sent: bytes, shut: bool, closed: bool, gone: bool) -> None:
    """The end of a connection with nothing before it; a request that has been sent is one, whatever follows."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
        client.sendall(sent)
        if shut:
            client.shutdown(socket.SHUT_WR)
        if closed:
            client.close()
        with ours, client:
            for _ in range(2):  # looking takes nothing away
                assert _is_gone(Connection(ours.fileno(), "")) is gone
            assert ours.recv(16, socket.MSG_DONTWAIT) == sent if sent or gone else True


@pytest.mark.usefixtures("no_leaks")
def test_client_that_reset_is_gone() -> None:
    """Whatever it had sent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
        with ours:
            ours.sendall(b"unread, so that closing resets")
            client.recv(1)
            client.close()
            assert _is_gone(Connection(ours.fileno(), ""))
