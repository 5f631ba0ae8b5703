"""Close connections through TLS without waiting for the client's goodbye (``close_notify``).

asyncio ends such a connection when its client has said goodbye as well, and if it never does, half a minute later;
before Python 3.11 not even then.  Clients that pool connections say nothing until they want to use one again.

So the socket is shut for reading: asyncio takes that for the client's end, and closes when all is written.  ``abort``
would lose what asyncio has encrypted and the kernel has not taken yet, which the transport's
``get_write_buffer_size`` does not count.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..machine.socket_objects import shared_socket

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ClosedConnection", "wait_for_no_goodbye"]

_LOOK_AGAIN_SECONDS: Final = 0.1


class ClosedConnection(Protocol):
    """A connection whose transport has been closed.

    Attributes:
        fd: of the connection; -1 when it has ended.
        transport: of any loop.
    """

    fd: int
    transport: Any


def wait_for_no_goodbye(connection: ClosedConnection, call_later: Callable[..., object]) -> None:
    """Let a connection end as soon as all is written.

    Args:
        connection: was closed; nothing happens if it is not encrypted.
        call_later: the loop's.
    """
    transport = connection.transport
    if connection.fd < 0 or transport is None or transport.get_extra_info("ssl_object") is None:
        return
    if transport.get_extra_info("socket") is None:
        return  # that has ended, and is told on the next turn: the number may be another connection's
    if transport.get_write_buffer_size():  # at the end of reading what is not encrypted yet may be lost
        call_later(_LOOK_AGAIN_SECONDS, wait_for_no_goodbye, connection, call_later)
        return
    with suppress(OSError):
        beneath = shared_socket(connection.fd)  # uvloop's have no shutdown
        try:
            beneath.shutdown(socket.SHUT_RD)
        finally:
            beneath.detach()
