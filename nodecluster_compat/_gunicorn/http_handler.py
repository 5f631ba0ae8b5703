"""gunicorn's gevent worker as nothing but a handler of HTTP connections: what ``http.Server`` serves with.

One for each server: its application, whether it is still open, and which of its connections wait for a next request.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

from gevent import Timeout, getcurrent
from gunicorn.sock import ssl_context
from gunicorn.workers.ggevent import GeventWorker

from .. import test_mode
from ..records import PeerAddress, ServedAddress
from . import serving
from .served_listener import ServedListener

__all__ = ["HttpHandler"]


class HttpHandler(GeventWorker):  # type: ignore[misc]  # gunicorn has no type hints
    """Serves connections of one server.

    Args:
        application: any WSGI callable.
        cfg: gunicorn's settings.
        log: gunicorn's logger.
    """

    def __init__(self, application: Callable[..., Any], cfg: Any, log: Any) -> None:
        # Not gunicorn's: there is no process, no heartbeat and no signal here.
        self.cfg = cfg
        self.log = log
        self.wsgi = serving.with_one_send(test_mode.wrap(application))
        self.alive = True
        self.nr = 0
        self.max_requests = sys.maxsize
        self.worker_connections = cfg.worker_connections
        self._tls = ssl_context(cfg) if cfg.is_ssl else None
        self._clients: dict[Any, Any] = {}
        self._idle: set[Any] = set()

    def serve(self, served: ServedAddress, client: Any, peer: PeerAddress) -> None:
        """Serve a connection to its end, in the greenlet of the caller."""
        if self._tls is not None:
            client = self._tls.wrap_socket(client, server_side=True)
        greenlet = getcurrent()
        self._clients[greenlet] = client
        try:
            self.handle(ServedListener(served, self.cfg), client, peer)
        finally:
            del self._clients[greenlet]
            client.close()

    def close_idle(self) -> None:
        """Answer no request after those in flight: connections that wait for one end now (Node since 19)."""
        self.alive = False
        for greenlet in list(self._idle):
            # It reads end-of-file; killing it would make gunicorn answer with an error.
            with contextlib.suppress(OSError):
                self._clients[greenlet].shutdown(socket.SHUT_RD)

    @contextlib.contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Replaces gunicorn's, which does the same and does not know who is in it."""
        greenlet = getcurrent()
        self._idle.add(greenlet)
        try:
            with Timeout(self.cfg.keepalive, False):
                yield
        finally:
            self._idle.discard(greenlet)
