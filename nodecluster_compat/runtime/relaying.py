"""Relay an encrypted connection to the worker that it belongs to: TLS ends here, and its session cannot move.

The other worker has one end of a pair of sockets, and sees an ordinary connection there.  This one copies between the
other end and the client, in both directions, until both have ended.
"""

from __future__ import annotations

import _socket
from contextlib import suppress
from typing import Any, Final

import gevent
from gevent.socket import SHUT_WR, socket, socketpair

__all__ = ["Relay"]

_PIECE_BYTES: Final = 64 * 1024


class Relay:
    """A pair of sockets: the far one goes to the other worker.

    Raises:
        OSError: no descriptors are left.
    """

    def __init__(self) -> None:
        self._near, self._far = socketpair()

    @property
    def family(self) -> int:
        """Of both sockets."""
        return int(_socket.AF_UNIX)

    def fileno(self) -> int:
        """Return the descriptor of the far socket."""
        number: int = self._far.fileno()
        return number

    def close(self) -> None:
        """Give up: nothing was relayed."""
        self._far.close()
        self._near.close()

    def run(self, client: Any) -> None:  # noqa: ANN401 - a socket of TLS
        """Copy between the client and the other worker; returns when that has closed its end."""
        self._far.close()
        upward = gevent.spawn(_copy, client, self._near)
        try:
            _copy(self._near, client)
        finally:
            upward.kill()
            self._near.close()


def _copy(source: Any, sink: Any) -> None:  # noqa: ANN401 - sockets
    """Copy until the end of ``source``, or until ``sink`` takes no more; then say so to ``sink``, if that can be."""
    with suppress(OSError):
        while data := source.recv(_PIECE_BYTES):
            sink.sendall(data)
    if type(sink) is socket:  # of TLS nothing is said: its client would take it for the end of both directions
        with suppress(OSError):
            sink.shutdown(SHUT_WR)
