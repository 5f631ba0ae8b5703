"""Check the arguments of ``listen()`` and ``bind()`` where the call is made, as in Node."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from ...base.arguments import checked_options, take_callback
from ...base.js_number import number_of
from ...base.records import ListenRequest
from ...errors import ArgumentError, ArgumentTypeError

__all__ = [
    "BIND_OPTIONS",
    "CREATE_SOCKET_OPTIONS",
    "LISTEN_OPTIONS",
    "ListenArguments",
    "checked_host",
    "checked_port",
    "path_request",
    "port_request",
    "with_fd",
]

_MOST_PORT: Final = 65535
_INT32: Final = range(-(2**31), 2**31)
_WHERE: Final = {"port", "path", "fd"}

LISTEN_OPTIONS: Final = {
    "port": "port",
    "host": "host",
    "path": "path",
    "fd": "fd",
    "backlog": "backlog",
    "exclusive": "exclusive",
    "ipv6Only": "ipv6_only",
    "reusePort": "reuse_port",
    "readableAll": "readable_all",
    "writableAll": "writable_all",
}
BIND_OPTIONS: Final = {"port": "port", "address": "address", "fd": "fd", "exclusive": "exclusive"}
CREATE_SOCKET_OPTIONS: Final = {
    "type": "kind",
    "reuseAddr": "reuse_address",
    "reusePort": "reuse_port",
    "ipv6Only": "ipv6_only",
}


class ListenArguments(Struct, frozen=True):
    """The arguments of ``listen()``, each in its own place, however they were spelt.

    Attributes:
        port, path, host, backlog, callback: as :meth:`NetServer.listen` has them.
        options: the rest, where Node's object of options was given.
    """

    port: Any
    path: Any
    host: Any
    backlog: Any
    callback: Any
    options: Mapping[str, Any]

    @classmethod
    def of(cls, port: Any, host: Any, backlog: Any, callback: Any) -> ListenArguments:  # noqa: ANN401 - any spelling
        """Sort out ``listen([port | path | options][, host][, backlog][, callback])``.

        Raises:
            ArgumentError: it is none of Node's spellings.
        """
        (port, host, backlog), callback = take_callback((port, host, backlog), callback)
        if isinstance(host, int) and not isinstance(host, bool) and backlog is None:
            host, backlog = None, host
        options: dict[str, Any] = {}
        path = None
        if isinstance(port, Mapping):
            options = checked_options(port, LISTEN_OPTIONS, "listen()")
            if not port.keys() & _WHERE:
                raise ArgumentError(
                    f"expected a port, a path or an fd among the options of listen(), got {dict(port)!r}"
                )
            path, port = options.pop("path", None), options.pop("port", None)
            host, backlog = options.pop("host", host), options.pop("backlog", backlog)
        elif _is_path(port):
            port, path = None, port
        return cls(port, path, host, backlog, callback, options)

    def request(
        self,
        path: str | bytes | os.PathLike[str] | None,
        fd: int | None,
        ipv6_only: bool,
        reuse_port: bool,
        readable_all: bool,
        writable_all: bool,
    ) -> ListenRequest:
        """Return the request for what was given, here or by name: a path, a descriptor or a port.

        Raises:
            ArgumentError: an argument that can never work.
        """
        asked = self.path if path is None else path
        if asked is not None:
            return path_request(asked, self.backlog, readable_all, writable_all)
        if fd is not None:
            return with_fd(fd, self.backlog)
        return port_request(self.port, self.backlog, ipv6_only, reuse_port)


def _is_path(port: object) -> bool:
    """Whether it stands for a unix socket: text that is neither a number nor blank."""
    return isinstance(port, bytes | os.PathLike) or (
        isinstance(port, str) and not port.isspace() and not _is_number(port)
    )


def _is_number(text: str) -> bool:
    """Whether Node takes it for one: its ``Number(text)`` is 0 or more."""
    number = number_of(text)
    return number is not None and number >= 0


def checked_host(host: object) -> str | None:
    """Return ``host``.

    Raises:
        ArgumentTypeError: it is no text.
    """
    if host is not None and (not isinstance(host, str) or "\0" in host):
        raise ArgumentTypeError(f"expected a name or an IP address as host, got {host!r}")
    return host


def checked_backlog(backlog: object) -> int:
    """Return how many connections the kernel is to keep; 511 where nothing was said, as in Node.

    Raises:
        ArgumentTypeError: it is no number that fits 32 bits.
    """
    if backlog is None:
        return 511
    if isinstance(backlog, bool) or not isinstance(backlog, int) or backlog not in _INT32:
        raise ArgumentTypeError(f"expected a number of connections as backlog, got {backlog!r}")
    return backlog


def checked_port(port: object) -> int:
    """Return ``port`` as a number.

    Raises:
        ArgumentError: it is none from 0 to 65535 (Node: ``ERR_SOCKET_BAD_PORT``).
    """
    number: Any = port
    if isinstance(port, str) and not port.isspace() and port:
        number = number_of(port)
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if port is None:
        number = 0
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= _MOST_PORT:
        raise ArgumentError(f"expected a port from 0 to {_MOST_PORT}, got {port!r}")
    return number


def port_request(port: object, backlog: object, ipv6_only: bool, reuse_port: bool) -> ListenRequest:
    """Return the request for a TCP port on every address.

    Raises:
        ArgumentError: it is no port.
    """
    return ListenRequest(
        None,
        checked_port(port),
        4,
        backlog=checked_backlog(backlog),
        ipv6_only=bool(ipv6_only),
        reuse_port=bool(reuse_port),
    )


def path_request(
    path: str | bytes | os.PathLike[str], backlog: object, readable_all: bool, writable_all: bool
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
        os.path.abspath(name),
        -1,
        -1,
        backlog=checked_backlog(backlog),
        readable_all=bool(readable_all),
        writable_all=bool(writable_all),
    )


def with_fd(fd: object, backlog: object) -> ListenRequest:
    """Return the request for a descriptor, in a worker one of the primary's.

    Raises:
        ArgumentError: it is no number.
    """
    if isinstance(fd, bool) or not isinstance(fd, int) or fd < 0 or fd not in _INT32:
        raise ArgumentError(f"expected a descriptor (a number from 0), got {fd!r}")
    return ListenRequest(None, -1, None, fd=fd, backlog=checked_backlog(backlog))
