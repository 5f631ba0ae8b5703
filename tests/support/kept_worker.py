"""Take connections in C for many inputs with one worker, whom nobody asks what it has done: one costs as much as some.

A client is one end of a pair of sockets where such a pair says that it has an address of the internet, as by
``tests/fuzz/coverage.c``: that costs less than one of TCP, and uses no port for a minute; C serves it likewise.
"""

from __future__ import annotations

import logging
import socket
from termios import FIONREAD
from typing import Any, Final

import gevent
from taken_twice import DEEDS, Taken, waiting_bytes

from nodecluster_compat.base.native import in_force

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
            gevent.idle()
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
        near, far = socket.socketpair()
        with near, far:
            self._has_pairs = isinstance(near.getpeername(), tuple)

    def _connected(self, is_reset: bool) -> tuple[socket.socket, socket.socket, Any]:
        if is_reset or not self._has_pairs:
            return super()._connected(is_reset)
        client, connection = socket.socketpair()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the least: what is large has to wait
        return client, connection, client.getpeername()

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
        gevent.idle()
        self._hear_worker()
        return not self.served and not waiting_bytes(FIONREAD, self._channel.fileno())


kept: Final[list[Kept]] = []
"""That which waits for an input, if any."""
