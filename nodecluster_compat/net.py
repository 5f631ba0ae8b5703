"""Offer Node's ``net``, as far as a cluster needs it: servers of connections.

    server = net.create_server(lambda sock, peer: sock.sendall(b"hello"))
    server.listen(8000)

They work in a worker, where the primary binds and deals, in a primary, and in a plain program.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

from .gevent_runtime.servers.listen_options import with_fd
from .gevent_runtime.servers.net_server import Handler, NetServer
from .machine.binding import BoundSocket

__all__ = ["Server", "create_server", "from_fd"]

Server = NetServer


def create_server(
    options: Mapping[str, Any] | Handler | None = None,
    handler: Handler | None = None,
) -> NetServer:
    """Return a server that does not listen yet.

    Args:
        options: of each connection, as in Node: ``{"noDelay": True, "keepAlive": True}``; may be left out.
        handler: called with each connected socket and the peer's address, in a greenlet of its own; when it returns
            the socket is closed.  A handler with one parameter gets the socket alone, as in Node.
    """
    return NetServer(options, handler)


def from_fd(fd: int) -> NetServer:
    """Return a server that listens on a descriptor of this process, which is its own from now on."""
    with_fd(fd, None)
    server = NetServer()
    server.adopt(BoundSocket(socket.socket(fileno=os.dup(fd))))
    os.close(fd)
    return server
