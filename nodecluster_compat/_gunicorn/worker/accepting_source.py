"""Accept connections in the worker itself, as stock gunicorn's gevent worker: ``SCHED_NONE``, the kernel chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from gevent import getcurrent
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.sock import ssl_context

from ...machine.forked_child import keep_from_children
from ..requests.served_listener import AnyListener

if TYPE_CHECKING:
    from .connection_source import ServingWorker
    from .membership import Membership

__all__ = ["AcceptingSource"]


class InheritedSocket(AnyListener, Protocol):
    """gunicorn's object around a listening socket, of which this process has the descriptor."""

    def setblocking(self, flag: bool) -> None:
        """Let its calls wait, or not."""

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""


class AcceptingSource:
    """See :class:`~nodecluster_compat._gunicorn.worker.connection_source.ConnectionSource`.

    Args:
        worker: serves a connection.
        membership: its place in the cluster.
        listeners: gunicorn's socket objects, which this process has inherited.
        serving: the sockets of the connections by greenlet.
        ended: called in the greenlet of a connection that has ended.
    """

    def __init__(
        self,
        worker: ServingWorker,
        membership: Membership,
        listeners: Sequence[InheritedSocket],
        serving: dict[Any, Any],
        ended: Callable[[], None],
    ) -> None:
        self._worker = worker
        self._membership = membership
        self._listeners = listeners
        self._serving = serving
        self._ended = ended
        self._servers: list[StreamServer] = []
        keep_from_children(self)

    def begin(self) -> None:
        """Accept from now on."""
        self._servers = [self._server(listener) for listener in self._listeners]
        for server, listener in zip(self._servers, self._listeners, strict=True):
            server.start()
            self._membership.listens(0, listener)

    def turn(self) -> None:
        """Nothing is to be seen to: the kernel knows whether there is room."""

    def stop(self) -> None:
        """Accept no more."""
        for server in self._servers:
            server.close()

    def has_left(self) -> bool:
        """Whether no further connection can come: at once."""
        return True

    def inherited_fds(self) -> list[int]:
        """See :class:`~nodecluster_compat.machine.forked_child.Inherited`."""
        clients = [client for client in self._serving.values() if client is not None]
        return [sock.fileno() for sock in (*clients, *self._listeners)]

    def _server(self, listener: InheritedSocket) -> StreamServer:
        listener.setblocking(True)
        cfg = self._worker.cfg
        tls = {"ssl_context": ssl_context(cfg)} if cfg.is_ssl else {}
        serve = partial(self._serve, listener)
        server = StreamServer(listener, handle=serve, spawn=Pool(self._worker.worker_connections), **tls)
        if cfg.workers > 1:
            server.max_accept = 1
        return server

    def _serve(self, listener: InheritedSocket, client: object, peer: object) -> None:
        self._serving[getcurrent()] = client
        try:
            self._worker.handle(listener, client, peer)
        finally:
            self._ended()
