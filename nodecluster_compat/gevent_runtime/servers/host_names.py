"""Find the addresses of names, for ``listen()``, ``bind()`` and ``send()``."""

from __future__ import annotations

import errno
import ipaddress
import socket as sockets
from typing import Any

from ...errors import ListenError

__all__ = ["address_to_listen_on", "not_found", "resolve"]


def resolve(host: str, port: int, kind: sockets.SocketKind, family: int = 0) -> tuple[int, Any]:
    """Return the family and address of the first match.

    The module's function, which is cooperative in a worker.  Elsewhere it blocks, for once: gevent's would need a
    thread, and a plain program that serves after its last line can start none.

    Raises:
        OSError: there is none.
        UnicodeError: no name can be like that.
    """
    host.encode("idna")  # raises here what gevent would print from a thread
    found, _, _, _, name = sockets.getaddrinfo(host, port, family, kind)[0]
    return found, name


def address_to_listen_on(host: str, port: int) -> tuple[str, Any]:
    """Return the address of ``host``, and whether it is one of IPv4 or IPv6.

    Raises:
        OSError: there is none.
        UnicodeError: no name can be like that.
    """
    try:
        return host, ipaddress.ip_address(host.partition("%")[0]).version
    except ValueError:
        family, name = resolve(host, port, sockets.SOCK_STREAM)
        return str(name[0]), 6 if family == sockets.AF_INET6 else 4


def not_found(error: Exception, host: str, port: int) -> ListenError:
    """Return what ``listen()`` fails with, where ``host`` has no address."""
    failure = ListenError(errno.ENOENT, "getaddrinfo", host, port)
    failure.code = "ENOTFOUND"
    failure.__cause__ = error
    return failure
