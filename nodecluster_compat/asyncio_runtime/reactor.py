"""Run channels, timers and handlers on an asyncio loop: a :class:`~nodecluster_compat.base.reactor.Reactor`.

Everything that touches the loop runs in its thread.  A ``def`` endpoint runs in another thread, and may send, ask, or
disconnect from there: it uses the channel under the ``lock``, and what that asks of the loop is passed on to the loop's
thread.

Handlers run on the loop.  What an ``async def`` handler leaves to await is awaited in a task: of one event's handlers
one after another, and of messages, which have an order, before the next message is told.

An application may cancel what it awaits, and also every task that it finds (``asyncio.all_tasks``).  That ends a
handler and nothing else: the next message is told, and a task that was cancelled before it ran is made anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from threading import Event, RLock, get_ident
from typing import Any, Final, TypeVar

from ..base.handler_calls import collect, run_guarded
from ..base.timers import Timer
from ..errors import WouldBlock
from ..messages.frames import Frame

__all__ = ["AsyncioReactor", "complain"]

Item = TypeVar("Item")

_SLICE: Final = 64  # handlers that run before others on the loop have their turn


class AsyncioReactor:
    """Readiness of descriptors, timers and deferred calls on a loop of the current thread.

    Args:
        loop: need not run yet.

    Attributes:
        lock: held while the channel is used, in whatever thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.lock = RLock()
        self._loop = loop
        self._thread = get_ident()
        self._timers: dict[Timer, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[Any]] = set()  # a loop refers to its tasks weakly
        self._is_ending = False

    def end_tasks(self) -> None:
        """The worker ends: whatever is cancelled from now on is to end, and no further message is told."""
        self._is_ending = True

    def ends_handler(self, error: BaseException) -> bool:
        """Return whether what a handler raised ends it alone: it was cancelled, or what it has awaited was."""
        if self._is_ending or not isinstance(error, asyncio.CancelledError):
            return False
        task = asyncio.current_task(self._loop)
        while task is not None and hasattr(task, "uncancel") and task.cancelling():  # younger than Python 3.10
            task.uncancel()
        return True

    # --- descriptors ---------------------------------------------------------------------------

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back whenever ``fd`` is readable or closed."""
        self._in_loop(self._loop.add_reader, fd, self._locked, callback)

    def remove_reader(self, fd: int) -> None:
        """Stop watching ``fd`` for reading."""
        self._in_loop(self._loop.remove_reader, fd)

    def add_writer(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back whenever ``fd`` is writable or broken."""
        self._in_loop(self._loop.add_writer, fd, self._locked, callback)

    def remove_writer(self, fd: int) -> None:
        """Stop watching ``fd`` for writing."""
        self._in_loop(self._loop.remove_writer, fd)

    def _locked(self, callback: Callable[[], None]) -> None:
        with self.lock:
            callback()

    def _in_loop(self, call: Callable[..., object], *args: Any) -> None:
        """Call here if this is the loop's thread, there otherwise."""
        if get_ident() == self._thread:
            call(*args)
        else:
            self._on_later_turn(call, *args)

    def _on_later_turn(self, call: Callable[..., object], *args: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: this process ends
            self._loop.call_soon_threadsafe(call, *args)

    # --- deferred calls ------------------------------------------------------------------------

    def at_turn_end(self, callback: Callable[[], None]) -> None:
        """Call back before the loop waits again."""
        self._on_later_turn(self._locked, callback)

    def call_soon(self, callback: Callable[..., Any], *args: object) -> None:
        """Call back on the next turn."""
        self._on_later_turn(self._call, run_guarded, "a deferred call", None, callback, *args)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back after ``seconds``."""
        self._in_loop(self._loop.call_later, seconds, self._locked, callback)

    def spawn(self, call: Callable[[], None], then: Callable[[], None] | None = None) -> None:
        """Run ``call`` on a later turn, and ``then`` after it and what its handlers leave to await."""
        self._on_later_turn(self._call_then, call, then)

    def _call(self, call: Callable[..., object], *args: object) -> None:
        self._await_all(collect(call, *args), None)

    def _call_then(self, call: Callable[[], None], then: Callable[[], None] | None) -> None:
        left: list[Awaitable[None]] = []
        try:
            left = collect(call)
        finally:
            self._await_all(left, then)

    def _await_all(self, left: Iterable[Awaitable[None]], then: Callable[[], None] | None) -> None:
        if left:
            self._task(partial(_await_each, left, then), "handlers")
        elif then is not None:
            then()

    def await_soon(self, awaitable: Awaitable[None]) -> None:
        """Await what a handler has left, in a task; from any thread."""
        self._in_loop(self._task, partial(_await_each, [awaitable], None), "a handler")

    def _task(self, make: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        task = self._loop.create_task(make())
        task.set_name(f"nodecluster: {name}")
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, make, name))

    def _ended(self, make: Callable[[], Coroutine[Any, Any, None]], name: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() and not self._is_ending:  # before it ran: what runs is not ended so
            self._task(make, name)
        complain(task)

    # --- messages ------------------------------------------------------------------------------

    def deliver(self, take: Callable[[], Frame | None], tell: Callable[[Frame], None]) -> None:
        """Tell one frame after another, and await what its handlers leave, until there is none."""
        self._in_loop(self._task, partial(_deliver, self._unless_ending(take), tell), "messages")

    def deliver_apart(self, take: Callable[[], Item | None], tell: Callable[[Item], None]) -> None:
        """As :meth:`deliver`: each deliverer is a task of its own."""
        self._in_loop(self._task, partial(_deliver_in_slices, self._unless_ending(take), tell), "deliveries")

    def _unless_ending(self, take: Callable[[], Item | None]) -> Callable[[], Item | None]:
        return lambda: None if self._is_ending else take()

    def wait(self, begin: Callable[[Callable[[], None]], None]) -> None:
        """Call ``begin(done)`` and wait, in this thread, until ``done()`` is called.

        Raises:
            WouldBlock: this is the loop's thread, which must not wait.
        """
        if get_ident() == self._thread:
            raise WouldBlock(
                "expected a call that does not wait in the thread of the event loop: write "
                "'await process.request_async(...)', or give it a callback"
            )
        event = Event()
        begin(event.set)
        event.wait()

    async def waiting(self, begin: Callable[[Callable[[], None]], None]) -> None:
        """Call ``begin(done)``, and end when ``done()`` is called; of a task that was cancelled nobody is told."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        begin(partial(_settle_soon, future))
        await future

    # --- timers of users -----------------------------------------------------------------------

    def start(self, timer: Timer, seconds: float) -> None:
        """See :class:`~nodecluster_compat.base.timers.Clock`."""
        timer.clock = self
        timer.start_number += 1
        self._in_loop(self._start, timer, seconds)

    def changed(self, timer: Timer) -> None:
        """See :class:`~nodecluster_compat.base.timers.Clock`."""
        if timer.cancelled:
            self._in_loop(self._stop, timer)

    def hold_channel(self, holds: bool) -> None:
        """Nothing has to keep a process of gunicorn's alive."""

    def _start(self, timer: Timer, seconds: float) -> None:
        self._stop(timer)
        self._timers[timer] = self._loop.call_later(max(0.0, seconds), self._expired, timer)

    def _expired(self, timer: Timer) -> None:
        self._timers.pop(timer, None)
        self._call(timer.fire)

    def _stop(self, timer: Timer) -> None:
        handle = self._timers.pop(timer, None)
        if handle is not None:
            handle.cancel()


def complain(task: asyncio.Task[Any]) -> None:
    """Say of a task that has ended what asyncio says if nobody asks, unless it has ended the process as it wished."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, SystemExit):
        message = "Task exception was never retrieved"
        task.get_loop().call_exception_handler({"message": message, "exception": error, "task": task})


def _settle_soon(future: asyncio.Future[None]) -> None:
    with suppress(RuntimeError):  # its loop is closed
        future.get_loop().call_soon_threadsafe(_settle, future)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _await_each(left: Iterable[Awaitable[None]], then: Callable[[], None] | None) -> None:
    try:
        for awaitable in left:
            await awaitable
    finally:
        if then is not None:
            then()


async def _deliver(take: Callable[[], Item | None], tell: Callable[[Item], None]) -> None:
    while (item := take()) is not None:
        for awaitable in collect(tell, item):
            await awaitable


async def _deliver_in_slices(take: Callable[[], Item | None], tell: Callable[[Item], None]) -> None:
    count = 0
    while (item := take()) is not None:
        for awaitable in collect(tell, item):
            await awaitable
        count += 1
        if count % _SLICE == 0:
            await asyncio.sleep(0)
