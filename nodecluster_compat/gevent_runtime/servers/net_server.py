"""Serve connections, each by a function that is given the socket: Node's ``net.Server``.

Theory of operation
-------------------
A server gets its listening socket from its process (see ``servers_in_process``): in a worker the primary
binds, shares and (under round robin) accepts; elsewhere, and for ``exclusive``, this process does.  Where a connection
comes from makes no difference from :meth:`NetServer.take` on.

``close()`` stops new connections and waits for those that are open; ``close`` is emitted after the last of them.  A
handler's connection ends when the handler returns.  A connection that is taken is told at once, before anything else
runs that could close the server.  So ``connection`` and ``drop`` never come after ``close()``, and what is not taken
goes to another worker.

How it gets its socket and tells of it: ``server_base``.
"""

from __future__ import annotations

import os
import socket as sockets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gevent
from gevent.socket import socket as gevent_socket
from msgspec.structs import replace

from ...base.arguments import take_callback
from ...base.arity import checked_callback
from ...base.event_names import KnownEvents
from ...base.records import Address, ListenRequest, PeerAddress, SocketName
from ...errors import ArgumentTypeError, ServerAlreadyListening, ServerNotRunning
from ...machine.forked_child import keep_from_children
from ...messages.passing import DescriptorKind
from ..at_once import run_at_once
from ..client_socket import ClientSocket
from .connection_options import ConnectionOptions
from .host_names import address_to_listen_on, not_found
from .listen_options import ListenArguments, checked_host
from .served_connections import ServedConnections
from .server_base import ServerBase
from .server_socket import ServerSocket

__all__ = ["NetServer"]

Handler = Callable[[gevent_socket, PeerAddress], Any]


class NetServer(ServerBase):
    """A server of connections.

    Events: ``listening()``, ``connection(socket)``, ``close()``, ``error(exc)``, ``drop(peer)``.

    Args:
        options: of each connection, as in Node: ``{"noDelay": True, "keepAlive": True}``; may be left out.
        handler: called with each connected socket and the peer's address, in a greenlet of its own; when it returns
            the socket is closed, unless it was passed on.

    Attributes:
        max_connections: how many it takes at once; ``None``: no limit; 0: none (Node since 22).
        drop_max_connection: at the limit, take and close a connection (``drop`` is emitted) instead of leaving it to
            other workers.  Where this process accepts alone there are no others, so it always does.
    """

    _known = KnownEvents({"listening": 0, "connection": 1, "close": 0, "error": 1, "drop": 1})

    def __init__(
        self,
        options: Mapping[str, Any] | Handler | None = None,
        handler: Handler | None = None,
    ) -> None:
        super().__init__()
        (options,), handler = take_callback((options,), handler)
        self._max_connections: int | None = None
        self.drop_max_connection = False
        self._handler = checked_callback(handler, 2, "the handler of connections")
        self._served = ServedConnections(ConnectionOptions.of(options))
        self._owes_close = False  # since it listened again, or tried to, while connections were left
        keep_from_children(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._life.state}>"

    @property
    def max_connections(self) -> int | None:
        """How many it takes at once; ``None``: no limit."""
        return self._max_connections

    @max_connections.setter
    def max_connections(self, most: int | None) -> None:
        if most is not None and (isinstance(most, bool) or not isinstance(most, int)):
            raise ArgumentTypeError(f"expected a number of connections or None as max_connections, got {most!r}")
        self._max_connections = most

    @property
    def listening(self) -> bool:
        """Whether it takes connections."""
        return self._life.state == "listening"

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._served)

    def get_connections(self, callback: Callable[..., Any]) -> NetServer:
        """Call back with ``(None, connections)`` on a later turn (Node: ``getConnections``)."""
        call = checked_callback(callback, 2, "the callback of get_connections()")
        if call is None:
            raise ArgumentTypeError("expected a callable as the callback of get_connections(), got None")
        self._process.spawn(call, None, self.connections)
        return self

    def listen(
        self,
        port: int | str | Mapping[str, Any] | Callable[..., Any] | None = None,
        host: str | int | Callable[..., Any] | None = None,
        backlog: int | Callable[..., Any] | None = None,
        callback: Callable[[], Any] | None = None,
        *,
        path: str | bytes | os.PathLike[str] | None = None,
        fd: int | None = None,
        exclusive: bool = False,
        ipv6_only: bool = False,
        reuse_port: bool = False,
        readable_all: bool = False,
        writable_all: bool = False,
    ) -> NetServer:
        """Listen; ``listening`` or ``error`` follows.

        As in Node the callback may follow any argument, a path may stand in the place of the port, the backlog in that
        of the host, and a mapping of options in place of all: ``listen(8000, ready)``, ``listen("app.sock", ready)``,
        ``listen({"port": 8000, "exclusive": True}, ready)``.

        Args:
            port: 0 to 65535; 0, or none, takes any that is free, in a worker the same one as its siblings.
            host: a name or an IP address; ``None``: every address.
            path: of a unix socket, instead of a port.
            fd: a listening descriptor, instead of a port; in a worker one of the primary's.
            backlog: how many connections the kernel keeps, 511 if nothing is said; of the first worker that asks.
            exclusive: do not share with other workers.
            ipv6_only: do not take IPv4 on an IPv6 address.
            reuse_port: bind in this process and let the kernel choose among those that do.
            readable_all: everybody may read the unix socket.
            writable_all: everybody may write to the unix socket.
            callback: added as a listener of ``listening``, for once.

        Returns:
            This server.

        Raises:
            ServerAlreadyListening: it listens.  A second call before the first is done changes nothing, as in Node.
            ArgumentError: an argument that can never work.
        """
        if self.listening:
            raise ServerAlreadyListening("listen() was called on a server that listens: close() it first")
        given = ListenArguments.of(port, host, backlog, callback)
        if given.options:
            return self.listen(
                given.port, checked_host(given.host), given.backlog, given.callback, path=given.path, **given.options
            )
        name, call = checked_host(given.host), checked_callback(given.callback, 0, "the callback of listen()")
        request = given.request(path, fd, ipv6_only, reuse_port, readable_all, writable_all)
        if call is not None:
            self.once("listening", call)
        self._ask_for(request, name, bool(exclusive) and fd is None)
        return self

    def address(self) -> Address | None:
        """Return what it is bound to; ``None`` when it does not listen."""
        if self._socket is None:
            return None
        name = self._socket.name
        if isinstance(name, tuple):
            return Address(name[0], name[1], 6 if self._socket.family == sockets.AF_INET6 else 4)
        return Address(self._request.address if self._request else None, -1, -1)

    def close(self, callback: Callable[..., Any] | None = None) -> NetServer:
        """Take no more connections; ``close`` follows when the last one has ended.

        Args:
            callback: called then, with nothing; with :class:`ServerNotRunning` when it did not listen, or no longer.
        """
        callback = checked_callback(callback, 1, "the callback of close()")
        state = self._life.state
        if state == "listening":
            if callback is not None:
                self.once("close", callback)
            self._life.advance("close")
            self._stop()
            self._check_drained()
        elif state == "closing":
            if callback is not None:
                self.once("close", partial(callback, _not_running("no longer listens")))
        else:
            if state == "starting":
                self._life.advance("close")
                self._process.abandoned(self)
            if not self._owes_close:
                self._process.spawn(self._tell_not_running, callback)
            elif callback is not None:
                self.once("close", partial(callback, _not_running("does not listen yet")))
        return self

    def cut(self) -> int:
        """End the connections that are open, whatever they are at; return how many they were."""
        return self._served.cut()

    def emit(self, event: str, *args: object, **kwargs: object) -> bool:
        """Emit an event; ``emit("connection", socket)`` lets this server serve a socket that came from elsewhere."""
        if event == "connection" and len(args) == 1:
            sock: Any = args[0]
            if not hasattr(sock, "detach"):
                raise ArgumentTypeError(f"expected a connected socket, got {sock!r}")
            self.inject(sock)
            return True
        return super().emit(event, *args, **kwargs)

    def inject(self, sock: sockets.socket) -> None:
        """Serve a connected socket as if it had been accepted here (Node: ``server.emit('connection', socket)``)."""
        self._spawn(sock.detach(), sock.family)

    # --- what its process tells ----------------------------------------------------------------

    def bound(self, sock: ServerSocket) -> None:
        """Extends :meth:`ServerBase.bound`: it may have been closed meanwhile."""
        super().bound(sock)
        self._serve_on()

    def failed(self, error: OSError) -> None:
        """Extends :meth:`ServerBase.failed`: earlier connections may still be open."""
        super().failed(error)
        self._serve_on()

    def _serve_on(self) -> None:
        """Close when the earlier connections have ended: it does not listen again after all."""
        if self._life.state != "closed" or not self._owes_close:
            return
        self._life.advance("serve on")
        self._process.opened(self)
        self._check_drained()

    def take(self, fd: int, family: int) -> None:
        """See :class:`~nodecluster_compat.gevent_runtime.servers.server_socket.OpenServer`."""
        if self._is_full():
            run_at_once(gevent.Greenlet(self._drop, fd, family))
        else:
            self._spawn(fd, family)

    def has_room(self) -> bool:
        """See :class:`~nodecluster_compat.gevent_runtime.servers.server_socket.OpenServer`."""
        return self.listening and not self._process.is_ending and (self.drop_max_connection or not self._is_full())

    def descriptor_kind(self) -> DescriptorKind:
        """See :class:`~nodecluster_compat.messages.passing.Passable`."""
        return DescriptorKind.SERVER

    def inherited_fds(self) -> list[int]:
        """See :class:`~nodecluster_compat.machine.forked_child.Inherited`: all but those of the handler that forks."""
        fds = self._served.others()
        listening = None if self._socket is None else self._socket.fd
        return fds if listening is None else [*fds, listening]

    # --- inside --------------------------------------------------------------------------------

    def _ask_for(self, request: ListenRequest, host: str | None, exclusive: bool) -> None:
        if self._life.state in ("closed", "closing"):
            self._owes_close = self._owes_close or self._life.state == "closing"
            self._open()
            if host or not self._process.binds_at_once:
                self._process.spawn(self._begin, request, host, exclusive)
            else:
                self._begin(request, None, exclusive)

    def _begin(self, request: ListenRequest, host: str | None, exclusive: bool) -> None:
        if host:
            try:
                address, kind = address_to_listen_on(host, request.port)
            except (OSError, UnicodeError) as error:  # the latter: no name can be like that
                self.failed(not_found(error, host, request.port))
                return
            request = replace(request, address=address, address_type=kind)
        self._request = request
        self._process.bind(self, request, exclusive)

    def _address(self, request: ListenRequest, name: SocketName) -> Address:
        port = name[1] if isinstance(name, tuple) else -1
        return Address(request.address, port, request.address_type, request.fd)

    def _is_full(self) -> bool:
        return self.max_connections is not None and len(self._served) >= self.max_connections

    def _spawn(self, fd: int, family: int) -> None:
        self._served.begin(fd, family, self._serve, self._connection_ended)

    def _serve(self, client: ClientSocket, peer: PeerAddress) -> None:
        super().emit("connection", client)
        self._handle(client, peer)

    def _connection_ended(self) -> None:
        self._process.room_made()
        self._check_drained()

    def _handle(self, client: ClientSocket, peer: PeerAddress) -> None:
        if self._handler is not None:
            self._handler(client, peer)

    def _drop(self, fd: int, family: int) -> None:
        client = ClientSocket(family, sockets.SOCK_STREAM, 0, fileno=fd)
        try:
            peer = client.getpeername()
        except OSError:
            peer = None
        client.close()
        self.emit("drop", peer)

    def _check_drained(self) -> None:
        if self._life.state == "closing" and not self._served:
            self._life.advance("drained")
            self._owes_close = False
            self._process.spawn(self._tell_closed)

    def _tell_not_running(self, callback: Callable[..., Any] | None) -> None:
        if callback is not None:
            callback(_not_running("does not listen"))
        self.emit("close")


def _not_running(why: str) -> ServerNotRunning:
    return ServerNotRunning(f"close() was called on a server that {why}")
