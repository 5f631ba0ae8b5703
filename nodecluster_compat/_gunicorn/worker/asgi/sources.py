"""Bring connections to an ASGI worker: dealt by the primary, or accepted here (``SCHED_NONE``)."""

from __future__ import annotations

import socket as sockets
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from gunicorn.sock import ssl_context

from .... import under_test
from ....asyncio_runtime.opening import Opener
from ....machine.forked_child import keep_from_children
from ....operations.metrics.this_meter import this_meter

if TYPE_CHECKING:
    import asyncio
    import ssl
    from collections.abc import Callable, Sequence

    from ....base.reactor import Reactor
    from ....connections.handed import Handed
    from ...gunicorn_types import GunicornLog, Settings
    from ...requests.served_listener import ServedListener
    from ..feed import Feed
    from ..membership import Membership
    from .connections import Connections
    from .protocol import FedProtocol

__all__ = ["AcceptingASGISource", "ConnectionOpener", "FedASGISource"]


_FULL: Final = (
    "Worker has %s connections, the limit that worker_connections sets: others go to other workers, or wait. "
    "Raise worker_connections if clients keep connections open, as websockets do (-k asgi has no limit)"
)


class ConnectionOpener:
    """Opens connections, wherever they come from.

    Args:
        loop: which carries them.
        connections: where they are held.
        cfg: has ``worker_connections``, and the settings of TLS.
        log: told of those that never began.
        handshake_timeout: seconds that a TLS handshake may take; 0 for no limit but asyncio's.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connections: Connections,
        cfg: Settings,
        log: GunicornLog,
        handshake_timeout: float,
    ) -> None:
        tls: ssl.SSLContext | None = ssl_context(cfg) if cfg.is_ssl else None
        self._is_encrypted = tls is not None
        self._opener = Opener(loop, tls, handshake_timeout)
        self._plain = self._opener if tls is None else Opener(loop, None, 0)
        self._most = cfg.worker_connections
        self._was_full = False
        self._log = log
        self.connections = connections

    def has_room(self, _: int = 0) -> bool:
        """Whether one more connection can be served."""
        if len(self.connections) < self._most:
            return True
        if not self._was_full:
            self._was_full = True
            self._log.warning(_FULL, self._most)
        return False

    def open(self, family: int, fd: int) -> None:
        """Serve a connection."""
        protocol = self.connections.new()
        protocol.fd = fd
        self._opener.open(family, fd, protocol, partial(self._failed, protocol))

    def open_routed(
        self, family: int, fd: int, feed: Feed, listener: ServedListener, handed: Handed | None = None
    ) -> None:
        """Serve a connection whose requests are routed.

        Args:
            family: of its socket.
            fd: its descriptor.
            feed: routes them.
            listener: that it came by.
            handed: what came with it from another worker.
        """
        protocol = self.connections.new_routed()
        protocol.fd = fd
        beneath = sockets.socket(family, sockets.SOCK_STREAM, 0, fd)
        try:
            peer = beneath.getpeername() if handed is None else handed.address(beneath)
        except OSError as error:
            beneath.close()
            self._failed(protocol, error)
            return
        beneath.detach()
        passage = feed.passage(listener.number, peer, handed)
        if passage is not None:
            protocol.route_by(passage, family)
        if family != listener.family or (self._is_encrypted and handed is not None and family == sockets.AF_UNIX):
            protocol.name_ends(peer, listener.getsockname())
        opener = self._opener if handed is None else self._plain
        opener.open(family, fd, protocol, partial(self._failed, protocol))

    def _failed(self, protocol: FedProtocol, error: Exception) -> None:
        """It is gone before it was served, or does not speak TLS: nobody to answer."""
        self._log.debug("Closing a connection before its first request: %s", error)
        this_meter().count_failed()
        protocol.fd = -1
        self.connections.ended(protocol)


class FedASGISource:
    """See :class:`~nodecluster_compat._gunicorn.worker.connection_source.ConnectionSource`.

    Args:
        feed: brings connections.
        reactor: of the worker's loop.
        opener: where they go.
        notify: gives a sign of life.
    """

    def __init__(self, feed: Feed, reactor: Reactor, opener: ConnectionOpener, notify: Callable[[], None]) -> None:
        self._feed = feed
        self._listeners = feed.listeners
        self._reactor = reactor
        self._opener = opener
        self._notify = notify
        self._room_made: Callable[[], None]

    def begin(self) -> None:
        """Take connections from now on."""
        self._feed.begin(self._reactor, self._take, self._opener.has_room)
        self._room_made = self._feed.room_made
        self._notify()  # gunicorn's timeout counts from the first sign of life
        self._feed.announce()
        under_test.reach("listening")

    def turn(self) -> None:
        """Room is told when a connection ends; what else this process ran out of comes back untold."""
        self._room_made()

    def room_made(self) -> None:
        """A connection has ended."""
        self._room_made()

    def stop(self) -> None:
        """Take no more; clients of HTTP/2 hear of it."""
        self._feed.stop()
        self._opener.connections.begin_drain()

    def has_left(self) -> bool:
        """Whether no further connection can come."""
        return self._feed.has_left

    def _take(self, listener_id: int, fd: int, memory: int) -> None:
        listener = self._listeners[listener_id]
        if memory >= 0:
            handed = self._feed.handed(fd, memory)
            if handed is not None:
                self._opener.open_routed(handed.family, fd, self._feed, listener, handed)
        elif self._feed.routes is None:
            self._opener.open(listener.family, fd)
        else:
            self._opener.open_routed(listener.family, fd, self._feed, listener)


class AcceptingASGISource:
    """See :class:`~nodecluster_compat._gunicorn.worker.connection_source.ConnectionSource`.

    Args:
        membership: the worker's place in the cluster.
        listeners: gunicorn's socket objects, which this process has inherited.
        reactor: of the worker's loop.
        opener: where connections go.
    """

    def __init__(
        self, membership: Membership, listeners: Sequence[Any], reactor: Reactor, opener: ConnectionOpener
    ) -> None:
        self._membership = membership
        self._sockets: dict[Any, sockets.socket] = {listener: listener.sock for listener in listeners}
        self._reactor = reactor
        self._opener = opener
        self._is_accepting = False
        self._has_stopped = False
        keep_from_children(self)

    def begin(self) -> None:
        """Accept from now on."""
        for listener, sock in self._sockets.items():
            sock.setblocking(False)
            self._membership.listens(0, listener)
        self._accept_all()

    def turn(self) -> None:
        """Accept again if there was no room for a while."""
        self.room_made()

    def room_made(self) -> None:
        """A connection has ended: accept again, if there was no room."""
        if not self._is_accepting and not self._has_stopped and self._opener.has_room():
            self._accept_all()

    def stop(self) -> None:
        """Accept no more; clients of HTTP/2 hear of it."""
        self._has_stopped = True
        self._accept_none()
        self._opener.connections.begin_drain()

    def has_left(self) -> bool:
        """Whether no further connection can come: at once."""
        return True

    def inherited_fds(self) -> list[int]:
        """See :class:`~nodecluster_compat.machine.forked_child.Inherited`."""
        return [sock.fileno() for sock in self._sockets.values()]

    def _accept_all(self) -> None:
        self._is_accepting = True
        for sock in self._sockets.values():
            self._reactor.add_reader(sock.fileno(), partial(self._accept, sock))

    def _accept_none(self) -> None:
        self._is_accepting = False
        for sock in self._sockets.values():
            self._reactor.remove_reader(sock.fileno())

    def _accept(self, listening: sockets.socket) -> None:
        """Accept one: with several workers, the others have their turn then."""
        if not self._opener.has_room():
            self._accept_none()
            return
        try:
            sock, _ = listening.accept()
        except OSError:  # another worker was faster, the client has gone, no descriptor is left
            return
        self._opener.open(sock.family, sock.detach())
