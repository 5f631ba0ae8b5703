"""Count the requests of an ASGI worker, and end those that take too long.

A request has ended when the last part of its answer was sent, although the application may go on (background tasks), or
when the application has ended.  A websocket is in flight as long as it is open; its status is 101 if it was accepted.

A connection of HTTP/1 has one request in flight at a time, so this is noted on the connection, where gunicorn itself
passes by: nothing stands between its ``send`` and the application.  A connection of HTTP/2 has several requests, and
gunicorn notes none of a websocket: each of these is an :class:`_Apart`.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import current_task
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from gunicorn.asgi.protocol import ASGIProtocol

from ....base.one_line import one_line
from ....machine.forked_child import ThisProcess, end_if_child
from ....operations.metrics.layout import METHODS
from ....operations.metrics.request_meter import NO_SLOT
from ....operations.metrics.this_meter import this_meter
from ...requests.metering import address_text
from .answer_heads import write_head

if TYPE_CHECKING:
    from ....operations.metrics.request_meter import RequestMeter
    from .late_requests import LateTasks

__all__ = ["MeteredProtocol"]

Scope = Mapping[str, Any]
Send = Callable[[Any], Awaitable[None]]
ASGIApplication = Callable[[Any, Any, Send], Awaitable[None]]

# Called by name, which costs half of what ``super()`` does; each of them for every request.
_handle_http_request = ASGIProtocol._handle_http_request
_send_response_start = ASGIProtocol._send_response_start
_send_body = ASGIProtocol._send_body

_FAILED: Final = 500
_SWITCHED: Final = 101
_NUMBER_AT: Final = len("Task-")  # in the name of a task
_LINES: Final = {method: method.encode() + b" " for method in METHODS}  # how they begin


class MeteredProtocol(ASGIProtocol):  # type: ignore[misc]  # gunicorn has no types
    """A connection whose requests are counted.

    Args:
        worker: as gunicorn's protocol sees it.
        limits: ends what is late.
        count_request: called for each request of HTTP/1 that has been answered.

    Attributes:
        scope: of the request of HTTP/1 that is in flight; ``None``: there is none.
        since: when the last one began.
        task: that serves it.
        status: of its answer, once that has begun.
        headers: of its answer, once that has begun.
        done: in the place of the future that gunicorn tells when an answer is complete: whether it was told.
    """

    app: Any
    done: Callable[[], bool]
    is_websocket: Final = False
    scope: Scope | None = None
    since = 0.0
    task: asyncio.Task[Any] | None = None
    status: int | None = None
    headers: Iterable[tuple[bytes, bytes]] = ()
    _slot = NO_SLOT
    _sent = 0
    _complete: Any = None

    def __init__(self, worker: Any, limits: LateTasks, count_request: Callable[[], None]) -> None:  # noqa: ANN401
        super().__init__(worker)
        self._meter = this_meter()
        self._limits = limits
        self._count_request = count_request
        self._application: ASGIApplication = worker.asgi
        self.app = self._serve

    @property
    def told(self) -> tuple[str, str]:
        """The method and path of the request in flight, and its client."""
        return _told(self.scope or {"path": ""})

    async def _serve(self, scope: Scope, receive: object, send: Send) -> None:
        """In the place of the application, as gunicorn calls it."""
        if scope["type"] != "http" or scope["http_version"] == "2":
            await _Apart(self._meter, self._limits, scope, send).serve(self._application, receive)
            return
        since = self._begin(scope)
        try:
            await self._application(scope, receive, send)
        except asyncio.CancelledError:
            if not self._limits.was_late(self, since):
                raise
            await self._limits.answer(self, send)
        except Exception:
            if self.since == since and self.status is None:
                self.status = _FAILED
            raise
        finally:
            if ThisProcess.is_child:
                end_if_child(sys.exc_info()[1])
            if self.scope is scope:
                self._end()

    def _begin(self, scope: Scope) -> float:
        meter, slot = self._meter, self._slot
        if slot < 0:
            slot = self._slot = meter.slot(address_text(scope["client"]))
            self._limits.serving.add(self)
        self.task = current_task(self.worker.loop)  # told, asyncio does not look for it
        self.scope, self.status, self._sent = scope, None, 0
        begins = _LINES.get(scope["method"])
        self.since = since = meter.begin(slot, _line(scope) if begins is None else begins + scope["raw_path"])
        limits = self._limits
        limits.here.set((self, since))
        if limits.is_asleep:
            limits.look_in_time()
        return since

    def name_task(self) -> None:
        """Somebody looks: say in the meter which task serves the request, by whose number its stack is found."""
        if self.scope is not None:
            self._meter.name(self._slot, _number_of(self.task))

    def _end(self) -> None:
        """The request has been answered, or given up."""
        scope, self.scope = self.scope, None
        if scope is not None:
            self._meter.end(self._slot, self.since, scope["method"], self.status, self._sent)
            self.task, self.headers = None, ()
            self._count_request()

    def leave_slot(self) -> None:
        """The connection has ended, and all that was run for it."""
        self._limits.end(self)
        self._meter.give(self._slot)
        self._slot = NO_SLOT

    # --- where gunicorn passes by ------------------------------------------------------------------

    def _handle_http_request(
        self,
        request: object,
        sockname: object,
        peername: object,
        complete: Any = None,  # noqa: ANN401 - a future
    ) -> Awaitable[bool]:
        """Extends gunicorn's: what it tells the future, that the answer is complete, it tells this connection first."""
        seen = None
        if complete is not None:
            self._complete, self.done, seen = complete, complete.done, self
        serving: Awaitable[bool] = _handle_http_request(self, request, sockname, peername, seen)
        return serving

    def set_result(self, keeps_alive: bool) -> None:
        """In the place of the future: the last part of the answer has been sent."""
        self._complete.set_result(keeps_alive)
        self._end()

    def _send_response_start(self, status: int, headers: Any, request: object, close: bool = False) -> None:  # noqa: ANN401
        """Extends gunicorn's: the answer begins."""
        self.status, self.headers = status, headers
        head = write_head(status, headers, request, close)
        if head is None:
            _send_response_start(self, status, headers, request, close)
        else:
            self._response_buffer = head  # goes with the first part of the body

    def _send_body(self, body: bytes, chunked: bool = False, last: bool = False, size: int | None = None) -> None:
        """Extends gunicorn's: a part of the answer is sent."""
        self._sent += len(body) if size is None else size
        _send_body(self, body, chunked, last, size)

    def _start_http2_stream(self, *args: object) -> None:
        """Extends gunicorn's: a request of HTTP/2 counts when it begins."""
        super()._start_http2_stream(*args)
        self._count_request()


class _Apart:
    """A stream of HTTP/2, or a websocket."""

    __slots__ = (
        *("_limits", "_meter", "_send", "_sent", "_slot"),
        *("headers", "is_websocket", "scope", "since", "status", "task"),
    )

    def __init__(self, meter: RequestMeter, limits: LateTasks, scope: Scope, send: Send) -> None:
        self._meter = meter
        self._limits = limits
        self.scope: Scope | None = scope
        self._send = send
        self.is_websocket = scope["type"] == "websocket"
        self.status: int | None = None
        self.headers: Iterable[tuple[bytes, bytes]] = ()
        self._sent = 0
        self.task = current_task()
        self._slot = meter.slot(address_text(scope.get("client")), _number_of(self.task))
        self.since = meter.begin(self._slot, _line(scope))
        limits.begin(self, self.since)

    @property
    def told(self) -> tuple[str, str]:
        """See :class:`MeteredProtocol`."""
        return _told(self.scope or {"path": ""})

    async def serve(self, application: ASGIApplication, receive: object) -> None:
        """Call the application."""
        try:
            await application(self.scope, receive, self.send)
        except asyncio.CancelledError:
            if not self._limits.was_late(self, self.since):
                raise
            await self._limits.answer(self, self.send)
        except Exception:
            self.status = self.status or _FAILED
            raise
        finally:
            end_if_child(sys.exc_info()[1])
            self._end()

    async def send(self, message: Any) -> None:  # noqa: ANN401 - ASGI's
        """Send a part of the answer, and take note of it."""
        await self._send(message)
        kind = message["type"]
        if kind == "http.response.body":
            self._sent += len(message.get("body", b""))
            if not message.get("more_body", False):
                self._end()
        elif kind == "http.response.start":
            self.status = message["status"]
            self.headers = message.get("headers", ())
        elif kind == "websocket.accept":
            self.status = _SWITCHED

    def _end(self) -> None:
        scope, self.scope = self.scope, None
        if scope is not None:
            self._limits.end(self)
            self._meter.end(self._slot, self.since, _method(scope), self.status, self._sent)
            self._meter.give(self._slot)


def _method(scope: Scope) -> str:
    method: str = scope.get("method", "GET")
    return method


def _line(scope: Scope) -> bytes:
    """Return the method and the path, as the meter shows them."""
    path = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
    return b"%b %b" % (_method(scope).encode("latin-1", "replace"), path)


def _told(scope: Scope) -> tuple[str, str]:
    return one_line(f"{_method(scope)} {scope['path']}"), address_text(scope.get("client"))


def _number_of(task: asyncio.Task[Any] | None) -> int:
    """Return the number in the name of a task, by which its stack is found; 0 if it has another name."""
    try:
        return int(task.get_name()[_NUMBER_AT:])  # type: ignore[union-attr]  # within one
    except ValueError:
        return 0
