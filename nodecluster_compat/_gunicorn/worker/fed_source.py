"""Serve the connections that the primary deals, each in a greenlet: a gevent worker with round robin."""

from __future__ import annotations

import _socket
import socket as sockets
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gevent import Timeout, getcurrent
from gunicorn.sock import ssl_context

from ... import under_test
from ...machine.forked_child import keep_from_children
from ...runtime.client_socket import ClientSocket
from ...runtime.gevent_reactor import GeventReactor
from ...runtime.greenlet_pool import GreenletPool

if TYPE_CHECKING:
    from ...connections.handed import Handed
    from ..requests.served_listener import ServedListener
    from .connection_source import ServingWorker
    from .feed import Feed

__all__ = ["FedSource"]


class FedSource:
    """See :class:`~nodecluster_compat._gunicorn.worker.connection_source.ConnectionSource`.

    Args:
        worker: serves a connection.
        feed: brings it.
        serving: the sockets of the connections by greenlet, ``None`` before they are made.
        ended: called in the greenlet of a connection that has ended.
        handshake_timeout: seconds that a TLS handshake may take; 0 for no limit.
    """

    def __init__(
        self,
        worker: ServingWorker,
        feed: Feed,
        serving: dict[Any, Any],
        ended: Callable[[], None],
        handshake_timeout: float,
    ) -> None:
        self._worker = worker
        self._feed = feed
        self._listeners = feed.listeners
        self._serving = serving
        self._ended = ended
        self._handshake_timeout = handshake_timeout
        self._tls: ssl.SSLContext | None = ssl_context(worker.cfg) if worker.cfg.is_ssl else None
        self._greenlets = GreenletPool(self._serve)
        self._room_made: Callable[[], None]
        keep_from_children(self)

    def begin(self) -> None:
        """Take connections from now on."""
        self._feed.begin(GeventReactor(), self._take, self._has_room)
        self._room_made = self._feed.room_made
        self._worker.notify()  # gunicorn's timeout counts from the first sign of life
        self._feed.announce()
        under_test.reach("listening")

    def turn(self) -> None:
        """Room is told when a connection ends; what else this process ran out of comes back untold."""
        self._room_made()

    def stop(self) -> None:
        """Take no more."""
        self._feed.stop()

    def has_left(self) -> bool:
        """Whether no further connection can come."""
        return self._feed.has_left

    def inherited_fds(self) -> list[int]:
        """See :class:`~nodecluster_compat.machine.forked_child.Inherited`."""
        return [client.fileno() for client in self._serving.values() if client is not None]

    def _has_room(self, _: int) -> bool:
        return len(self._serving) < self._worker.worker_connections

    def _take(self, listener_id: int, fd: int, memory: int) -> None:
        listener = self._listeners[listener_id]
        if memory < 0:
            self._serving[self._greenlets.start(listener, fd)] = None
        else:
            self._serving[self._greenlets.start(listener, fd, self._feed.handed(fd, memory))] = None

    def _serve(self, listener: ServedListener, fd: int, handed: Handed | None = None) -> None:
        """In a greenlet of its own: serve one connection to its end."""
        client: Any = None
        is_served = False
        try:
            client = ClientSocket(
                listener.family if handed is None else handed.family, sockets.SOCK_STREAM, 0, fileno=fd
            )
            peer = client.getpeername() if handed is None else handed.address(client)
            if self._tls is not None and handed is None:
                with Timeout(self._handshake_timeout or None, TimeoutError("no TLS handshake in time")):
                    client = self._tls.wrap_socket(client, server_side=True)
            self._serving[getcurrent()] = client
            if self._feed.routes is not None:
                client.passage = self._feed.passage(listener.number, peer, handed)
            is_served = True
            self._worker.handle(listener, client, peer)
        except OSError as error:
            # gone before it was served, or it does not speak TLS: nobody to answer
            self._worker.log.debug("Closing a connection before its first request: %s", error)
        finally:
            if not is_served:
                self._worker.metering.count_failed()
            if client is not None:
                client.close()
            else:
                _socket.close(fd)  # not even a socket object could be made of it
            self._ended()
            self._room_made()
