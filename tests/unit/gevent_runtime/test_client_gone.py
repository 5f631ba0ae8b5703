"""What the state of a client's connection says about a stream."""

from __future__ import annotations

import select
import socket
from types import SimpleNamespace
from typing import Any

from gevent import getcurrent, sleep, spawn

from nodecluster_compat.gevent_runtime import client_gone
from nodecluster_compat.gevent_runtime.client_gone import ClientGone, ClientWatch, client_watch
from nodecluster_compat.gevent_runtime.lingering import linger


class Client:
    """gevent's socket, with the one beneath."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock


END, RESET = select.EPOLLRDHUP, select.EPOLLHUP | select.EPOLLERR


def stream(was_open: bool = True) -> Any:
    """One that has sent ten bytes."""
    gone = ClientGone(SimpleNamespace(sent=10, sock=None))
    gone.stream = getcurrent()
    gone.was_open = was_open
    return gone


def test_reset_ends_a_stream() -> None:
    """Whatever came before it."""
    assert stream().judge(RESET, 0.0)
    assert stream(was_open=False).judge(RESET | END, 0.0)


def test_end_ends_a_silent_stream() -> None:
    """A moment later, in which it might have written; not one that was there when the answer began."""
    gone, half = stream(), stream(was_open=False)
    assert [gone.judge(END, now) for now in (0.0, 0.2, 0.6)] == [False, False, True]
    assert [half.judge(END, now) for now in (0.0, 0.6, 60.0)] == [False, False, False]


def test_client_that_reads_on_is_there() -> None:
    """It has only shut its sending side, so silence means nothing any more."""
    gone = stream()
    assert not gone.judge(END, 0.0)
    gone.response.sent = 20
    assert [gone.judge(END, now) for now in (0.6, 1.9, 2.1)] == [False, False, False]
    gone.response.sent = 10
    assert not gone.judge(END, 60.0)
    assert gone.judge(END | RESET, 61.0)


def test_application_that_asks_is_left_alone() -> None:
    """It is told, and sees to its stream by itself."""
    gone = stream()
    told: list[bool] = []
    gone.on_gone(lambda: told.append(gone.is_set()))
    assert not gone.judge(END, 0.0)
    assert not gone.judge(RESET, 9.0)
    sleep(0)
    assert told == [True]


def test_request_that_has_ended_hears_of_nothing() -> None:
    """Whoever waits is let go."""
    told: list[int] = []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        gone = ClientGone(SimpleNamespace(sent=0, sock=Client(ours)))
        waiting = spawn(gone.wait)
        sleep(0)
        client_watch.remove(gone.response.sock)
        assert waiting.get(timeout=10) is False
    assert not gone.is_set()
    gone.on_gone(lambda: told.append(1))
    sleep(0)
    assert told == []


def test_sweep_finds_who_has_left_and_stops_when_nobody_is_left(monkeypatch: Any) -> None:
    """Both ends of a unix socket are shut at once, so it is known at the first sweep."""
    monkeypatch.setattr(client_gone, "SWEEP_SECONDS", 0.001)
    watch = ClientWatch()
    monkeypatch.setattr(client_gone, "client_watch", watch)
    ours, theirs = socket.socketpair()
    gone = ClientGone(SimpleNamespace(sent=0, sock=Client(ours)))
    waiting = spawn(gone.wait)
    sleep(0.01)
    theirs.close()
    assert waiting.get(timeout=10) is True
    watch.remove(gone.response.sock)
    while watch._timer is not None:
        sleep(0.001)
    watch.abandon()
    ours.close()


def test_lingering_takes_what_comes_until_the_end() -> None:
    """And says at once that nothing more comes."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"x" * 1000)
        theirs.shutdown(socket.SHUT_WR)
        linger(ours)
        assert theirs.recv(1) == b""
        assert ours.recv(1) == b""
