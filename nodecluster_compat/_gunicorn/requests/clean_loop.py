"""Serve the clean requests of a connection, from its descriptor to the next request, without gunicorn's handle_request.

Theory of operation
-------------------
::

    handle ──▶ read ──▶ complete ──▶ application ──▶ write, close ──▶ read …        the loop
                │          │              └────── raised ──────┐
                │ not clean│ gunicorn's                        │
                ▼          ▼                                   ▼
    gunicorn: handle ──▶ next(parser) ──▶ handle_request ──▶ next(parser) ──▶ back in the loop

A connection is served by one :class:`CleanConnection`, which is also what gunicorn takes for its parser.  The loop runs
until something comes that :mod:`ways` gives to gunicorn.  Then gunicorn's ``handle`` begins with the connection as it
is: the bytes that were read are put back, and its parser goes on where the loop has stopped.  When gunicorn asks for
the next request, the loop is in that call again.  So nothing of ``handle`` is repeated here: errors, time-outs, HTTP/2
and the end of a connection are gunicorn's of whatever version.

What is raised while a request is served (by the application, by its iterable, by the socket) is not judged here
either.  The request is given to gunicorn's ``handle_request``, whose application raises it at once, so that what
becomes of it is gunicorn's: an answer, a line in a log, the end of the connection.

Through TLS, and where HTTP/2 without it is allowed, gunicorn's ``handle`` comes first and the loop runs within it.
"""

from __future__ import annotations

from datetime import timedelta
from io import BytesIO
from logging import DEBUG
from time import time
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from gunicorn.http import wsgi
from gunicorn.http.body import Body, LengthReader

from ...runtime.client_gone import client_watch
from ...runtime.client_socket import ClientSocket
from ...runtime.lingering import linger
from .body_reader import BodyReader
from .clean_requests import CleanReader, CleanRequest
from .environs import Environs
from .own_variables import own_variables
from .request_waits import WaitingParser, tell_waits
from .unread_body import is_unread
from .ways import Way, is_read_here, way_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...runtime.idle_limit import IdleLimit
    from ..gunicorn_types import Environ, GunicornLog, PlainRequest, RequestWait, Settings
    from .access_log import AccessLog
    from .metering import Metering
    from .responses import CleanResponse
    from .served_listener import AnyListener

__all__ = ["CleanConnection", "CleanLoop", "CleanWorker", "use_clean_loop"]


class CleanWorker(Protocol):
    """gunicorn's worker object, as the loop sees it."""

    cfg: Settings
    log: GunicornLog
    alive: bool
    nr: int
    max_requests: int
    wsgi: Callable[..., Any]

    @property
    def metering(self) -> Metering:
        """Counts its requests."""

    def is_already_handled(self, respiter: object) -> bool:
        """Whether the application has answered by itself; gunicorn's."""


class CleanLoop:
    """What the connections of one worker, or of one server in a script, have in common.

    Args:
        worker: whose application is called.
        environs: of this process.
        waits: is told of every wait for a request.
        access_log: of this process.

    Attributes:
        has_access_log: whether :meth:`log_access` is to be called.
    """

    def __init__(self, worker: CleanWorker, environs: Environs, waits: IdleLimit, access_log: AccessLog) -> None:
        self.worker = worker
        self.environs = environs
        self.waits = waits
        self.reader = CleanReader(worker.cfg)
        self.meter = worker.metering.meter
        self.has_access_log = access_log.is_on
        self._access_log = access_log
        self._serves = way_of(worker.cfg, worker.log, worker) is Way.LOOP
        self._begins = not worker.cfg.is_ssl and getattr(worker.cfg, "http2_cleartext", "off") == "off"

    def connect(
        self,
        listener: AnyListener,
        client: Any,  # noqa: ANN401 - a socket of any kind
        peer: object,
        slot: int,
        *,
        is_known: bool = True,
    ) -> CleanConnection:
        """Return what serves a connection; ``slot`` is that of its meter, by which it is known what is in flight."""
        serves = self._serves and is_known and not self.worker.log.error_log.isEnabledFor(DEBUG)
        return CleanConnection(self, listener.getsockname(), client, peer, slot, serves)

    def begins(self, client: object) -> bool:
        """Whether a connection begins in the loop, not in gunicorn's ``handle``."""
        return self._begins and type(client) is ClientSocket

    def log_access(self, response: CleanResponse, request: CleanRequest, environ: Environ, started: float) -> None:
        """Write the line about a request into the access log.

        Args:
            response: as far as it got.
            request: that it answers.
            environ: as the application has left it.
            started: when the request was read, as ``time.time()`` has it.
        """
        line = environ, response.status, response.headers, response.sent, request.headers, started
        if not self._access_log.line(*line):
            self.worker.log.access(response, request, environ, timedelta(seconds=time() - started))


class CleanConnection(WaitingParser):
    """The requests of one connection: clean ones are served here, the others are what gunicorn gets of its parser.

    Attributes:
        no_body: the body of every clean request of this connection that has none.
    """

    mesg: Any
    _base: Environ | None = None
    _left: PlainRequest | BaseException | None = None  # for gunicorn: a request to serve, or what the loop has raised
    _has_left = False

    def __init__(
        self,
        loop: CleanLoop,
        server: object,
        client: Any,  # noqa: ANN401 - a socket
        peer: object,
        slot: int,
        serves: bool,
    ) -> None:
        super().__init__(loop.worker.cfg, client, peer)
        self.no_body = Body(LengthReader(self.unreader, 0))
        self.waits = loop.waits
        self._loop = loop
        self._server = server
        self._source = client
        self._slot = slot
        self._serves = serves

    def serve(self) -> bool:
        """Serve its requests from the first one on.

        Returns:
            Whether gunicorn is to go on with the connection; otherwise it has come to its end.
        """
        self._source.setblocking(True)  # as gunicorn's ``handle``
        try:
            with self.waits.noted_inside:
                self._left = self._serve_clean()
                self._has_left = True
        except StopIteration:
            pass
        except BaseException as error:  # noqa: BLE001 - gunicorn's to judge
            self._left = error
            self._has_left = True
        if not self._has_left:
            self.forget()  # its greenlet serves others, which nothing may end
        return self._has_left

    def hand_over(self) -> None:
        """Let gunicorn's ``handle``, which is called next, go on with the connection."""
        self.begun[self._source] = self

    def taken_back(self) -> None:
        """Nobody is to go on with it any more: gunicorn is done, or has not come to ask for it."""
        self.begun.pop(self._source, None)
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

    def _serve_clean(self) -> PlainRequest | None:
        """Serve clean requests until one is gunicorn's to serve; ``None``: the next one is gunicorn's to read.

        Raises:
            StopIteration: the connection has come to its end.
        """
        if self.mesg is not None and self.mesg.should_close():
            raise StopIteration
        while True:
            request = self._read()
            if request is None:
                return None
            self.mesg = request
            created = self._completed(request) if self._serves else None
            if created is None or not self._answer(request, *created):
                return request

    # --- reading -------------------------------------------------------------------------------

    def _read(self) -> CleanRequest | None:
        """Return the next request; ``None``: it is not clean, and what has come of it is put back."""
        if self.mesg is not None:
            if self.waits.is_over:
                raise StopIteration
            if self.mesg.body is not self.no_body:
                self._finish_body()
        data = self._receive()
        if not data:
            raise StopIteration
        if self._passage is not None:
            end, hint = data.find(b"\n"), self._hint
            if end < 0 or hint is None or data.find(hint, 0, end) >= 0:
                data = self.routed(self._passage, data, is_reused=self.req_count > 0)
        if self._base is None:
            self._base = self._loop.environs.base(self._source, self.source_addr, self._server)
        read = self._loop.reader.read(data, self._base or {}, self.source_addr)
        if read is None:
            self.began()
            self.unreader.unread(data)
            return None
        self.forget()
        request, rest = read
        if rest:
            self.unreader.buf = BytesIO(rest)  # as unread(), where nothing is held: without a copy
        self.req_count += 1
        request.req_number = self.req_count
        request.unreader = self.unreader
        request.peer_addr = request.remote_addr = self.source_addr
        request.body = Body(BodyReader(self.unreader, request.length)) if request.length else self.no_body
        return request

    def _finish_body(self) -> None:
        """Throw away what the application has not read of the last body."""
        if is_unread(self.mesg) or getattr(self.mesg.body, "failed", False):
            self.note()
            if self.finish_body() is False:
                raise StopIteration

    def _receive(self) -> bytes:
        """Return what has come, or comes first; nothing at the end of the connection."""
        data: bytes | None
        if self.unreader.buf.getvalue():
            data = self.unreader.read()
            return data
        client = self._client
        if client is not None and not self.req_count:
            data = client.recv_ready(self.unreader.mxchunk)
            if data is not None:
                return data
        self.note()
        if client is None:
            data = self.unreader.read()
            return data
        data = None
        while data is None:
            client.wait_readable()
            data = client.recv_ready(self.unreader.mxchunk)
        return data

    # --- answering -----------------------------------------------------------------------------

    def _completed(self, request: CleanRequest) -> tuple[CleanResponse, Environ] | None:
        """Return the response and the environ of a request; ``None``: gunicorn is to serve it."""
        worker = self._loop.worker
        if not worker.alive or worker.nr + 1 >= worker.max_requests:
            return None
        return self._loop.environs.complete(request, self._source, self._server)

    def _answer(self, request: CleanRequest, response: CleanResponse, environ: Environ) -> bool:
        """Call the application and send its answer.

        Returns:
            Whether that has come to its end; otherwise something was raised.
        """
        worker, meter = self._loop.worker, self._loop.meter
        request.started = meter.begin(self._slot, request.line)
        worker.nr += 1
        try:
            is_last = self._respond(request, response, environ)
        except BaseException as error:  # noqa: BLE001 - gunicorn's to judge
            worker.nr -= 1  # gunicorn counts it again
            response.raised = error
            request.created = response, environ
            return False
        meter.end(self._slot, request.started, request.method, response.status, response.sent)
        client_watch.remove(self._source)
        if is_last:
            if is_unread(request):
                linger(self._source)
            raise StopIteration
        return True

    def _respond(self, request: CleanRequest, response: CleanResponse, environ: Environ) -> bool:
        """As gunicorn's ``handle_request``; return whether it is the last answer of the connection."""
        loop = self._loop
        worker = loop.worker
        started = time() if loop.has_access_log else 0.0
        if not self._is_timed:
            response.force_close()
        body = worker.wsgi(environ, response.start_response)
        if type(body) is not list and worker.is_already_handled(body):
            return bool(request.should_close())
        try:
            if isinstance(body, environ["wsgi.file_wrapper"]):
                response.write_file(body)
            else:
                for piece in body:
                    response.write(piece)
            response.close()
        finally:
            if loop.has_access_log:
                loop.log_access(response, request, environ, started)
            if hasattr(body, "close"):
                body.close()
        if response.is_last is None or response.must_close:
            return bool(response.should_close())
        return response.is_last


class _ThisProcess:
    environs: ClassVar[Environs | None] = None


def use_clean_loop(
    worker: CleanWorker, waits: IdleLimit, access_log: AccessLog
) -> tuple[CleanLoop | None, RequestWait]:
    """Serve clean requests in the loop from now on, in this process, if the settings allow it.

    Args:
        worker: whose application is called.
        waits: is told of every wait for a request, whoever serves it.
        access_log: of this process.

    Returns:
        The loop, and the context manager in which gunicorn is to wait for a request.
    """
    wait = tell_waits(worker.cfg, waits)
    if not is_read_here(worker.cfg):
        return None, wait
    if _ThisProcess.environs is None:
        _ThisProcess.environs = Environs(worker.cfg, wsgi.create, own_variables())
        wsgi.create = _ThisProcess.environs.create
    return CleanLoop(worker, _ThisProcess.environs, waits, access_log), wait
