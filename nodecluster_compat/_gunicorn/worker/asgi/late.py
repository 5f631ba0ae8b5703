"""Cancel the tasks of requests that take too long, and answer in their place.

The application gets ``CancelledError`` where it awaits, as by ``asyncio.timeout``.  Where it has sent nothing its
client gets 503; where it has, the connection ends, or the stream of HTTP/2.  A websocket that has a limit of its own is
closed with 1013, *try again later*.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Protocol

from ....asyncio_runtime.task_stacks import task_stack
from ....base.limit_watch import LimitWatch
from ....base.time_limits import Late

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

__all__ = ["LateTasks", "Limited"]

_STATUS: Final = 503
_PAGE: Final = b"The request took too long.\n"
_TRY_AGAIN: Final = 1013


class Limited(Protocol):
    """A request, or a websocket.

    Attributes:
        status: of its answer, once that has begun.
        is_websocket: whether it is one.
    """

    status: int | None
    is_websocket: bool

    @property
    def told(self) -> tuple[str, str]:
        """Its method and path, and its client."""

    @property
    def headers(self) -> Iterable[tuple[bytes, bytes]]:
        """Those of its answer, once that has begun."""

    def send(self, message: Any) -> Awaitable[None]:  # noqa: ANN401 - ASGI's
        """Send a part of the answer."""


class LateTasks:
    """Watches the requests of one worker.

    Args:
        seconds: that a request may usually take; 0 for no limit.
        loop: that serves them.
        tell: writes it into the log.
    """

    def __init__(self, seconds: float, loop: asyncio.AbstractEventLoop, tell: Callable[..., None]) -> None:
        self._watch: LimitWatch[Limited] = LimitWatch(seconds, self._call_later, self._late)
        self._loop = loop
        self._tell = tell
        self._tasks: dict[Limited, asyncio.Task[Any]] = {}
        self._cancelled: dict[Limited, int] = {}  # how often
        self._here: ContextVar[Limited | None] = ContextVar("nodecluster.request", default=None)

    def _call_later(self, seconds: float, look: Callable[[], None]) -> None:
        if asyncio._get_running_loop() is self._loop:
            self._loop.call_later(seconds, look)
        else:  # a ``def`` endpoint limits itself, in a thread
            self._loop.call_soon_threadsafe(self._loop.call_later, seconds, look)

    def begin(self, request: Limited) -> None:
        """The current task serves a request."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks[request] = task
        self._here.set(request)
        self._watch.begin(request)

    def answered(self, request: Limited) -> None:
        """Its answer has been sent; what its task still does has no limit."""
        self._watch.end(request)

    def end(self, request: Limited) -> bool:
        """Its task serves it no longer.

        Returns:
            Whether it was cancelled here, and by nobody else.
        """
        self._watch.end(request)
        task = self._tasks.pop(request, None)
        times = self._cancelled.pop(request, 0)
        if task is None or not times:
            return False
        return not hasattr(task, "uncancel") or [task.uncancel() for _ in range(times)][-1] == 0

    def limit(self, seconds: float) -> bool:
        """Limit the request that the caller serves: a task of its, or a thread that it waits for."""
        request = self._here.get()
        return request is not None and self._watch.limit(request, seconds)

    def _late(self, late: Late[Limited]) -> bool:
        request = late.key
        if not late.has_own and (request.is_websocket or _is_event_stream(request.headers)):
            return False
        task = self._tasks.get(request)
        if task is not None:
            self._tell(*request.told, late.seconds, task_stack(task))
            self._cancelled[request] = self._cancelled.get(request, 0) + 1
            task.cancel()
        return True

    @staticmethod
    async def answer(request: Limited) -> None:
        """Answer a request that was cancelled.

        Raises:
            asyncio.CancelledError: its answer has begun: whoever serves the connection is to end it.
        """
        if request.is_websocket:
            await request.send({"type": "websocket.close", "code": _TRY_AGAIN})
        elif request.status is not None:
            raise asyncio.CancelledError
        else:
            fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(_PAGE))]
            await request.send({"type": "http.response.start", "status": _STATUS, "headers": fields})
            await request.send({"type": "http.response.body", "body": _PAGE})


def _is_event_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)
