"""Bring connections to a thread worker: dealt by the primary, or accepted here where the kernel chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from .... import under_test
from ....machine.forked_child import keep_from_children
from .client_connection import ConnectionFactory

if TYPE_CHECKING:
    from ....base.reactor import Reactor
    from ...gunicorn_types import Settings
    from ...requests.served_listener import AnyListener
    from ..feed import Feed
    from ..membership import Membership
    from .connections import ThreadConnections

__all__ = ["AcceptingThreads", "FedThreads"]


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
        self._factory = ConnectionFactory(cfg, handshake_timeout)
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
            conn = self._factory.make(family, fd, listener.getsockname(), handed)
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
        self._factory = ConnectionFactory(cfg, handshake_timeout)
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
            self._connections.take(self._factory.make(client.family, client.detach(), name))
        self.changed()
