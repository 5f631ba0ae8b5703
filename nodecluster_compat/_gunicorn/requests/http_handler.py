"""Serve HTTP on the connections of an ``http.Server``: gunicorn's gevent worker as nothing but a handler.

One for each server: its application, whether it is still open, and which of its connections wait for a next request.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gevent import GreenletExit, Timeout, get_hub, getcurrent
from gunicorn.sock import ssl_context
from gunicorn.workers.base_async import AsyncWorker

from ... import under_test
from ...base.records import PeerAddress, ServedAddress
from ...gevent_runtime.idle_limit import IdleLimit
from .clean_loop import use_clean_loop
from .http_worker import HttpWorker
from .request_ids import with_request_ids
from .request_waits import knows_idle
from .responses import AnsweredApplication
from .served_listener import ServedListener

if TYPE_CHECKING:
    from ssl import SSLSocket

    from ...gevent_runtime.client_socket import ClientSocket
    from ..gunicorn_types import GunicornLog, PlainRequest, Settings
    from .access_log import AccessLog

__all__ = ["HttpHandler"]


_ENDS: Final = (SystemExit, KeyboardInterrupt)  # what signals and ``sys.exit()`` raise, during a request as anywhere


class HttpHandler(HttpWorker):
    """Serves connections of one server.

    Args:
        application: any WSGI callable.
        cfg: gunicorn's settings.
        log: gunicorn's logger.
        waits: of all servers of this process.
        access_log: of this process.
        handshake_timeout: seconds that a TLS handshake may take; 0 for no limit.
        request_timeout: seconds that a request may take; 0 for no limit.
        request_id_header: has the id of a request; ``None``: they have none.
    """

    def __init__(
        self,
        application: Callable[..., Any],
        cfg: Settings,
        log: GunicornLog,
        waits: IdleLimit,
        access_log: AccessLog,
        handshake_timeout: float,
        request_timeout: float = 0.0,
        request_id_header: str | None = None,
    ) -> None:
        # Not gunicorn's: there is no process, no heartbeat and no signal here.
        self.cfg = cfg
        self.log = log
        self.wsgi = AnsweredApplication(with_request_ids(under_test.wrap(application), cfg, request_id_header), self)
        self.alive = True
        self.ends_connections = False
        self.nr = 0
        self.max_requests = sys.maxsize
        self.worker_connections = cfg.worker_connections
        self._tls = ssl_context(cfg) if cfg.is_ssl else None
        self._clients: dict[Any, Any] = {}
        self._waits = waits
        self.clean_loop, self.request_wait = use_clean_loop(self, waits, access_log)
        self._handshake_timeout = handshake_timeout
        self.limit_requests(request_timeout, self._clients)

    def serve(self, served: ServedAddress, client: ClientSocket, peer: PeerAddress) -> None:
        """Serve a connection to its end, in the greenlet of the caller."""
        connection: ClientSocket | SSLSocket = client
        if self._tls is not None:
            with Timeout(self._handshake_timeout or None, TimeoutError("no TLS handshake in time")):
                connection = self._tls.wrap_socket(client, server_side=True)
        greenlet = getcurrent()
        self._clients[greenlet] = self._waits.clients[greenlet] = connection
        try:
            self.handle(ServedListener(served, self.cfg), connection, peer)
        finally:
            del self._clients[greenlet], self._waits.clients[greenlet]
            connection.close()

    def close_idle(self) -> None:
        """Answer no request after those in flight: connections that wait for a further one end now (Node since 19)."""
        self.alive = False
        self.ends_connections = True
        if knows_idle(self.cfg):
            self._waits.finish(self._clients)

    def end_idle(self) -> None:
        """Connections that wait for a further request now end; new ones are served as ever."""
        if knows_idle(self.cfg):
            self._waits.end_idle(self._clients)

    def cut_idle(self) -> None:
        """Connections that wait for a further request end now, however short they have waited."""
        self._waits.finish_now()

    def serve_request(self, *args: object) -> None:
        """Replaces gunicorn's, which swallows ``sys.exit()``: in a script that ends the process, also during a request.

        Where a part of the answer has gone, gunicorn makes an end of the connection out of it.
        """
        with suppress(GreenletExit):
            try:
                AsyncWorker.handle_request(self, *args)
            except StopIteration as end:
                if isinstance(end.__context__, _ENDS):
                    self._end_process(end.__context__)
                raise

    def handle_error(self, req: PlainRequest | None, client: object, addr: object, exc: BaseException) -> None:
        """Extends server mode's: a request may end the process."""
        if isinstance(exc, _ENDS):
            self._end_process(exc)
        else:
            super().handle_error(req, client, addr, exc)

    def _end_process(self, why: BaseException) -> None:
        """Raise it where the loop of this process turns."""
        get_hub().handle_error(self, type(why), why, why.__traceback__)
