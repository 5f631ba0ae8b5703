"""Serve one connection by gunicorn's ASGI protocol, and keep what was promised to its client.

gunicorn's protocol asks the worker whether it is alive: when it writes the head of a response, to announce
``Connection: close`` if not, and again when the response has ended.  In between the worker may have begun to leave
(``max_requests``, a reload), and a client that was promised another request is cut off with that request on its way.
So a connection does not see its worker but a :class:`SeenWorker`: one that is alive until the connection itself has
announced its end, and counts nothing by which a connection could end.

Connections of other protocols than HTTP/1 know when they end: HTTP/2 clients are told by GOAWAY which requests will be
served, and those of websockets by a close frame.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from gunicorn.asgi.protocol import ASGIProtocol

from ....asyncio_runtime.goodbye import wait_for_no_goodbye
from ....asyncio_runtime.last_frames import PING, KeptTransport, wait_until_read
from ....base.this_request import ID_KEY, SLOT_KEY, request_id
from ....machine.peeking import peek
from ....machine.unarrived import unarrived
from ...requests.own_variables import slot_text
from .metered import MeteredProtocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from ....asyncio_runtime.idle_connections import IdleConnections
    from ...gunicorn_types import GunicornLog, Settings
    from .late_requests import LateTasks

__all__ = ["FedProtocol", "SeenWorker", "ServingWorker", "use_fast_parser"]

# As in ``metered``: called by name.
_feed_callback_parser = ASGIProtocol._feed_callback_parser
_on_message_complete = ASGIProtocol._on_message_complete
_will_close = ASGIProtocol._will_close

_RESTART: Final = 1012  # RFC 6455's registry: service restart, come back
_NO_MORE_STREAMS: Final = b"\0\0\x08\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\0"
"""GOAWAY without an error and with the highest stream: open no further ones, those under way are served (RFC 9113
§6.8).  h2 itself could send nothing after its own GOAWAY."""
_GOAWAY_SECONDS: Final = 0.5  # until those that were opened before it arrived are here


class ServingWorker(Protocol):
    """gunicorn's worker object, as its connections need it."""

    cfg: Settings
    log: GunicornLog
    asgi: Any
    loop: Any
    state: dict[str, Any]
    limits: LateTasks

    def ends_connection(self) -> bool:
        """Whether the answer that begins now is the last one of its connection."""

    def count_request(self) -> None:
        """A request was served."""


class SeenWorker:
    """The worker as connections see it.

    Args:
        worker: the real one.
        alive: whether the connection may go on.
    """

    max_requests: Final = sys.maxsize

    def __init__(self, worker: ServingWorker, *, alive: bool) -> None:
        self.cfg, self.log, self.asgi, self.loop, self.state = (
            worker.cfg, worker.log, worker.asgi, worker.loop, worker.state,
        )  # fmt: skip
        self.alive = alive
        self.nr_conns = 0
        self.nr = 0  # counted by gunicorn, and of no account: the real worker is told of each request
        self.real = worker

    def let_go(self) -> None:
        """The process ends: refer to nothing of the application."""
        self.asgi, self.state = None, {}


def use_fast_parser() -> None:
    """Have gunicorn look for its C parser: found by a subclass, it would be lost on the subclass."""
    ASGIProtocol._check_h1c_protocol_available()


class FedProtocol(MeteredProtocol):
    """A connection that the primary has accepted.

    Args:
        alive: the worker, for as long as the connection goes on.
        ending: the worker, once the connection has announced its end.
        idle: the connections that wait for a further request.
        ended: called when the connection has ended, and what was run for it.

    Attributes:
        fd: of the connection; -1 while there is none.
    """

    worker: SeenWorker
    fd = -1
    _decided_for: object = None
    _ends_later = False  # while HTTP/2 is served: that closes it
    _has_part = True  # of a request; a connection that is new has just been made for one
    _pre_request: Callable[..., Any] | None
    _post_request: Callable[..., Any] | None

    def __init__(
        self,
        alive: SeenWorker,
        ending: SeenWorker,
        idle: IdleConnections,
        ended: Callable[[FedProtocol], None],
    ) -> None:
        super().__init__(alive, alive.real.limits, alive.real.count_request)
        self._ending = ending
        self._ends_connection = alive.real.ends_connection
        self._idle = idle
        self._ended = ended
        if self._pre_request is not None:
            self._pre_request = _with_real_worker(self._pre_request)
        if self._post_request is not None:
            self._post_request = _with_real_worker(self._post_request)

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - of any loop
        """Extends gunicorn's: the connection is counted."""
        self._meter.count_opened()
        super().connection_made(transport)

    # --- one request after another -------------------------------------------------------------

    def _will_close(self, request: object, response_requires_close: bool) -> bool:
        """Extends gunicorn's, called at the head of a response and perhaps again at its end: it is decided once."""
        if request is not self._decided_for:
            self._decided_for = request
            if self._ends_connection():
                self.worker = self._ending
        will_close: bool = _will_close(self, request, response_requires_close)
        return will_close

    def _feed_callback_parser(self, data: bytes) -> bool:
        """Extends gunicorn's: something of a request has come."""
        self._has_part = True
        goes_on: bool = _feed_callback_parser(self, data)
        return goes_on

    def _on_message_complete(self) -> None:
        """Extends gunicorn's: the whole of a request has come, and nothing of the next one."""
        self._has_part = False
        _on_message_complete(self)

    def _arm_keepalive_timer(self) -> None:
        """Replaces gunicorn's, which starts a timer for each request."""
        self._idle.note(self)

    def _cancel_keepalive_timer(self) -> None:
        """Replaces gunicorn's, as above."""
        self._idle.forget(self)

    def has_sent(self) -> bool:
        """Whether something of a request has come, or the end of the connection."""
        return self._has_part or self.fd < 0 or peek(self.fd, 1) is not None

    def end_wait(self) -> None:
        """Wait no longer for a further request."""
        self._keepalive_timeout()

    def _build_environ(self, *args: object) -> dict[str, Any]:
        """Extends gunicorn's, which makes what the access log reads."""
        return {**super()._build_environ(*args), **_of_request()}

    def _build_http2_environ(self, *args: object) -> dict[str, Any]:
        """Extends gunicorn's, as above."""
        return {**super()._build_http2_environ(*args), **_of_request()}

    # --- the end -------------------------------------------------------------------------------

    async def _handle_http2_connection(self, transport: Any, *args: object, **more: object) -> None:  # noqa: ANN401
        """Extends gunicorn's: the connection is closed when its client has read the last frames."""
        self._ends_later = True
        try:
            await super()._handle_http2_connection(KeptTransport(transport), *args, **more)
            await wait_until_read(self.reader, transport, self._maybe_resume_reading, self._unarrived)
        finally:
            self._ends_later = False
            self._close_transport()

    def _unarrived(self) -> int:
        return unarrived(self.fd)

    def _close_transport(self) -> None:
        """Extends gunicorn's: no client holds up a worker that leaves by saying no goodbye."""
        if self._ends_later:
            return
        super()._close_transport()
        if self._ends_connection():
            wait_for_no_goodbye(self, self.worker.loop.call_later)

    def connection_lost(self, exc: Exception | None) -> None:
        """Extends gunicorn's: what was run for the connection may take longer than the connection."""
        is_first = not self._conn_lost_handled
        self.fd = -1
        self._lose(exc)
        if self._request_ready is not None:
            self._request_ready.set()  # who waits for a request would be cancelled only after the grace period
        if is_first:
            self._meter.count_closed()
            if self._task is None or self._task.done():
                self._all_ended()
            else:
                self._task.add_done_callback(self._all_ended)

    def _lose(self, exc: Exception | None) -> None:
        super().connection_lost(exc)

    def _all_ended(self, _: object = None) -> None:
        """The connection has ended, and what was run for it."""
        self.leave_slot()
        self._callback_parser = None  # which refers to this, as the application does: nothing is left to the collector
        self.app = self._application
        self._ended(self)

    def begin_drain(self) -> None:
        """The worker leaves: clients of HTTP/2 are told now, others by their next answer.

        One that has not asked for anything yet has as long for that as one that was answered.
        """
        if self._closed:
            wait_for_no_goodbye(self, self.worker.loop.call_later)
        if self._keepalive and self._awaits_first_request():
            self._idle.note(self)
        h2 = getattr(self, "_h2_conn", None)
        if h2 is not None and not h2.is_closed:
            with suppress(OSError, RuntimeError):
                self.transport.write(_NO_MORE_STREAMS)
            self.worker.loop.call_later(_GOAWAY_SECONDS, self._end_streams)

    def _awaits_first_request(self) -> bool:
        return self.req_count == 1 and self._request_ready is not None and not self._request_ready.is_set()

    def _end_streams(self) -> None:
        self.worker = self._ending

    def end_if_idle(self) -> None:
        """The whole server ends: close a connection of HTTP/2 on which nothing is open."""
        h2 = getattr(self, "_h2_conn", None)
        if h2 is not None and not self._h2_tasks and not h2.streams:
            self._end_streams()
            self.worker.loop.create_task(self._end_http2(h2))

    async def _end_http2(self, h2: Any) -> None:  # noqa: ANN401 - gunicorn's
        await h2.close()
        if self.reader is not None and not self._conn_lost_handled:
            self.reader.feed_data(PING)  # wakes up gunicorn's loop, which may sleep for a second

    async def restart_websocket(self, seconds: float) -> None:
        """Tell the client of a websocket to come back (1012), and give both sides a moment to end in order."""
        websocket = self._websocket
        if websocket is None or self._task is None:
            return
        if not websocket.accepted:
            websocket._deny(503, "Service Unavailable")
            return
        websocket.close_code = _RESTART  # what the application is told if the client goes without a word
        with suppress(OSError, RuntimeError):
            await websocket._send_close(_RESTART, "Service restart")
        await asyncio.wait([self._task], timeout=seconds)

    def cut(self) -> None:
        """End whatever runs for this connection; its ``finally`` blocks run."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
        else:
            self._close_transport()

    def abort(self) -> None:
        """Shut the connection, whatever runs for it."""
        if self.transport is not None:
            self.transport.abort()


def _of_request() -> dict[str, str]:
    """Return what the access log may say beside what gunicorn knows; called in the task of the request."""
    found = request_id()
    return {SLOT_KEY: slot_text()} if found is None else {SLOT_KEY: slot_text(), ID_KEY: found}


def _with_real_worker(hook: Callable[..., Any]) -> Callable[..., Any]:
    """Return a hook of requests that is given gunicorn's worker itself."""
    return partial(_call_hook, hook)


def _call_hook(hook: Callable[..., Any], seen: SeenWorker, *rest: object) -> object:
    return hook(seen.real, *rest)
