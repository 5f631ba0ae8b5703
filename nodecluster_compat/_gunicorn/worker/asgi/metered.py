"""Count the requests of an ASGI application, and end those that take too long: around the application.

A request has ended when the last part of its answer was sent, although the application may go on (background tasks), or
when the application has.  A websocket is in flight as long as it is open; its status is 101 if it was accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ....base.one_line import one_line
from ...requests.metering import address_text

if TYPE_CHECKING:
    from ....operations.metrics.request_meter import RequestMeter
    from .late import LateTasks

__all__ = ["metered"]

Scope = Mapping[str, Any]
Send = Callable[[Any], Awaitable[None]]
ASGIApplication = Callable[[Any, Any, Send], Awaitable[None]]

_FAILED: Final = 500
_SWITCHED: Final = 101
_DEFAULT_NAME: Final = "Task-"


def metered(application: ASGIApplication, meter: RequestMeter, limits: LateTasks) -> ASGIApplication:
    """Return ``application``, whose requests are counted by ``meter``, and which ``limits`` ends when they are late."""

    async def call(scope: Scope, receive: object, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await application(scope, receive, send)
            return
        request = _Request(meter, scope, send, limits)
        limits.begin(request)
        try:
            await application(scope, receive, request.send)
        except asyncio.CancelledError:
            if not limits.end(request):
                raise
            await limits.answer(request)
        except Exception:
            request.end(request.status or _FAILED)
            raise
        finally:
            limits.end(request)
            request.end(request.status)

    return call


class _Request:
    """One request, or websocket."""

    __slots__ = (
        *("_limits", "_meter", "_method", "_send", "_slot", "_started"),
        *("headers", "is_open", "is_websocket", "scope", "sent", "status"),
    )

    def __init__(self, meter: RequestMeter, scope: Scope, send: Send, limits: LateTasks) -> None:
        self._meter = meter
        self._limits = limits
        self.scope = scope
        self.headers: Iterable[tuple[bytes, bytes]] = ()
        self.is_websocket = scope["type"] == "websocket"
        self._send = send
        self._method = scope.get("method", "GET")
        self.status: int | None = None
        self.sent = 0
        self.is_open = True
        self._slot = meter.slot(address_text(scope.get("client")), _task_number())
        path = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
        self._started = meter.begin(self._slot, self._method.encode("latin-1", "replace") + b" " + path)

    @property
    def told(self) -> tuple[str, str]:
        """Its method and path, and its client."""
        return one_line(f"{self._method} {self.scope['path']}"), address_text(self.scope.get("client"))

    async def send(self, message: Any) -> None:  # noqa: ANN401 - ASGI's
        """Send a part of the answer, and take note of it."""
        await self._send(message)
        kind = message["type"]
        if kind == "http.response.body":
            self.sent += len(message.get("body", b""))
            if not message.get("more_body", False):
                self.end(self.status)
        elif kind == "http.response.start":
            self.status = message["status"]
            self.headers = message.get("headers", ())
        elif kind == "websocket.accept":
            self.status = _SWITCHED

    def end(self, status: int | None) -> None:
        """It has ended; a no-op when that was said."""
        if self.is_open:
            self.is_open = False
            self._limits.answered(self)
            self._meter.end(self._slot, self._started, self._method, status, self.sent)
            self._meter.give(self._slot)


def _task_number() -> int:
    """Return the number in the name of this task, by which its stack is found; 0 if it has another name."""
    task = asyncio.current_task()
    number = "" if task is None else task.get_name().removeprefix(_DEFAULT_NAME)
    return int(number) if number.isdecimal() else 0
