"""Make the sockets that servers listen on: in the primary for its workers, in any process for itself.

What Node does is kept, where it shows:

* without a host a server takes every address, of IPv6 and IPv4 in one socket where the machine has IPv6;
* a path that is too long is tried by its shorter spelling, absolute or relative to this process;
* a path in a folder that does not exist is ``EACCES``, one that exists is ``EADDRINUSE``.

The primary trusts no worker that asks: a name is never resolved here, which would stop it for as long as that takes;
of its own descriptors only sockets that could be a server's can be had, so no sibling's channel and no client's
connection.  Rights of a socket's file come from the umask, at its birth: a ``chmod`` afterwards could be led elsewhere.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import os
import stat

from msgspec import Struct

from ..base.records import ListenRequest
from ..errors import ListenError
from .unpaced import send_unpaced

__all__ = ["BoundSocket", "bind"]

_READ = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_UDP_FAMILIES = {"udp4": _socket.AF_INET, "udp6": _socket.AF_INET6}


class BoundSocket(Struct, frozen=True):
    """A bound socket, and the file to remove when it is closed."""

    sock: _socket.socket
    path: str | None = None

    def close(self) -> None:
        """Close the socket and remove its file."""
        self.sock.close()
        if self.path is not None:
            # it may be gone already, or out of reach after a change of user
            with contextlib.suppress(OSError):
                os.unlink(self.path)


def bind(request: ListenRequest, *, listen: bool = True, syscall: str = "bind") -> BoundSocket:
    """Return a non-blocking socket for a request.

    Args:
        request: what to bind.
        listen: also listen, for connections.
        syscall: what an error names: Node says ``bind`` in the primary and ``listen`` elsewhere.

    Raises:
        ListenError: the system refuses.
    """
    port = None if request.port < 0 else request.port
    try:
        bound = _bound(request)
    except (OSError, ValueError, OverflowError) as error:
        raise ListenError(_number(error), syscall, request.address, port) from error
    try:
        bound.sock.setblocking(False)
        if listen and not request.is_udp:
            bound.sock.listen(request.backlog)
    except OSError as error:
        bound.close()
        raise ListenError(_number(error), syscall, request.address, port) from error
    return bound


def _bound(request: ListenRequest) -> BoundSocket:
    if request.fd is not None:
        return _from_descriptor(request.fd, request.is_udp)
    if request.address_type == -1:
        return _bound_path(request)
    if request.address is None and not request.is_udp:
        return _bound_everywhere(request)
    family = _UDP_FAMILIES.get(request.address_type) or (  # type: ignore[arg-type]
        _socket.AF_INET6 if request.address_type == 6 else _socket.AF_INET
    )
    return _bound_inet(request, family, request.address or ("::" if family == _socket.AF_INET6 else "0.0.0.0"))


def _from_descriptor(fd: int, is_udp: bool) -> BoundSocket:
    copy = -1
    try:
        copy = os.dup(fd)
        sock = _socket.socket(fileno=copy)
    except OSError as error:
        if copy >= 0:
            os.close(copy)
        raise OSError(errno.EINVAL, f"descriptor {fd} is no socket") from error
    if sock.type != (_socket.SOCK_DGRAM if is_udp else _socket.SOCK_STREAM) or _is_connected(sock):
        sock.close()
        raise OSError(errno.EINVAL, f"descriptor {fd} is no socket for a server")
    return BoundSocket(sock)


def _is_connected(sock: _socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def _bound_everywhere(request: ListenRequest) -> BoundSocket:
    try:
        return _bound_inet(request, _socket.AF_INET6, "::")
    except OSError as error:
        if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EINVAL):
            raise
        return _bound_inet(request, _socket.AF_INET, "0.0.0.0")


def _bound_inet(request: ListenRequest, family: int, address: str) -> BoundSocket:
    sock = _socket.socket(family, _socket.SOCK_DGRAM if request.is_udp else _socket.SOCK_STREAM)
    try:
        if not request.is_udp or request.reuse_address:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        if request.reuse_port:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
        if family == _socket.AF_INET6:
            sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, int(request.ipv6_only))
        # As bytes: of a text Python would import a codec, which a primary that gave its rights up may not be able to.
        numeric = address.encode("ascii", "replace").replace(b"\0", b"?")
        _socket.getaddrinfo(numeric, None, family, 0, 0, _socket.AI_NUMERICHOST)
        sock.bind((address, request.port))
        if not request.is_udp:
            send_unpaced(sock)
    except OSError:
        sock.close()
        raise
    return BoundSocket(sock)


def _bound_path(request: ListenRequest) -> BoundSocket:
    path = request.address or ""
    relative = os.path.relpath(path)
    shorter = relative if len(os.fsencode(relative)) < len(os.fsencode(path)) else path
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        _bind_path(sock, shorter, request)
    except OSError as error:
        sock.close()
        if "AF_UNIX path too long" in str(error):
            raise OSError(errno.ENAMETOOLONG, f"path too long: {path}") from error
        raise
    return BoundSocket(sock, path)


def _bind_path(sock: _socket.socket, path: str, request: ListenRequest) -> None:
    """Make the file with libuv's rights: what was asked for, for all three, and what the umask leaves."""
    rights = _READ if request.readable_all else 0
    rights |= _WRITE if request.writable_all else 0
    former = os.umask(0o077)
    os.umask(former & ~rights)
    try:
        sock.bind(path)
    except FileNotFoundError as error:
        raise PermissionError(errno.EACCES, str(error)) from error
    finally:
        os.umask(former)


def _number(error: Exception) -> int:
    number = getattr(error, "errno", None) or 0
    return number if number > 0 else errno.EINVAL  # a name that is no address has a negative one
