"""The main thread that answers in the place of a late thread, and that thread, which may end meanwhile."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

from nodecluster_compat._gunicorn.worker.threads.late_requests import LateThreads, ThreadResponse

looks: list[Callable[[], None]] = []
seen: list[bool] = []


class Watched(socket.socket):
    """A client's socket, that notes what is sent by whom."""

    limits: LateThreads

    def send(self, *args: Any) -> int:
        seen.append(self.limits.is_speaking)
        return 0


def late_request(tell: Callable[..., None]) -> Watched:
    """A request of this thread that is late; ``looks`` has what the main thread will call."""
    response = ThreadResponse.__new__(ThreadResponse)
    response.headers = []
    limits = LateThreads(1e-9, lambda _, look: looks.append(look), {threading.get_ident(): response}, tell)
    sock = Watched()
    sock.limits = limits
    limits.begin("GET /", "", sock, is_http2=False)
    return sock


def test_thread_that_ends_is_told_that_its_socket_is_in_use() -> None:
    """From before the main thread uses it until behind that."""
    with late_request(lambda *_: None) as sock:
        assert not sock.limits.is_speaking
        looks.pop()()
        assert seen.pop()
        assert not sock.limits.is_speaking


def test_socket_of_a_request_that_has_just_ended_is_left_alone() -> None:
    """It ends while the main thread looks: from then on its thread may close the socket."""
    told: list[object] = []
    with late_request(lambda *args: told.append(args)) as sock:
        sock.limits._running.clear()  # the first thing that an end does
        looks.pop()()
        assert not told
        assert not seen
