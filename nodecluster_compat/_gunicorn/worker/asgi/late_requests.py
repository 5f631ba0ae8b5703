"""Cancel the tasks of requests that take too long, and answer in their place.

The application gets ``CancelledError`` where it awaits, as by ``asyncio.timeout``.  Where it has sent nothing its
client gets 503; where it has, the connection ends, or the stream of HTTP/2.  A websocket that has a limit of its own is
closed with 1013, *try again later*.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

from ....asyncio_runtime.task_stacks import task_stack
from ....base.time_limits import Late, TimeLimits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

__all__ = ["LateTasks", "Limited"]

_STATUS: Final = 503
_PAGE: Final = b"The request took too long.\n"
_TRY_AGAIN: Final = 1013


class Limited(Protocol):
    """Who has a request: a connection, or the request itself.

    Attributes:
        scope: of the request that is in flight; ``None``: there is none.
        since: when the last one began.
        task: that serves it.
        status: of its answer, once that has begun.
        headers: of its answer, once that has begun.
        is_websocket: whether it is one.
    """

    scope: Mapping[str, Any] | None
    since: float
    task: asyncio.Task[Any] | None
    status: int | None
    headers: Iterable[tuple[bytes, bytes]]

    @property
    def is_websocket(self) -> bool:
        """Whether it is a websocket, and no request."""

    @property
    def told(self) -> tuple[str, str]:
        """Its method and path, and its client."""


class LateTasks:
    """Watches the requests of one worker; a request is who has it, and since when.

    Args:
        seconds: that a request may usually take; 0 for no limit.
        loop: that serves them.
        tell: writes it into the log.

    Attributes:
        serving: who may have a request; nobody comes and goes with each request of a connection.
        here: the request of the current task, and of the threads that it waits for.
        is_asleep: requests have a limit, and nobody will look unless :meth:`look_in_time` is called.
    """

    def __init__(self, seconds: float, loop: asyncio.AbstractEventLoop, tell: Callable[..., None]) -> None:
        self._limits: TimeLimits[Limited] = TimeLimits(seconds)
        self._loop = loop
        self._tell = tell
        self.serving: set[Limited] = set()
        self._cancelled: dict[tuple[Limited, float], int] = {}  # how often
        self.here: ContextVar[tuple[Limited, float] | None] = ContextVar("nodecluster.request", default=None)
        self._has_usual = self.is_asleep = bool(seconds)
        self._next_look = inf

    def in_flight(self) -> list[tuple[Limited, float]]:
        """Return the requests that are in flight."""
        return [(one, one.since) for one in self.serving if one.scope is not None]

    def begin(self, request: Limited, since: float) -> None:
        """The current task serves a request from now on."""
        self.serving.add(request)
        self.here.set((request, since))
        if self.is_asleep:
            self.look_in_time()

    def end(self, request: Limited) -> None:
        """Note that a request was answered; what its task still does has no limit.  A no-op when that was said."""
        self.serving.discard(request)

    def was_late(self, request: Limited, since: float) -> bool:
        """Return whether its task, which is about to end, was cancelled here, and by nobody else."""
        times, task = self._cancelled.pop((request, since), 0), asyncio.current_task()
        if task is None or not times:
            return False
        return not hasattr(task, "uncancel") or [task.uncancel() for _ in range(times)][-1] == 0

    def limit(self, seconds: float) -> bool:
        """Limit the request that the caller serves: a task of its, or a thread that it waits for."""
        here = self.here.get()
        if here is None or here[0].scope is None or here[0].since != here[1]:
            return False
        self._limits.set(*here, seconds)
        if asyncio._get_running_loop() is self._loop:
            self._look_within(self._limits.pause([here], monotonic()))
        else:  # a ``def`` endpoint limits itself, in a thread
            self._loop.call_soon_threadsafe(self.look_in_time)
        return True

    def look_in_time(self) -> None:
        """Look whether anything is late, as soon as something can be."""
        self._look_within(self._limits.pause(self.in_flight(), monotonic()))

    def _look_within(self, pause: float | None) -> None:
        """Look after so many seconds, if nobody will before."""
        if pause is None or monotonic() + pause >= self._next_look:
            return
        self._next_look, self.is_asleep = monotonic() + pause, False
        self._loop.call_later(pause, self._look, self._next_look)

    def _look(self, at: float) -> None:
        """Look, unless it was put forward."""
        if at != self._next_look:
            return
        self._next_look, self.is_asleep = inf, self._has_usual
        in_flight = self.in_flight()
        self._cancelled = {one: times for one, times in self._cancelled.items() if one in in_flight}
        for late in self._limits.late(in_flight, monotonic()):
            self._end(late)
        if in_flight or self._limits.remembers:
            self.look_in_time()

    def _end(self, late: Late[Limited]) -> None:
        request = late.key
        if not late.has_own and (request.is_websocket or _is_event_stream(request.headers)):
            self._limits.set(request, late.since, 0)
        elif request.task is not None:
            self._tell(*request.told, late.seconds, task_stack(request.task))
            self._cancelled[request, late.since] = self._cancelled.get((request, late.since), 0) + 1
            request.task.cancel()

    @staticmethod
    async def answer(request: Limited, send: Callable[[Any], Awaitable[None]]) -> None:
        """Answer a request that was cancelled.

        Raises:
            asyncio.CancelledError: its answer has begun: whoever serves the connection is to end it.
        """
        if request.is_websocket:
            await send({"type": "websocket.close", "code": _TRY_AGAIN})
        elif request.status is not None:
            raise asyncio.CancelledError
        else:
            fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(_PAGE))]
            await send({"type": "http.response.start", "status": _STATUS, "headers": fields})
            await send({"type": "http.response.body", "body": _PAGE})


def _is_event_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)
