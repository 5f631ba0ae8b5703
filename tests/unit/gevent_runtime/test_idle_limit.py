"""Which connections a drain ends, and when: greenlets that wait, sockets, and a clock that the test holds."""

from __future__ import annotations

import gc
import socket
import time
import weakref
from typing import Any

import gevent
import pytest

from nodecluster_compat.gevent_runtime import idle_limit
from nodecluster_compat.gevent_runtime.client_socket import ClientSocket
from nodecluster_compat.gevent_runtime.idle_limit import IdleLimit

KEEPALIVE = 100.0


class Rig:
    """One connection whose greenlet waits for a request."""

    def __init__(self, clock: list[float], amid_request: bool = False) -> None:
        self.clock = clock
        self.clients: dict[Any, ClientSocket] = {}
        self.limit = IdleLimit(KEEPALIVE, self.clients)
        self.client, server = socket.socketpair()
        self.server = ClientSocket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=server.detach())
        self.greenlet = gevent.spawn(self._serve, amid_request)
        self.clients[self.greenlet] = self.server
        gevent.sleep(0)

    def _serve(self, amid_request: bool) -> bytes | None:
        with self.limit:
            if amid_request:
                self.limit.began()
            received: bytes = self.server.recv(10)
            return received
        return None

    def finish(self) -> None:
        self.limit.finish({self.greenlet: self.server})
        gevent.sleep(0)
        gevent.sleep(0)

    def ended(self) -> Any:
        self.greenlet.join(20)
        self.client.close()
        self.server.close()
        self.clients.clear()
        assert self.greenlet.successful()
        return self.greenlet.value


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    now = [1000.0]
    monkeypatch.setattr(idle_limit, "monotonic", lambda: now[0])
    return now


def test_idle_connection_ends_with_the_drain(clock: list[float]) -> None:
    """It has waited for a while: at once, without an exception."""
    rig = Rig(clock)
    clock[0] += idle_limit.LINGER_SECONDS
    rig.finish()
    assert rig.greenlet.dead
    assert rig.ended() is None
    assert rig.limit.waiting == []


def test_wait_that_has_ended_is_held_by_nobody(clock: list[float]) -> None:
    """The exception is used again; with a traceback it would hold the connection's frames, and the application."""
    rig = Rig(clock)
    limit, served = rig.limit, weakref.ref(rig.server)
    clock[0] += idle_limit.LINGER_SECONDS
    rig.finish()
    assert rig.ended() is None
    del rig
    gc.collect()
    assert served() is None
    assert limit.waiting == []


def test_connection_that_was_just_answered_lingers_for_its_next_request(clock: list[float]) -> None:
    """The sweep ends it when nothing has come."""
    rig = Rig(clock)
    rig.finish()
    assert not rig.greenlet.dead
    clock[0] += idle_limit.LINGER_SECONDS
    assert rig.ended() is None


def test_request_that_the_kernel_has_is_read(clock: list[float]) -> None:
    """It came before the drain could know."""
    rig = Rig(clock)
    clock[0] += idle_limit.LINGER_SECONDS
    rig.client.sendall(b"GET")
    rig.limit.finish({rig.greenlet: rig.server})
    assert rig.ended() == b"GET"


def test_wait_within_a_request_is_not_idle(clock: list[float]) -> None:
    """A first request, or the rest of one, is waited for; the time-out of the wait still holds."""
    rig = Rig(clock, amid_request=True)
    clock[0] += idle_limit.LINGER_SECONDS * 2
    rig.finish()
    assert not rig.greenlet.dead
    rig.client.sendall(b"rest")
    assert rig.ended() == b"rest"
    late = Rig(clock, amid_request=True)
    late.finish()
    clock[0] += KEEPALIVE
    assert late.ended() is None


def test_connection_that_is_not_to_end_stays(clock: list[float]) -> None:
    """Another server's, in script mode."""
    rig = Rig(clock)
    clock[0] += idle_limit.LINGER_SECONDS
    rig.limit.finish({})
    gevent.sleep(0)
    gevent.sleep(0)
    assert not rig.greenlet.dead
    rig.client.close()
    assert rig.ended() == b""


def test_nothing_lingers_at_the_limit(clock: list[float]) -> None:
    """And whoever would read another request is told that there is none."""
    rig = Rig(clock)
    rig.finish()
    assert (rig.greenlet.dead, rig.limit.is_over) == (False, False)
    rig.limit.finish_now()
    assert rig.ended() is None
    assert rig.limit.is_over


def test_request_that_came_in_time_is_read_by_a_worker_that_was_blocked(clock: list[float]) -> None:
    """The time is over, and the loop has not looked at the socket since: timers come first in its turn."""
    rig = Rig(clock)
    rig.client.sendall(b"GET")
    clock[0] += 2 * KEEPALIVE
    time.sleep(2 * idle_limit.SWEEP_SECONDS)  # the handler: the timer is due when the loop turns again
    assert rig.ended() == b"GET"


def test_request_that_comes_as_the_time_ends_is_read(clock: list[float]) -> None:
    """The process got no processor meanwhile: a second sweep is due in the turn in which the request shows up."""
    rig = Rig(clock)

    def sweep_twice() -> None:
        rig.limit._sweep()
        rig.client.sendall(b"GET")
        rig.limit._sweep()

    clock[0] += 2 * KEEPALIVE
    gevent.get_hub().loop.run_callback(sweep_twice)
    assert rig.ended() == b"GET"
    assert rig.limit.waiting == []
