"""Open a connection whose descriptor somebody else has accepted.

``connect_accepted_socket`` does all of it, but as a coroutine, which wants a task: made, scheduled and ended for each
connection, only to wait until the loop has called ``connection_made`` (or until TLS has shaken hands).  Nobody needs
its result: the protocol is told.  So the coroutine is begun here and now, and resumed by the one future that it waits
for, as a task would.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Opener"]


class Opener:
    """Makes transports of accepted sockets.

    Args:
        loop: which carries them.
        tls: for connections that are encrypted.
        handshake_timeout: seconds that a TLS handshake may take; 0 for no limit but asyncio's.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, tls: ssl.SSLContext | None, handshake_timeout: float) -> None:
        self._connect = loop.connect_accepted_socket
        self._tls: dict[str, Any] = {} if tls is None else {"ssl": tls}
        if tls is not None and handshake_timeout:
            self._tls["ssl_handshake_timeout"] = handshake_timeout

    def open(self, sock: socket.socket, protocol: asyncio.Protocol, failed: Callable[[Exception], None]) -> None:
        """Connect ``protocol`` with ``sock``.

        Args:
            sock: an accepted connection; the transport's from now on.
            protocol: its ``connection_made`` is called on a later turn.
            failed: called instead if there is no connection, or no TLS; the socket is closed then.
        """
        _Opening(self._connect(lambda: protocol, sock, **self._tls), sock, failed).step()


class _Opening:
    """A task that nobody waits for."""

    __slots__ = ("_coroutine", "_failed", "_sock")

    def __init__(
        self, coroutine: Coroutine[Any, Any, object], sock: socket.socket, failed: Callable[[Exception], None]
    ) -> None:
        self._coroutine = coroutine
        self._sock = sock
        self._failed = failed

    def step(self, _: object = None) -> None:
        try:
            future = self._coroutine.send(None)
        except StopIteration:
            return
        except Exception as error:  # noqa: BLE001 - the client is gone or speaks no TLS, or no descriptor is left
            self._sock.close()
            self._failed(error)
        else:
            future._asyncio_future_blocking = False
            future.add_done_callback(self.step)
