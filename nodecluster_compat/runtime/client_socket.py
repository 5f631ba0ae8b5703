"""The socket of a client, as gunicorn and the application get it.

gevent's ``sendall`` asks the kernel for the size of the send buffer before it sends anything.  Nearly every
response fits, so this one sends first.  Everything else is gevent's socket.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import gevent
from gevent.socket import SHUT_RDWR, socket

__all__ = ["ClientSocket", "cut_connections"]


class ClientSocket(socket):  # type: ignore[misc]  # gevent has no type hints here
    """A gevent socket whose ``sendall`` costs one system call when the kernel takes everything."""

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of ``data``; as :meth:`socket.socket.sendall`."""
        view = memoryview(data).cast("B") if not isinstance(data, bytes) else data
        try:
            sent = self._sock.send(view, flags)
        except BlockingIOError:
            sent = 0
        if sent < len(view):
            super().sendall(memoryview(view)[sent:], flags)


def cut_connections(clients: Mapping[Any, Any]) -> None:
    """End connections that take too long: kill their greenlets, then shut what those leave open.

    Args:
        clients: their sockets, by greenlet; the caller's is not among them.
    """
    gevent.killall(list(clients), block=False)
    gevent.sleep(0)
    for client in list(clients.values()):
        if client is not None:
            with suppress(OSError):
                client._sock.shutdown(SHUT_RDWR)
