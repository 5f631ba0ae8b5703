"""Open a connection whose descriptor somebody else has accepted.

``connect_accepted_socket`` does all of it, but as a coroutine, which needs a task: made, scheduled and ended for each
connection, only to wait until the loop has called ``connection_made`` (or until TLS has shaken hands).  Nobody needs
its result, since the protocol is told.  So the coroutine is begun here and now, and resumed by the one future that it
waits for, as a task would.

uvloop takes the descriptor out of the socket object that it is given, and asks the object only for its kind.  So it is
given an :class:`_Accepted`, and a real socket object is made for other loops alone.
"""

from __future__ import annotations

import _socket
import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any, Final

__all__ = ["Opener"]

Failed = Callable[[Exception], None]


class _Accepted:
    """A descriptor, for uvloop: what it asks of a socket object."""

    __slots__ = ("_fd", "family")

    type: Final = _socket.SOCK_STREAM

    def __init__(self, family: int, fd: int) -> None:
        self.family = family
        self._fd = fd

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def close(self) -> None:
        """Nothing to do: uvloop closes its descriptor itself, and says so to this as well."""


class Opener:
    """Makes transports of accepted sockets.

    Args:
        loop: which carries them.
        tls: for connections that are encrypted.
        handshake_timeout: seconds that a TLS handshake may take; 0 for no limit but asyncio's.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, tls: ssl.SSLContext | None, handshake_timeout: float) -> None:
        self._connect = loop.connect_accepted_socket
        self._is_uvloop = type(loop).__module__.partition(".")[0] == "uvloop"
        self._tls: dict[str, Any] = {} if tls is None else {"ssl": tls}
        if tls is not None and handshake_timeout:
            self._tls["ssl_handshake_timeout"] = handshake_timeout

    def open(self, family: int, fd: int, protocol: asyncio.Protocol, failed: Failed) -> None:
        """Connect ``protocol`` with an accepted connection.

        Args:
            family: of its socket.
            fd: its descriptor; the transport's from now on.
            protocol: its ``connection_made`` is called on a later turn.
            failed: called instead if there is no connection, or no TLS; the descriptor is closed then.
        """
        sock: Any = _Accepted(family, fd) if self._is_uvloop else socket.socket(family, socket.SOCK_STREAM, 0, fd)
        opening = _Opening(self._connect(lambda: protocol, sock, **self._tls), sock, failed)
        if not opening.step() and self._is_uvloop:
            _socket.close(fd)  # it had not come so far as to take it


class _Opening:
    """A task that nobody waits for."""

    __slots__ = ("_coroutine", "_failed", "_sock")

    def __init__(self, coroutine: Coroutine[Any, Any, object], sock: Any, failed: Failed) -> None:  # noqa: ANN401
        self._coroutine = coroutine
        self._sock = sock
        self._failed = failed

    def step(self, _: object = None) -> bool:
        """Go on; return whether nothing has failed."""
        try:
            future = self._coroutine.send(None)
        except StopIteration:
            return True
        except Exception as error:  # noqa: BLE001 - the client is gone or speaks no TLS, or no descriptor is left
            self._sock.close()
            self._failed(error)
            return False
        future._asyncio_future_blocking = False
        future.add_done_callback(self.step)
        return True
