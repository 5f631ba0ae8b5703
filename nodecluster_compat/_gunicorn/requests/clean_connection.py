"""Serve the requests of one connection, from its descriptor to the next request, without gunicorn's handle_request.

Theory of operation
-------------------
::

    handle ──▶ read ──▶ complete ──▶ application ──▶ write, close ──▶ read …        the loop
                │          │              └────── raised ──────┐
                │ not clean│ gunicorn's                        │
                ▼          ▼                                   ▼
    gunicorn: handle ──▶ next(parser) ──▶ handle_request ──▶ next(parser) ──▶ back in the loop

A connection is served by one :class:`CleanConnection`, which is also what gunicorn takes for its parser; what it
reads, and where that is kept, :mod:`reading_connection` has.  The loop runs until something comes that :mod:`ways`
gives to gunicorn.  Then gunicorn's ``handle`` begins with the connection as it is: the bytes that were read are put
back, and its parser goes on where the loop has stopped.  When gunicorn asks for the next request, the loop is in that
call again.  So nothing of ``handle`` is repeated here: errors, time-outs, HTTP/2 and the end of a connection are
gunicorn's of whatever version.

What is raised while a request is served (by the application, by its iterable, by the socket) is not judged here
either.  The request is given to gunicorn's ``handle_request``, whose application raises it at once, so that what
becomes of it is gunicorn's: an answer, a line in a log, the end of the connection.

With the C extension the first base of a connection is ``CleanTurn`` (``native/clean_turn.c``): it has the attributes,
and serves the requests that need nothing else; the methods here go on where it does not.

Through TLS, and where HTTP/2 without it is allowed, gunicorn's ``handle`` comes first and the loop runs within it.
"""

from __future__ import annotations

from datetime import timedelta
from time import time
from typing import TYPE_CHECKING, Any

from ...gevent_runtime.client_gone import KEY, ClientGone, client_watch
from ...gevent_runtime.lingering import linger
from ...machine.forked_child import end_if_child
from .reading_connection import ReadingConnection
from .unread_body import is_unread

if TYPE_CHECKING:
    from ..gunicorn_types import Environ, PlainRequest
    from .clean_request import CleanRequest
    from .responses import CleanResponse

__all__ = ["CleanConnection"]


class CleanConnection(ReadingConnection):
    """The requests of one connection: clean ones are served here, the others are what gunicorn gets of its parser."""

    _left: PlainRequest | BaseException | None = None  # for gunicorn: to serve, or raised in the loop
    _has_left = False

    def serve(self) -> bool:
        """Serve its requests from the first one on.

        Returns:
            Whether gunicorn is to go on with the connection; otherwise it has come to its end.
        """
        self._socket.timeout = None  # gunicorn's ``handle`` calls setblocking(True)
        return self.go_on()

    def go_on(self, data: Any = None) -> bool:  # noqa: ANN401 - as next_unserved()
        """Serve its requests, beginning with ``data`` if :meth:`next_unserved` has returned that already.

        Returns:
            As :meth:`serve`.
        """
        try:
            self._left = self._serve_clean(data)
        except BaseException as error:  # noqa: BLE001 - gunicorn's to judge
            return self.caught(error)
        return self._is_gunicorns()

    def caught(self, error: BaseException) -> bool:
        """Something was raised; returns as :meth:`serve`."""
        self._left = StopIteration() if self.waits.is_end(error) else error
        return self._is_gunicorns()

    def _is_gunicorns(self) -> bool:
        self._has_left = type(self._left) is not StopIteration
        if not self._has_left:
            self.forget()  # its greenlet serves others, which nothing may end
        return self._has_left

    def hand_over(self) -> None:
        """Let gunicorn's ``handle``, which is called next, go on with the connection."""
        self.begun[self._socket] = self

    def taken_back(self) -> None:
        """Nobody is to go on with it any more: gunicorn is done, or has not come to ask for it."""
        self.begun.pop(self._socket, None)
        self.forget()

    def __next__(self) -> PlainRequest:
        """Replaces gunicorn's: serve what is clean, and return the next request that gunicorn is to serve."""
        try:
            request, self._left = self._left if self._has_left else self._serve_clean(), None
            self._has_left = False
            if isinstance(request, BaseException):
                raise request
            if request is None:
                self.note()  # on a new connection, what there is of it came without a wait
                self.began()
                self.req_count += 1
                self.mesg = request = self.odd_request(self.cfg, self.unreader, self.source_addr, self.req_count)
        finally:
            self.forget()
        return request

    def _serve_clean(self, data: Any = None) -> PlainRequest | StopIteration | None:  # noqa: ANN401 - see next_unserved
        """Serve clean requests until something is gunicorn's.

        Args:
            data: what was received already, or is to be finished; ``None``: nothing.

        Returns:
            The request that is gunicorn's to serve, ``None`` for one that it is to read as well, ``StopIteration``
            at the end of the connection.
        """
        if data is None and self.mesg is not None and (self.mesg.should_close() or self.waits.is_over):
            return StopIteration()
        while True:
            if data is None:
                data = self.next_unserved()
            if not data:
                return StopIteration()
            if type(data) is not bytes:
                return self._shown(data)
            if self._passage is not None and self._may_be_anothers(data):
                data = self.routed(self._passage, data, is_reused=self.req_count > 0)
            if (read := self._read(data)) is None:
                return None
            request, environ = read
            response = self._begun(request, environ) if self._serves else None
            if response is None:
                request.environ = environ
                return self._shown(request)
            is_last = self._answer(request, response, environ)
            if is_last is None:
                return self._shown(request)
            if is_last or self.waits.is_over:
                return StopIteration()
            data = None

    # --- answering -----------------------------------------------------------------------------

    def _begun(self, request: CleanRequest, environ: Environ) -> CleanResponse | None:
        """Complete the environ of a request, and return its response; ``None``: gunicorn is to serve it."""
        common = self._common
        worker = common.worker
        if not worker.alive or worker.nr + 1 >= worker.max_requests:
            return None
        return common.environs.complete(request, environ, self._socket, self._server, common.response)

    def _answer(self, request: CleanRequest, response: CleanResponse, environ: Environ) -> bool | None:
        """Call the application and send its answer.

        Returns:
            Whether it is the last one of the connection; ``None``: something was raised.
        """
        worker, meter, method = self._common.worker, self._common.meter, environ["REQUEST_METHOD"]
        request.started = started = meter.begin(self._slot, request.line)
        worker.nr += 1
        try:
            self._respond(request, response, environ)
        except BaseException as error:  # noqa: BLE001 - gunicorn's to judge
            self._raised(error, request, response, environ)
            return None
        meter.end(self._slot, started, method, response.status, response.sent)
        if response.is_watched:
            self._unwatch()
        is_last = response.should_close() if response.is_last is None or response.must_close else response.is_last
        if is_last and request.length:
            self._let_finish(request)
        return is_last

    def _raised(self, error: BaseException, request: CleanRequest, response: CleanResponse, environ: Environ) -> None:
        """Something was raised while a request was served: gunicorn is to judge it."""
        end_if_child(error)
        self._common.worker.nr -= 1  # gunicorn counts it again
        response.raised = error
        request.created = response, environ

    def _unwatch(self) -> None:
        """Watch no more whether the client leaves."""
        client_watch.remove(self._socket)

    def _let_finish(self, request: CleanRequest) -> None:
        """Let the client finish what it may still be sending, before the connection is closed."""
        if is_unread(request):
            linger(self._socket)

    def _respond(self, request: CleanRequest, response: CleanResponse, environ: Environ) -> None:
        """As gunicorn's ``handle_request``."""
        started = time() if self._common.access_log is not None else 0.0
        if not self._is_timed:
            response.force_close()
        environ[KEY] = gone = ClientGone(response)
        body = self._application(environ, response.start_response)
        end_if_child()
        self._send(gone, body, request, response, environ, started)

    def _send(
        self,
        gone: ClientGone,
        body: Any,  # noqa: ANN401 - of the application
        request: CleanRequest,
        response: CleanResponse,
        environ: Environ,
        started: float,
    ) -> None:
        """Send what the application has returned, and log it."""
        common = self._common
        if type(body) is not list:
            response.stream = gone
            client_watch.add_stream(gone)
            if common.worker.is_already_handled(body):
                response.is_last = request.should_close()
                return
        try:
            if isinstance(body, environ["wsgi.file_wrapper"]):
                response.write_file(body)
            else:
                for piece in body:
                    response.write(piece)
            if response.chunked or not response.headers_sent:
                response.close()
        finally:
            self._finish(body, request, response, environ, started)

    def _fail(
        self,
        error: BaseException,
        body: Any,  # noqa: ANN401 - of the application
        request: CleanRequest,
        response: CleanResponse,
        environ: Environ,
        started: float,
    ) -> None:
        """Go on as :meth:`_send` does with what was raised while the twin in C sent a body."""
        try:
            raise error
        finally:
            self._finish(body, request, response, environ, started)

    def _finish(
        self,
        body: Any,  # noqa: ANN401 - of the application
        request: CleanRequest,
        response: CleanResponse,
        environ: Environ,
        started: float,
    ) -> None:
        """Log an answer whose body was sent, or has failed, and close the body."""
        self._log_answer(request, response, environ, started)
        if hasattr(body, "close"):
            body.close()

    def _log_answer(self, request: CleanRequest, response: CleanResponse, environ: Environ, started: float) -> None:
        """Write the line about a request into the access log, if there is one."""
        log = self._common.access_log
        if log is not None and not log.line(
            environ, response.status, response.headers, response.sent, request, started
        ):
            seconds = timedelta(seconds=time() - started)
            self._common.worker.log.access(response, self._shown(request), environ, seconds)
