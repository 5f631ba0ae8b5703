"""Relay an encrypted connection to the worker that it belongs to: TLS ends here, and its session cannot move.

The other worker has one end of a pair of sockets, and sees an ordinary connection there.  This one copies between the
other end and the client, in both directions, until both have ended.
"""

from __future__ import annotations

import _socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent.socket import SHUT_RDWR, SHUT_WR, socketpair

if TYPE_CHECKING:
    from ..routing.relays import Relays

__all__ = ["Relay"]

_PIECE_BYTES: Final = 64 * 1024


class Relay:
    """A pair of sockets: the far one goes to the other worker.

    Args:
        relays: of this worker.
        early: what was read of the first request.

    Raises:
        OSError: no descriptors are left.
    """

    def __init__(self, relays: Relays, early: bytes) -> None:
        self._near, self._far = socketpair()
        self._near.settimeout(None)  # whatever socket.setdefaulttimeout says
        self._carried = relays.carry(early, self.end)

    @property
    def family(self) -> int:
        """Of both sockets."""
        return int(_socket.AF_UNIX)

    def fileno(self) -> int:
        """Return the descriptor of the far socket."""
        number: int = self._far.fileno()
        return number

    def give_up(self) -> None:
        """Close both: nothing was relayed."""
        self._far.close()
        self._close()

    def end(self) -> None:
        """Break it: what the other worker has said goes to the client, and then the connection ends."""
        with suppress(OSError):
            self._near.shutdown(SHUT_RDWR)

    def run(self, client: Any) -> None:  # noqa: ANN401 - a socket of TLS
        """Copy between the client and the other worker; returns when that has closed its end."""
        self._far.close()
        upward = gevent.spawn(self._copy_up, client)
        try:
            self._copy_down(client)
        finally:
            upward.kill()
            self._close()

    def _close(self) -> None:
        self._carried.ended()
        self.end()  # a request that has forked keeps its copy
        self._near.close()

    def _copy_up(self, client: Any) -> None:  # noqa: ANN401 - as above
        """Copy until the client's end, or until the other worker takes no more; then say so to that."""
        with suppress(OSError):
            while data := client.recv(_PIECE_BYTES):
                self._carried.up(data)
                self._near.sendall(data)
        with suppress(OSError):
            self._near.shutdown(SHUT_WR)

    def _copy_down(self, client: Any) -> None:  # noqa: ANN401 - as above
        """Copy until the other worker's end, of which its client is told nothing: it would take it for both's."""
        with suppress(OSError):
            while data := self._near.recv(_PIECE_BYTES):
                self._carried.down(data)
                client.sendall(data)
