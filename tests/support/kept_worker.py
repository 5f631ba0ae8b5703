"""Take connections in C for many inputs with one worker, whom nobody asks what it has done: one costs as much as some.

A client is one end of a pair of sockets where such a pair says that it has an address of the internet, as by
``tests/fuzz/coverage.c``: that costs less than one of TCP, and uses no port for a minute; C serves it likewise.
"""

from __future__ import annotations

import _socket
import logging
import os
import socket
from contextlib import suppress
from termios import FIONREAD
from typing import Any, Final

import gevent
from taken_twice import DEEDS, LISTENER, Taken, waiting_bytes

from nodecluster_compat.base.native import in_force
from nodecluster_compat.connections.handed import Handed, write_handed

__all__ = ["close", "kept", "take"]

_MOST_INPUTS: Final = 200  # fewer than the journal has
_MOST_TURNS: Final = 200


def take(data: bytes) -> None:
    """Do what the bytes say, as :func:`taken_twice.taken`, and let all of it end."""
    one = kept.pop() if kept else Kept()
    is_as_before = False
    try:
        for byte in data:
            DEEDS[byte % len(DEEDS)](one, byte // len(DEEDS))
            one.idle()
        is_as_before = one.is_tidied()
    finally:
        if is_as_before and one.inputs < _MOST_INPUTS:
            kept.append(one)
        else:
            one.close()


def close() -> None:
    """Give back what is kept."""
    while kept:
        kept.pop().close()


class Kept(Taken):
    """A worker, and its clients."""

    def __init__(self) -> None:
        super().__init__(in_force())
        self.inputs = 0
        self._hub = gevent.get_hub()
        self._idle, self._here = self._hub.loop.idle(), gevent.getcurrent()
        near, far = socket.socketpair()
        with near, far:
            self._peer: Any = near.getpeername()
        self._has_pairs = isinstance(self._peer, tuple)

    def idle(self) -> None:
        """As ``gevent.idle``, with one watcher for all times."""
        self._idle.start(self._here.switch)
        try:
            self._hub.switch()
        finally:
            self._idle.stop()

    def _offer(self, data: bytes, handed: Handed | None = None, is_reset: bool = False) -> None:
        if not self._has_pairs:
            super()._offer(data, handed, is_reset)
            return
        client, connection = _socket.socketpair()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the least: what is large has to wait
        self.clients.append(client)  # type: ignore[arg-type]
        self.heard.append(bytearray())
        client.setblocking(False)
        client.send(data)
        if is_reset:
            connection.send(b"unread")  # by which the kernel tells a pair, too, that it was reset
            client.close()
        memory = -1 if handed is None else write_handed(handed)
        with suppress(OSError):
            self.primary.offer(LISTENER, connection.fileno(), self._peer, memory)
        connection.close()
        if memory >= 0:
            os.close(memory)

    def is_tidied(self) -> bool:
        """Let all of it end; return whether it has."""
        self.inputs += 1
        self.worker.worker_connections, self.worker.alive = _MOST_TURNS, True
        if self.worker.log.error_log.level != logging.CRITICAL:  # to set it costs as much as a request
            self.worker.log.error_log.setLevel(logging.CRITICAL)
        for client in self.clients:
            client.close()
        is_quiet = any(self._is_quiet() for _ in range(_MOST_TURNS))
        self.clients.clear()
        self.heard.clear()
        self.over.clear()
        self.told.clear()
        return is_quiet

    def _is_quiet(self) -> bool:
        self.source.turn()
        self.idle()
        self._hear_worker()
        return not self.served and not waiting_bytes(FIONREAD, self._channel.fileno())


kept: Final[list[Kept]] = []
"""That which waits for an input, if any."""
