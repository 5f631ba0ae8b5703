"""Bring connections to a thread worker: dealt by the primary, or accepted here where the kernel chooses."""

from __future__ import annotations

import _socket
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from gunicorn import http
from gunicorn.workers.gthread import TConn

from .... import under_test
from ....machine.forked_child import keep_from_children

if TYPE_CHECKING:
    from ....base.reactor import Reactor
    from ....connections.handed import Handed
    from ....thread_runtime.relaying import Relay
    from ...gunicorn_types import Settings
    from ...requests.passage import Passage
    from ...requests.served_listener import AnyListener
    from ..feed import Feed
    from ..membership import Membership
    from .connections import ThreadConnections

__all__ = ["AcceptingThreads", "FedThreads"]


class _Client(socket.socket):
    """A client's socket, which only threads of the pool read: it blocks, and gunicorn need not say so each time.

    Attributes:
        limit: seconds that a TLS handshake may take, where there is to be one; gunicorn would let it wait for ever.
        is_blocking: whether the kernel lets its calls wait, as far as is known, and for as long as they like.
        is_taken: whether it has its connection: gunicorn's is made for a main thread that reads without waiting.
    """

    limit: float | None = None
    is_blocking = False  # as it comes from another worker, it may or may not be
    is_taken = False

    def setblocking(self, flag: bool) -> None:
        """Extends Python's: once is enough, and the main thread asks the kernel before it reads."""
        if not flag:
            if self.is_taken:
                self.settimeout(0)
        elif not self.is_blocking:
            self.settimeout(self.limit)

    def settimeout(self, value: float | None) -> None:
        """Extends Python's: the next request is read without what an application has set for itself."""
        super().settimeout(value)
        self.is_blocking = value is None


class _Connection(TConn):  # type: ignore[misc]  # gunicorn has no type hints
    """gunicorn's connection."""

    unread_bytes = 0
    passage: Passage | None = None
    is_relayed = False  # TLS has ended in another worker
    relay: Relay | None = None  # it is another worker's, and TLS ends here
    is_handed_on = False  # it is another worker's
    is_taken_over = False  # it is the application's, which has said so by StopIteration
    watched: tuple[int, Callable[[], None]]  # its number, and what is called once it is readable
    is_http2 = False  # before 25.0 gunicorn's has no such attribute
    initialized: bool

    @property
    def has_early(self) -> bool:
        """Whether another worker has read something of it, which is to be served."""
        return self.passage is not None and bool(self.passage.early)

    def init(self) -> None:
        """Extends gunicorn's: the handshake is done here (24.1 leaves it to the first read), and ends in time."""
        if self.initialized:
            return
        if self.is_relayed:
            self.initialized = True
            self.sock.setblocking(True)
            self.parser = http.get_parser(self.cfg, self.sock, self.client)
        else:
            self._begin()
        if self.passage is not None and not self.is_http2:
            self.parser.route_by(self.passage, self)

    def _begin(self) -> None:
        try:
            super().init()
            if self.cfg.is_ssl:
                self.sock.do_handshake()
        except TimeoutError:
            raise StopIteration("no TLS handshake in time") from None
        if self.cfg.is_ssl:
            from ....thread_runtime.tls_socket import let_threads_write  # few servers speak TLS

            self.sock.settimeout(None)
            let_threads_write(self.sock)


class _Clients:
    """Makes connections of descriptors and of accepted sockets.

    Args:
        cfg: gunicorn's settings.
        handshake_timeout: seconds that a TLS handshake may take; 0 for no limit.
    """

    def __init__(self, cfg: Settings, handshake_timeout: float) -> None:
        self._cfg = cfg
        self._limit = (handshake_timeout or None) if cfg.is_ssl else None

    def connection(self, family: int, fd: int, name: object, handed: Handed | None = None) -> _Connection:
        """Return a connection.

        Args:
            family: of its socket.
            fd: its descriptor.
            name: what it was accepted on.
            handed: what came with it from another worker.

        Raises:
            OSError: its client has left; the descriptor is closed.
        """
        try:
            sock = _Client(family, socket.SOCK_STREAM, 0, fileno=fd)
        except OSError:
            _socket.close(fd)
            raise
        if handed is None:
            sock.limit = self._limit
            sock.is_blocking = sock.limit is None and sock.gettimeout() is None  # so it was accepted
        try:
            connection = _Connection(self._cfg, sock, handed.address(sock) if handed else sock.getpeername(), name)
            connection.is_relayed = handed is not None
            sock.is_taken = True
            return connection
        except OSError:
            sock.close()
            raise


class FedThreads:
    """See :class:`~nodecluster_compat._gunicorn.worker.connection_source.ConnectionSource`.

    Args:
        feed: brings connections.
        reactor: of the worker.
        connections: takes them.
        cfg: gunicorn's settings.
        handshake_timeout: seconds that a TLS handshake may take; 0 for no limit.
    """

    def __init__(
        self, feed: Feed, reactor: Reactor, connections: ThreadConnections, cfg: Settings, handshake_timeout: float
    ) -> None:
        self._feed = feed
        self._reactor = reactor
        self._connections = connections
        self._clients = _Clients(cfg, handshake_timeout)
        self.changed: Callable[[], None]

    def begin(self) -> None:
        """Take connections from now on."""
        has_room = self._connections.has_room
        self._feed.begin(self._reactor, self._take, lambda _: True, has_room)
        self.changed = self._feed.room_made
        self._feed.announce()
        under_test.reach("listening")

    def turn(self) -> None:
        """Room is told when a thread is free; what else this process ran out of comes back untold."""
        self.changed()

    def stop(self) -> None:
        """Take no more."""
        self._feed.stop()

    def has_left(self) -> bool:
        """Whether no further connection can come."""
        return self._feed.has_left

    def _take(self, listener_id: int, fd: int, memory: int) -> None:
        feed, listener = self._feed, self._feed.listeners[listener_id]
        handed = None if memory < 0 else feed.handed(fd, memory)
        if handed is None and memory >= 0:
            return
        family = listener.family if handed is None else handed.family
        try:
            conn = self._clients.connection(family, fd, listener.getsockname(), handed)
        except OSError:  # gone before it was served
            self._connections.count_failed()
            return
        if handed is not None or feed.routes is not None:
            conn.passage = feed.passage(listener_id, conn.client, handed)
        self._connections.take(conn)


class AcceptingThreads:
    """See :class:`~nodecluster_compat._gunicorn.worker.connection_source.ConnectionSource`.

    Args:
        membership: of the worker in the cluster.
        reactor: of the worker.
        connections: takes them.
        listeners: gunicorn's socket objects, which this process has inherited.
        cfg: gunicorn's settings.
        handshake_timeout: seconds that a TLS handshake may take; 0 for no limit.
    """

    def __init__(
        self,
        membership: Membership,
        reactor: Reactor,
        connections: ThreadConnections,
        listeners: Sequence[Any],
        cfg: Settings,
        handshake_timeout: float,
    ) -> None:
        self._membership = membership
        self._reactor = reactor
        self._connections = connections
        self._listeners = listeners
        self._clients = _Clients(cfg, handshake_timeout)
        self._is_accepting = False
        keep_from_children(self)

    def begin(self) -> None:
        """Accept from now on."""
        for listener in self._listeners:
            listener.setblocking(False)
            self._membership.listens(0, listener)
        self.changed()

    def changed(self) -> None:
        """Accept while a thread is free: another worker may have one."""
        if self._connections.has_room() != self._is_accepting:
            self._accept_on(not self._is_accepting)

    turn = changed

    def stop(self) -> None:
        """Accept no more."""
        self.changed = lambda: None  # type: ignore[method-assign]
        if self._is_accepting:
            self._accept_on(False)

    def has_left(self) -> bool:
        """Whether no further connection can come: at once."""
        return True

    def inherited_fds(self) -> list[int]:
        """See :class:`~nodecluster_compat.machine.forked_child.Inherited`."""
        return [listener.fileno() for listener in self._listeners]

    def _accept_on(self, is_on: bool) -> None:
        self._is_accepting = is_on
        for listener in self._listeners:
            if is_on:
                self._reactor.add_reader(listener.fileno(), partial(self._accept, listener))
            else:
                self._reactor.remove_reader(listener.fileno())

    def _accept(self, listener: AnyListener) -> None:
        if not self._is_accepting:
            return  # another listener's connection took the last thread
        with suppress(OSError):  # another worker was faster, or its client has left
            client, _ = listener.accept()  # type: ignore[attr-defined]
            name = listener.getsockname()
            self._connections.take(self._clients.connection(client.family, client.detach(), name))
        self.changed()
