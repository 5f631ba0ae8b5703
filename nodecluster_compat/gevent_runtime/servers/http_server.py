"""Serve HTTP on a :class:`NetServer`: ``http.Server``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import gevent

from ...base.event_names import KnownEvents
from ...base.records import PeerAddress, ServedAddress
from .net_server import NetServer
from .server_socket import ServerSocket

if TYPE_CHECKING:
    from ..client_socket import ClientSocket

__all__ = ["HttpServer", "RequestHandler"]


class RequestHandler(Protocol):
    """Serves HTTP on a connection."""

    def serve(self, served: ServedAddress, client: ClientSocket, peer: PeerAddress) -> None:
        """Serve a connection to its end."""

    def close_idle(self) -> None:
        """Answer no request after those in flight."""

    def cut_idle(self) -> None:
        """End what waits for a request, at once."""

    def end_idle(self) -> None:
        """End what waits for a further request now, and go on."""


class HttpServer(NetServer):
    """A server of a WSGI application; events and methods are those of :class:`NetServer`.

    Args:
        make_handler: makes what serves; called for each ``listen()``, so that settings made before it count.
        options: of each connection; see :class:`NetServer`.
    """

    _known = KnownEvents(
        NetServer._known.counts,
        {
            **dict.fromkeys(
                ("request", "checkContinue", "checkExpectation"),
                "the WSGI application that http.create_server(app) is given answers every request",
            ),
            **dict.fromkeys(
                ("connect", "upgrade"),
                "a WSGI application gets the socket as environ['gunicorn.socket'] and takes over",
            ),
            **dict.fromkeys(("clientError", "timeout", "dropRequest"), "gunicorn answers such a client, and logs it"),
            "secureConnection": "write 'connection'; gunicorn's settings certfile and keyfile make it TLS",
        },
    )

    def __init__(self, make_handler: Callable[[], RequestHandler], options: Mapping[str, Any] | None = None) -> None:
        super().__init__(options)
        self._make_handler = make_handler
        self._requests: RequestHandler | None = None
        self._former: RequestHandler | None = None  # of connections from before close()
        self._address_served: ServedAddress | None = None

    def bound(self, sock: ServerSocket) -> None:
        """Extends :meth:`NetServer.bound`: requests are told the address of the listening socket."""
        self._address_served = ServedAddress(0, sock.family, sock.name)
        super().bound(sock)

    def inherited_fds(self) -> list[int]:
        """Extends :meth:`NetServer.inherited_fds`: a request is answered by the worker, also the one that forks."""
        here = self._served.here()
        return [*super().inherited_fds(), *([] if here is None else [here.fileno()])]

    def _handle(self, client: ClientSocket, peer: PeerAddress) -> None:
        if self._requests is None:
            self._requests = self._make_handler()
        if self._address_served is None:
            self._address_served = ServedAddress(0, client.family, client.getsockname())
        self._requests.serve(self._address_served, client, peer)

    def _stop(self) -> None:
        super()._stop()
        if self._requests is not None:
            self._requests.close_idle()
            self._former, self._requests = self._requests, None

    def close_idle_connections(self) -> None:
        """End connections on which no request is under way; the server goes on (Node: ``closeIdleConnections``)."""
        for requests in (self._former, self._requests):
            if requests is not None:
                requests.end_idle()

    def close_all_connections(self) -> None:
        """End all connections, whatever they are at (Node: ``closeAllConnections``)."""
        self.cut()

    def cut(self) -> int:
        """Extends :meth:`NetServer.cut`: an idle connection loses nothing, so it does not count."""
        for requests in (self._former, self._requests):
            if requests is not None:
                requests.close_idle()
                requests.cut_idle()
        gevent.sleep(0)
        return super().cut()
