"""Send and receive datagrams: Node's ``dgram.Socket``.

In a worker ``bind()`` asks the primary and shares its socket with the siblings that bind the same address, whatever the
scheduling policy: the kernel chooses who reads a datagram.  A socket that sends before it was
bound gets a port of its own.

A datagram is taken from the kernel by the greenlet that then calls the handlers, and the next one by the next greenlet:
what comes after ``close()`` stays where it is, for a sibling that shares the socket.
"""

from __future__ import annotations

import errno
import os
import socket as sockets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from gevent import get_hub
from gevent.event import Event

from ...base.arguments import checked_options, take_callback
from ...base.arity import checked_callback
from ...base.event_names import KnownEvents
from ...base.records import Address, ListenRequest
from ...errors import ArgumentError, ServerAlreadyListening, SocketNotRunning
from ...machine.binding import BoundSocket
from ...messages.passing import DescriptorKind
from .datagram_arguments import datagram_arguments
from .host_names import resolve
from .listen_options import BIND_OPTIONS, checked_host, checked_port, with_fd
from .server_base import ServerBase
from .server_socket import ServerSocket

__all__ = ["UdpSocket"]

_LARGEST: Final = 65536
_PER_TURN: Final = 64
_FAMILIES: Final = {"udp4": sockets.AF_INET, "udp6": sockets.AF_INET6}
_EVERYWHERE: Final = {"udp4": "0.0.0.0", "udp6": "::"}
_LOCAL: Final = {"udp4": "127.0.0.1", "udp6": "::1"}


class UdpSocket(ServerBase):
    """A UDP socket.  Events: ``message(data, peer)``, ``listening()``, ``close()``, ``error(exc)``.

    Args:
        kind: ``"udp4"`` or ``"udp6"``.
        reuse_address: others may bind the same address.
        reuse_port: bind in this process; the kernel shares the port between those that do.
        ipv6_only: do not take IPv4 on an IPv6 address.
        on_message: added as a listener of ``message``.
    """

    _known = KnownEvents(
        {"message": 2, "listening": 0, "close": 0, "error": 1},
        {"connect": "a socket is not connected here: give the address to each send()"},
    )

    def __init__(
        self,
        kind: str,
        *,
        reuse_address: bool = False,
        reuse_port: bool = False,
        ipv6_only: bool = False,
        on_message: Callable[[bytes, tuple[Any, ...]], Any] | None = None,
    ) -> None:
        super().__init__()
        if str(kind) not in _FAMILIES:
            raise ArgumentError(f"expected 'udp4' or 'udp6' as the kind of a socket, got {kind!r}")
        self._kind: Any = kind
        self._reuse_address = reuse_address
        self._reuse_port = reuse_port
        self._ipv6_only = ipv6_only
        self._sock: Any = None
        self._watcher: Any = None
        self._ready = Event()
        self._was_closed = False
        self._turn_left = 0  # datagrams that this turn may still take; 0: nobody is taking any
        if on_message is not None:
            self.on("message", on_message)

    def __repr__(self) -> str:
        return f"<UdpSocket {self._kind} {self._life.state}>"

    def bind(
        self,
        port: int | str | Mapping[str, Any] | Callable[..., Any] | None = 0,
        address: str | Callable[..., Any] | None = None,
        callback: Callable[[], Any] | None = None,
        *,
        fd: int | None = None,
        exclusive: bool = False,
    ) -> UdpSocket:
        """Receive on an address; ``listening`` or ``error`` follows (Node: ``socket.bind``).

        As in Node the callback may follow any argument, and a mapping of options may stand in place of all.

        Args:
            port: 0 to 65535; 0 takes any that is free.
            address: a name or an IP address; ``None``: every address.
            fd: a bound descriptor instead; in a worker one of the primary's.
            exclusive: do not share with other workers.
            callback: added as a listener of ``listening``, for once.

        Raises:
            ServerAlreadyListening: it is bound (Node: ``ERR_SOCKET_ALREADY_BOUND``).
            SocketNotRunning: it was closed: make another (Node: ``ERR_SOCKET_DGRAM_NOT_RUNNING``).
            ArgumentError: an argument that can never work.
        """
        self._check_open("bind()")
        if self._life.state != "closed":
            raise ServerAlreadyListening("bind() was called on a socket that is bound, or being bound")
        (port, address), callback = take_callback((port, address), callback)
        if isinstance(port, Mapping):
            return self.bind(callback=callback, **checked_options(port, BIND_OPTIONS, "bind()"))
        number, host = checked_port(port), checked_host(address)
        with_fd(0 if fd is None else fd, None)
        call = checked_callback(callback, 0, "the callback of bind()")
        if call is not None:
            self.once("listening", call)
        self._open()
        self._process.spawn(self._begin, number, host, fd, bool(exclusive))
        return self

    listen = bind

    def send(
        self,
        data: bytes | str | Sequence[bytes | str],
        port: int | str,
        address: str | int | Callable[..., Any] | None = None,
        callback: int | str | Callable[..., Any] | None = None,
        *rest: str | Callable[..., Any] | None,
    ) -> None:
        """Send one datagram; a socket that is not bound is first bound to a port of its own.

        As in Node the callback may follow the port or the address, and where a part of ``data`` is to be sent, its
        offset and length precede them: ``send(data, offset, length, port, address, callback)``.

        Args:
            data: bytes, or text as UTF-8, or a list of them, which are sent as one.
            port: 1 to 65535.
            address: a name or an IP address; ``None``: this machine.
            callback: called with ``(None, bytes sent)``, or with ``(error, 0)``; without it an error is emitted.
            rest: what follows where offset and length were given.

        Raises:
            SocketNotRunning: it was closed.
            ArgumentError: an argument that can never work.
        """
        self._check_open("send()")
        payload, to, where, told = datagram_arguments(data, port, address, callback, rest)
        number, host = checked_port(to), checked_host(where)
        if number == 0:
            raise ArgumentError("expected a port from 1 to 65535 to send to, got 0")
        call = checked_callback(told, 2, "the callback of send()")
        if self._life.state == "closed":
            self.bind(0, exclusive=True)
        self._process.spawn(self._send, payload, number, host or _LOCAL[self._kind], call)

    def address(self) -> Address | None:
        """Return what it is bound to; ``None`` when it is not."""
        if self._socket is None:
            return None
        name: Any = self._socket.name
        return Address(name[0], name[1], self._kind)

    def close(self, callback: Callable[..., Any] | None = None) -> UdpSocket:
        """Receive no more; ``close`` follows.

        Raises:
            SocketNotRunning: it is closed (Node: ``ERR_SOCKET_DGRAM_NOT_RUNNING``).
        """
        self._check_open("close()")
        call = checked_callback(callback, 0, "the callback of close()")
        if call is not None:
            self.once("close", call)
        self._was_closed = True
        if self._life.state == "closed":  # it was never bound
            self._process.spawn(self.emit, "close")
        elif self._life.advance("close") == "closing":
            self._life.advance("drained")
            self._stop()
            self._process.spawn(self._tell_closed)
        else:
            self._ready.set()
            self._process.abandoned(self)
            self._process.spawn(self.emit, "close")
        return self

    def adopt(self, bound: BoundSocket) -> None:
        """Receive on a socket that is bound already."""
        bound.sock.setblocking(False)
        super().adopt(bound)

    # --- what its process tells ----------------------------------------------------------------

    def take(self, fd: int, family: int) -> None:
        """See :class:`~nodecluster_compat.gevent_runtime.servers.server_socket.OpenServer`.

        Never called: datagrams are no connections.
        """

    def has_room(self) -> bool:
        """See :class:`~nodecluster_compat.gevent_runtime.servers.server_socket.OpenServer`."""
        return False

    def passable_fd(self) -> int | None:
        """See :class:`~nodecluster_compat.messages.passing.Passable`."""
        return None if self._sock is None else self._sock.fileno()

    def descriptor_kind(self) -> DescriptorKind:
        """See :class:`~nodecluster_compat.messages.passing.Passable`."""
        return DescriptorKind.UDP

    # --- inside --------------------------------------------------------------------------------

    def _check_open(self, call: str) -> None:
        if self._was_closed:
            raise SocketNotRunning(f"{call} was called on a socket that was closed: make another one")

    def _begin(self, port: int, host: str | None, fd: int | None, exclusive: bool) -> None:
        address = None if fd is not None else host or _EVERYWHERE[self._kind]
        if host is not None and fd is None:
            try:
                address = str(resolve(host, port, sockets.SOCK_DGRAM, _FAMILIES[self._kind])[1][0])
            except (OSError, UnicodeError) as error:
                self.failed(_not_found(error))
                return
        self._request = ListenRequest(
            address,
            port,
            self._kind,
            fd=fd,
            ipv6_only=self._ipv6_only,
            reuse_address=self._reuse_address,
            reuse_port=self._reuse_port,
        )
        self._process.bind(self, self._request, exclusive)

    def _begin_use(self, sock: ServerSocket) -> None:
        self._sock = sockets.socket(fileno=_duplicate(sock))
        self._sock.setblocking(False)
        self._watcher = get_hub().loop.io(self._sock.fileno(), 1, ref=False)
        self._watcher.start(self._readable)
        self._ready.set()

    def _give_up_use(self) -> None:
        self._ready.set()

    def _address(self, request: ListenRequest, name: Any) -> Address:  # noqa: ANN401 - an internet address
        return Address(request.address, name[1], self._kind, -1 if request.fd is None else request.fd)

    def _readable(self) -> None:
        if not self._turn_left:
            self._turn_left = _PER_TURN
            self._process.spawn(self._take_one)

    def _take_one(self) -> None:
        """Take a datagram and call the handlers; before they can wait, somebody else is to take the next one."""
        datagram = self._received()
        self._turn_left = 0 if datagram is None else self._turn_left - 1
        if datagram is not None:
            if self._turn_left:
                self._process.spawn(self._take_one)
            self.emit("message", *datagram)

    def _received(self) -> tuple[bytes, tuple[Any, ...]] | None:
        if self._sock is None or self._process.is_ending:
            return None
        try:
            return self._sock.recvfrom(_LARGEST)  # type: ignore[no-any-return]  # a socket of any module
        except BlockingIOError:
            pass  # a sibling was faster, or everything is read
        except OSError as error:
            if error.errno != errno.ECONNREFUSED:  # what an earlier datagram of ours met
                self._report(error)
        return None

    def _send(self, data: bytes, port: int, host: str, callback: Callable[..., Any] | None) -> None:
        try:
            target = resolve(host, port, sockets.SOCK_DGRAM, _FAMILIES[self._kind])[1]
            self._ready.wait()
            if self._was_closed:
                return  # as in Node: neither sent nor told
            if self._sock is None:
                raise OSError(errno.EBADF, "the socket is closed")
            sent = self._sock.sendto(data, target)
        except (OSError, UnicodeError) as error:
            failure = _not_found(error)
            if callback is None:
                self._report(failure)
            else:
                callback(failure, 0)
            return
        if callback is not None:
            callback(None, sent)

    def _stop(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        super()._stop()


def _not_found(error: OSError | UnicodeError) -> OSError:
    """Return the error; one that says that no name can be like that is one of the system's, too."""
    if isinstance(error, OSError):
        return error
    failure = OSError(errno.ENOENT, f"no such host: {error}")
    failure.__cause__ = error
    return failure


def _duplicate(sock: ServerSocket) -> int:
    fd = sock.fd
    assert fd is not None
    return os.dup(fd)
