"""Check the arguments of ``listen()`` and ``bind()`` where the call is made, as in Node."""

from __future__ import annotations

import os
from typing import Any

from ...base.records import ListenRequest
from ...errors import ArgumentError

__all__ = ["checked_port", "path_request", "port_request", "with_fd"]

_MOST_PORT = 65535


def checked_port(port: object) -> int:
    """Return ``port`` as a number.

    Raises:
        ArgumentError: it is none from 0 to 65535 (Node: ``ERR_SOCKET_BAD_PORT``).
    """
    number: Any = port
    if isinstance(port, str) and port.strip().isdigit():
        number = int(port)
    if port is None:
        number = 0
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= _MOST_PORT:
        raise ArgumentError(f"expected a port from 0 to {_MOST_PORT}, got {port!r}")
    return number


def port_request(port: object, backlog: int, ipv6_only: bool, reuse_port: bool) -> ListenRequest:
    """Return the request for a TCP port on every address.

    Raises:
        ArgumentError: it is no port.
    """
    return ListenRequest(None, checked_port(port), 4, backlog=backlog, ipv6_only=ipv6_only, reuse_port=reuse_port)


def path_request(
    path: str | bytes | os.PathLike[str], backlog: int, readable_all: bool, writable_all: bool
) -> ListenRequest:
    """Return the request for a unix socket.

    Raises:
        ArgumentError: it is no path of a file.
    """
    try:
        name = os.fsdecode(path)
    except TypeError:
        raise ArgumentError(f"expected a path, got {path!r}") from None
    if not name or "\0" in name:
        raise ArgumentError(
            f"expected the path of a file (an abstract name cannot be shared, as in Node), got {path!r}"
        )
    return ListenRequest(
        os.path.abspath(name), -1, -1, backlog=backlog, readable_all=readable_all, writable_all=writable_all
    )


def with_fd(fd: object, backlog: int) -> ListenRequest:
    """Return the request for a descriptor, in a worker one of the primary's.

    Raises:
        ArgumentError: it is no number.
    """
    if isinstance(fd, bool) or not isinstance(fd, int) or fd < 0:
        raise ArgumentError(f"expected a descriptor (a number from 0), got {fd!r}")
    return ListenRequest(None, -1, None, fd=fd, backlog=backlog)
