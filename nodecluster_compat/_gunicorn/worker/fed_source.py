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
from ...base.native import Choice, in_force
from ...gevent_runtime.client_socket import ClientSocket
from ...gevent_runtime.greenlet_pool import GreenletPool
from ...gevent_runtime.reactor import GeventReactor
from ...machine.forked_child import keep_from_children

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
        choice: C or Python; what is in force unless it is said.
    """

    def __init__(
        self,
        worker: ServingWorker,
        feed: Feed,
        serving: dict[Any, Any],
        ended: Callable[[], None],
        handshake_timeout: float,
        choice: Choice | None = None,
    ) -> None:
        self._worker = worker
        self._feed = feed
        self._listeners = feed.listeners
        self._serving = serving
        self._ended = ended
        self._handshake_timeout = handshake_timeout
        self._tls: ssl.SSLContext | None = ssl_context(worker.cfg) if worker.cfg.is_ssl else None
        self._room_made: Callable[[], None]
        self._choice = in_force() if choice is None else choice
        keep_from_children(self)

    def begin(self) -> None:
        """Take connections from now on."""
        feeding = self._feeding_in_c()
        serve, take, has_room = (
            (self._serve, self._take, self._has_room)
            if feeding is None
            else (feeding.serve, feeding.take, feeding.has_room)
        )
        self._greenlets = GreenletPool(serve, self._choice)
        if feeding is not None:
            feeding.greenlets = self._greenlets.in_c
        self._feed.begin(GeventReactor(), take, has_room)
        self._room_made = self._feed.room_made
        self._worker.notify()  # gunicorn's timeout counts from the first sign of life
        self._feed.announce()
        under_test.reach("listening")

    def _feeding_in_c(self) -> Any:  # noqa: ANN401 - of C
        """Return what serves most connections in C; ``None`` where something has to be done about each of them."""
        worker, native = self._worker, self._choice.module
        loop = worker.clean_loop
        if native is None or loop is None or not loop.begins_in_c or self._tls or self._feed.routes is not None:
            return None
        return native.Feeding(
            source=self,
            worker=worker,
            serving=self._serving,
            listeners={
                number: (one, one.getsockname(), (one.family, sockets.SOCK_STREAM, 0))
                for number, one in self._listeners.items()
            },
            current=getcurrent,
            loop=loop,
            kind=loop.kind,
            turns=loop.turns,
            metering=worker.metering,
            error_log=worker.log.error_log,
            has_limit=worker.has_usual_limit,
        )

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
        handed = None if memory < 0 else self._feed.handed(fd, memory)
        if handed is None and memory >= 0:
            return
        try:
            job = (self._listeners[listener_id], fd, *(() if handed is None else (handed,)))
            waiting = self._greenlets.start_at_once(*job)
        except MemoryError:  # it has not begun
            _socket.close(fd)
            raise
        if waiting is not None:
            self._serving[waiting] = None

    def _serve(self, listener: ServedListener, fd: int, handed: Handed | None = None) -> None:
        """In a greenlet of its own: serve one connection to its end."""
        client: Any = None
        is_served = False
        try:
            client = ClientSocket(
                listener.family if handed is None else handed.family, sockets.SOCK_STREAM, 0, fileno=fd
            )
            peer = client.getpeername() if handed is None else handed.address(client)
            tls = self._tls if handed is None else None
            if tls is not None:
                client = tls.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
            self._serving[getcurrent()] = client  # before it waits: a request may fork meanwhile
            if tls is not None:
                self._shake_hands(client)
            if handed is not None or self._feed.routes is not None:
                client.passage = self._feed.passage(listener.number, peer, handed)
            is_served = True
            self._worker.handle(listener, client, peer)
        except OSError as error:
            self._failed(error)
        finally:
            if not is_served:
                self._worker.metering.count_failed()
            try:
                if client is not None:
                    client.close()
                else:
                    _socket.close(fd)  # not even a socket object could be made of it
            finally:
                self._ended()
                self._room_made()

    def _shake_hands(self, client: Any) -> None:  # noqa: ANN401 - gevent has no type hints here
        with Timeout(self._handshake_timeout or None, TimeoutError("no TLS handshake in time")):
            client.do_handshake()

    def _failed(self, error: OSError) -> None:
        """It is gone before it was served, or it does not speak TLS: there is nobody to answer."""
        self._worker.log.debug("Closing a connection before its first request: %s", error)
