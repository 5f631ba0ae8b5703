"""Serve connections as gunicorn's gevent worker does, with what differs alike in server mode and script mode.

* A connection that a drain cuts during a request has not failed: gunicorn would write a traceback and an error page for
  each one whose request was not read to its end.  One line of the drain's says how many there were.
* A request whose application did not read all of its body is answered, where gunicorn resets the client.
* Streams end when their clients have left (:mod:`~nodecluster_compat.gevent_runtime.client_gone`).
* Under test an error page says whose it is.
* Connections and requests are counted (:mod:`metering`).
* A request that takes too long is ended (:mod:`~nodecluster_compat.gevent_runtime.late_greenlets`).
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property, partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from gevent import GreenletExit, getcurrent
from gunicorn.workers.ggevent import GeventWorker

from ... import under_test
from ...base.this_request import add_finder, add_limiter
from ...errors import TimeLimitExceeded
from ...gevent_runtime.client_gone import client_watch
from ...gevent_runtime.late_greenlets import LateGreenlets
from ...gevent_runtime.lingering import linger
from ...operations.metrics.request_meter import NO_SLOT
from .late_answers import answer_late, asks_for_upgrade, is_event_stream, refuse_stream, tell_late
from .metering import Metering, address_text
from .unread_body import is_unread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ..gunicorn_types import PlainRequest, RequestWait
    from .clean_connection import CleanConnection
    from .clean_loop import CleanLoop
    from .served_listener import AnyListener

__all__ = ["HttpWorker"]


class HttpWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no type hints
    """gunicorn's gevent worker, as far as it serves connections.

    Attributes:
        clean_loop: serves the requests about which there is nothing to decide, where the settings allow it.
        request_wait: the context manager in which gunicorn waits for a request, once it is known.
        limits: ends the requests that take too long.
    """

    clean_loop: CleanLoop | None = None
    request_wait: RequestWait | None = None
    limits: LateGreenlets | None = None

    @cached_property
    def metering(self) -> Metering:
        """Counts connections and requests; made where they are served, after the fork."""
        return Metering()

    def limit_requests(self, seconds: float, serving: Mapping[Any, Any]) -> None:
        """End requests that take too long, from now on.

        Args:
            seconds: that a request may take which has said nothing; 0 for no limit.
            serving: the sockets of the connections, by greenlet.
        """
        metering = self.metering
        tell = tell_late(self.log, metering.meter)
        self.limits = LateGreenlets(seconds, metering.meter, serving, metering.slots, _is_meant_to_last, tell)
        add_limiter(self.limits.limit)
        self._sockets = serving
        add_finder(self.request_id)

    def request_id(self) -> str | None:
        """Return the id of the request that the current greenlet serves, if it has begun before anybody could ask."""
        return getattr(self._sockets.get(getcurrent()), "request_id", None)

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
        connection = loop.connect(listener, client, addr, slot, is_known=slot != NO_SLOT or not self.has_usual_limit)
        if not loop.begins(client) or connection.serve():
            self.hand_over(connection, listener, client, addr)

    def hand_over(
        self,
        connection: CleanConnection,
        listener: AnyListener,
        client: Any,  # noqa: ANN401 - a socket
        addr: object,
    ) -> None:
        """Let gunicorn go on with a connection."""
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
        serve = partial(self._serve_in_time, listener_name, req, sock, addr)
        try:
            self.metering.serve(req, sock, sock, serve)
        except (StopIteration, TimeLimitExceeded):  # the connection is to be closed
            if is_unread(req):
                linger(sock)
            raise StopIteration from None
        finally:
            client_watch.remove(sock)

    @property
    def has_usual_limit(self) -> bool:
        """Whether requests have a limit without having said anything."""
        return self.limits is not None and self.limits.has_usual

    def _serve_in_time(self, listener_name: object, req: PlainRequest, sock: object, addr: object) -> None:
        started = getattr(req, "started", None) or monotonic()  # in the loop of clean requests, or here
        with self._limited(req, sock, addr):
            try:
                self.serve_request(listener_name, req, sock, addr)
            except TimeLimitExceeded:
                if not self._has_begun(sock):
                    answer_late(self.cfg, self.log, req, sock, addr, started)
                raise

    @contextmanager
    def _limited(self, req: PlainRequest, sock: object, addr: object) -> Iterator[None]:
        """Within it a request has the usual limit, although its connection has no slot, or none if it asks for more."""
        limits = self.limits
        if limits is None or not limits.has_usual:
            yield
            return
        if self.metering.slots.get(sock) == NO_SLOT:
            limits.begin_without_slot(sock, f"{req.method} {req.path}", address_text(addr))
        if asks_for_upgrade(req.headers):
            limits.limit(0)
        try:
            yield
        finally:
            limits.end_without_slot(sock)

    def _has_begun(self, sock: object) -> bool:
        """Whether something of the answer was sent; asked while it is served."""
        return bool(getattr(self.metering.responses.get(sock), "headers_sent", False))

    def serve_request(self, *args: object) -> None:
        """Call the application and answer, as gunicorn's gevent worker does: a request that exits ends alone."""
        super().handle_request(*args)

    def handle_http2(self, listener: AnyListener, client: Any, *rest: object, **more: object) -> None:  # noqa: ANN401 - a socket
        """Extends gunicorn's, from 25 on: clients say more than is read, and a close would lose the last answer."""
        super().handle_http2(listener, client, *rest, **more)
        linger(client)

    def handle_http2_request(self, listener_name: object, req: PlainRequest, sock: object, *rest: object) -> None:
        """Extends gunicorn's, from 25 on: as :meth:`handle_request`."""
        serve = partial(super().handle_http2_request, listener_name, req, sock, *rest)
        try:
            self.metering.serve(req, sock, sock, partial(self._serve_stream_in_time, serve, req, sock, *rest))
        except TimeLimitExceeded:
            pass  # it was answered
        finally:
            client_watch.remove(sock)

    def _serve_stream_in_time(
        self,
        serve: Callable[[], None],
        req: PlainRequest,
        sock: object,
        addr: object,
        connection: Any,  # noqa: ANN401 - gunicorn's
    ) -> None:
        with self._limited(req, sock, addr):
            try:
                serve()
            except TimeLimitExceeded:
                refuse_stream(connection, req.stream.stream_id, is_begun=self._has_begun(sock))
                raise

    def handle_error(self, req: PlainRequest | None, client: object, addr: object, exc: BaseException) -> None:
        """Extends gunicorn's: the end of a greenlet that was killed is no error."""
        if isinstance(exc, GreenletExit):
            self.log.debug("Closing a connection during a request: it was cut")
            return
        super().handle_error(req, under_test.mark(client), addr, exc)
        if req is None or is_unread(req):
            linger(client)


def _is_meant_to_last(sock: object) -> bool:
    """Whether what is sent to a client is a stream of events."""
    response = client_watch.response_to(sock)
    return response is not None and response.headers_sent and is_event_stream(response.headers)
