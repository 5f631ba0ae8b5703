"""Where ASGI workers that accept for themselves take their connections from."""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import gunicorn
import pytest

if gunicorn.version_info < (27, 0, 1):
    pytest.skip("ASGIWorker needs gunicorn 27.0.1", allow_module_level=True)

from nodecluster_compat._gunicorn.worker.asgi.sources import AcceptingASGISource


class _Reactor:
    def __init__(self) -> None:
        self.readers: dict[int, Callable[[], None]] = {}

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        self.readers[fd] = callback

    def remove_reader(self, fd: int) -> None:
        self.readers.pop(fd, None)


class _Listener:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock


def test_source_that_has_stopped_accepts_no_more() -> None:
    """Whatever room is made while its worker drains."""
    reactor = _Reactor()
    entry = SimpleNamespace(has_room=lambda: True, connections=SimpleNamespace(begin_drain=lambda: None))
    membership = SimpleNamespace(listens=lambda *_: None)
    with socket.socket() as sock:
        source = AcceptingASGISource(
            cast("Any", membership), [_Listener(sock)], cast("Any", reactor), cast("Any", entry)
        )
        source.begin()
        assert list(reactor.readers) == [sock.fileno()]
        source.stop()
        source.room_made()
        source.turn()
        assert reactor.readers == {}
