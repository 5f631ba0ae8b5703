"""Close a connection whose client is still sending after its answer, without resetting that answer.

A socket that is closed with something unread resets its client, which then may lose what it had not read yet of the
answer: of a request with a body that the application did not read.  So the sending side is shut first, and what comes
is thrown away until the client has had its answer and closes (RFC 9112, 9.6), within limits.  A client is silent only
while its host takes nothing of the answer, either.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any, Final

from gevent import Timeout

from ..machine.unarrived import unarrived

__all__ = ["linger"]

_SILENT_SECONDS: Final = 2.0
_SECONDS: Final = 10.0
_PIECE_BYTES: Final = 256 * 1024


def linger(client: Any) -> None:  # noqa: ANN401 - gevent's socket, plain or TLS
    """Say that nothing more comes, and take what the client still sends; the caller closes the socket."""
    with suppress(OSError, ValueError), Timeout(_SECONDS, False):
        client.shutdown(socket.SHUT_WR)
        client.settimeout(_SILENT_SECONDS)
        left = unarrived(client.fileno())
        while True:
            try:
                if not client.recv(_PIECE_BYTES):
                    return
            except TimeoutError:
                before, left = left, unarrived(client.fileno())
                if not 0 < left < before:
                    return
