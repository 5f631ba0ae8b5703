"""Serve connections as gunicorn's gevent worker does, with what differs alike in server mode and script mode.

* A connection that a drain cuts amid a request has not failed: gunicorn would write a traceback and an error page for
  each one whose request was not read to its end.  One line of the drain's says how many there were.
* A request whose application did not read all of its body is answered, where gunicorn resets the client.
* Streams end when their clients have left (:mod:`~nodecluster_compat.runtime.client_gone`).
* Under test an error page says whose it is.
* Connections and requests are counted (:mod:`metering`).
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from gevent import GreenletExit, getcurrent
from gunicorn.workers.ggevent import GeventWorker

from ... import under_test
from ...runtime.client_gone import client_watch
from ...runtime.lingering import linger
from .metering import Metering
from .unread_body import is_unread

if TYPE_CHECKING:
    from ..gunicorn_types import PlainRequest, RequestWait
    from .clean_loop import CleanLoop
    from .served_listener import AnyListener

__all__ = ["HttpWorker"]


class HttpWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no type hints
    """gunicorn's gevent worker, as far as it serves connections.

    Attributes:
        clean_loop: serves the requests about which there is nothing to decide, where the settings allow it.
        request_wait: the context manager in which gunicorn waits for a request, once it is known.
    """

    clean_loop: CleanLoop | None = None
    request_wait: RequestWait | None = None

    @cached_property
    def metering(self) -> Metering:
        """Counts connections and requests; made where they are served, behind the fork."""
        return Metering()

    def handle(self, listener: AnyListener, client: Any, addr: object) -> None:  # noqa: ANN401 - a socket
        """Extends gunicorn's: the connection is counted, and its clean requests are served in the loop."""
        slot = self.metering.open(client, addr, id(getcurrent()))
        try:
            if self.clean_loop is None:
                super().handle(listener, client, addr)
            else:
                self._handle_in_loop(self.clean_loop, slot, listener, client, addr)
        finally:
            self.metering.close(client)

    def _handle_in_loop(
        self,
        loop: CleanLoop,
        slot: int,
        listener: AnyListener,
        client: Any,  # noqa: ANN401 - a socket
        addr: object,
    ) -> None:
        connection = loop.connect(listener, client, addr, slot)
        if loop.begins(client) and not connection.serve():
            return
        connection.hand_over()
        try:
            super().handle(listener, client, addr)
        finally:
            connection.taken_back()

    def timeout_ctx(self) -> RequestWait:
        """Replaces gunicorn's, which makes a timer for each wait."""
        return self.request_wait or super().timeout_ctx()

    def handle_request(self, listener_name: object, req: PlainRequest, sock: object, addr: object) -> None:
        """Extends gunicorn's: nobody is interested any more in whether the client leaves."""
        try:
            self.metering.serve(req, sock, sock, partial(self.serve_request, listener_name, req, sock, addr))
        except StopIteration:  # the connection is to be closed
            if is_unread(req):
                linger(sock)
            raise
        finally:
            client_watch.remove(sock)

    def serve_request(self, *args: object) -> None:
        """Call the application and answer, as gunicorn's gevent worker does: a request that exits ends alone."""
        super().handle_request(*args)

    def handle_http2_request(self, listener_name: object, req: PlainRequest, sock: object, *rest: object) -> None:
        """Extends gunicorn's, from 25 on: as :meth:`handle_request`."""
        try:
            serve = partial(super().handle_http2_request, listener_name, req, sock, *rest)
            self.metering.serve(req, sock, sock, serve)
        finally:
            client_watch.remove(sock)

    def handle_error(self, req: PlainRequest | None, client: object, addr: object, exc: BaseException) -> None:
        """Extends gunicorn's: the end of a greenlet that was killed is no error."""
        if isinstance(exc, GreenletExit):
            self.log.debug("Closing a connection amid a request: it was cut")
            return
        super().handle_error(req, under_test.mark(client), addr, exc)
        if req is None or is_unread(req):
            linger(client)
