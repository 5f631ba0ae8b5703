"""Run channels and timers on gevent's hub: a :class:`~nodecluster_compat.base.reactor.Reactor`.

Callbacks run in the hub: they must not block, and an exception in one is gevent's to report.  Timers that users set run
in greenlets of their own.

A channel that is watched does not keep its process alive; see ``keep_alive``.

A process that a worker forks has a copy of the hub, and goes on with it as soon as it waits for anything.  What was
watched here is closed there, and libev ends a process that watches a closed descriptor, so the copies of the watchers
are stopped.  (Stopping edits nothing that both processes share: libev leaves deletions to ``close``.)
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Final, TypeVar
from weakref import WeakSet

from gevent import Timeout, get_hub, getcurrent, sleep
from gevent.event import Event

from ..base.handler_calls import run_guarded
from ..base.timers import Timer
from ..errors import NO_EVENT_LOOP, WouldBlock
from ..messages.frames import Frame
from .greenlet_pool import GreenletPool
from .keep_alive import KeepAlive

__all__ = ["GeventReactor", "let_go"]

Item = TypeVar("Item")

_SLICE: Final = 64  # handlers that run before other greenlets have their turn
_READ: Final = 1
_WRITE: Final = 2


class GeventReactor:
    """Readiness of descriptors, timers and deferred calls on the hub of the current thread.

    Attributes:
        keep_alive: who keeps this process alive: at least the channel, unless told otherwise.
    """

    lock: Final[AbstractContextManager[object]] = nullcontext()  # one thread runs all
    _all: ClassVar[WeakSet[GeventReactor]] = WeakSet()

    def __init__(self) -> None:
        self._loop = get_hub().loop
        self._watchers: dict[tuple[int, int], Any] = {}
        self._timers: dict[Timer, Any] = {}
        self.keep_alive = KeepAlive()
        self._greenlets = GreenletPool(_call)
        self._all.add(self)

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back whenever ``fd`` is readable or closed."""
        self._watch(fd, _READ, callback)

    def remove_reader(self, fd: int) -> None:
        """Stop watching ``fd`` for reading."""
        self._unwatch(fd, _READ)

    def add_writer(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back whenever ``fd`` is writable or broken."""
        self._watch(fd, _WRITE, callback)

    def remove_writer(self, fd: int) -> None:
        """Stop watching ``fd`` for writing."""
        self._unwatch(fd, _WRITE)

    def at_turn_end(self, callback: Callable[[], None]) -> None:
        """Call back, in the hub, before it waits again."""
        self._loop.run_callback(callback)

    def call_soon(self, callback: Callable[..., Any], *args: object) -> None:
        """Call back on the next turn, in a greenlet of its own: a user's callback may block."""
        self._greenlets.start(run_guarded, "a deferred call", None, callback, *args)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back after ``seconds``; nothing is kept alive by it."""
        timer = self._loop.timer(seconds, ref=False)

        def expired() -> None:
            timer.close()
            callback()

        timer.start(expired)

    def start(self, timer: Timer, seconds: float) -> None:
        """See :class:`~nodecluster_compat.base.timers.Clock`."""
        timer.clock = self
        timer.start_number += 1
        self._stop(timer)
        watcher = self._timers[timer] = self._loop.timer(max(0.0, seconds), ref=timer.holds)
        watcher.start(self._expired, timer, update=True)

    def changed(self, timer: Timer) -> None:
        """See :class:`~nodecluster_compat.base.timers.Clock`."""
        if timer.cancelled:
            self._stop(timer)
        elif timer in self._timers:
            self._timers[timer].ref = timer.holds

    def hold_channel(self, holds: bool) -> None:
        """Whether the channel alone keeps this process alive."""
        if holds:
            self.keep_alive.hold(self)
        else:
            self.keep_alive.release(self)

    def spawn(self, call: Callable[[], None], then: Callable[[], None] | None = None) -> None:
        """Run ``call`` in a greenlet, and ``then`` after it, however it ends."""
        if then is None:
            self._greenlets.start(call)
        else:
            self._greenlets.start(_call_then, call, then)

    def deliver(self, take: Callable[[], Frame | None], tell: Callable[[Frame], None]) -> None:
        """Tell one frame after another, in a greenlet, until there is none: at once, where the hub itself calls."""
        self._greenlets.start_at_once(_deliver, take, tell)

    def deliver_apart(self, take: Callable[[], Item | None], tell: Callable[[Item], None]) -> None:
        """As :meth:`deliver`: each deliverer is a greenlet of its own."""
        self._greenlets.start_at_once(_deliver_in_slices, take, tell)

    def _expired(self, timer: Timer) -> None:
        self._stop(timer)
        self._greenlets.start(timer.fire)

    def _stop(self, timer: Timer) -> None:
        watcher = self._timers.pop(timer, None)
        if watcher is not None:
            watcher.stop()
            watcher.close()

    def wait(self, begin: Callable[[Callable[[], None]], None]) -> None:
        """Call ``begin(done)`` and wait, in this greenlet, until ``done()`` is called.

        Raises:
            WouldBlock: this is no greenlet of the main thread, or the hub, which must not wait.
        """
        if get_hub().loop is not self._loop or getcurrent() is get_hub():
            raise WouldBlock(
                "expected a call that waits in a greenlet of the main thread: give it a callback, or spawn a greenlet"
            )
        event = Event()
        begin(event.set)
        event.wait()

    def waiting(self, begin: Callable[[Callable[[], None]], None]) -> Awaitable[None]:
        """Nothing awaits here.

        Raises:
            WouldBlock: always.
        """
        raise WouldBlock(NO_EVENT_LOOP)

    def _watch(self, fd: int, event: int, callback: Callable[[], None]) -> None:
        if (fd, event) not in self._watchers:
            watcher = self._watchers[fd, event] = self._loop.io(fd, event, ref=False)
            watcher.start(_call_guarded, callback)

    def _unwatch(self, fd: int, event: int) -> None:
        watcher = self._watchers.pop((fd, event), None)
        if watcher is not None:
            watcher.stop()
            watcher.close()


def let_go() -> None:
    """The process ends: watch nothing any more, and end the greenlets that wait for a next job."""
    _unwatch_all()
    GreenletPool.end_parked()


def _call_guarded(callback: Callable[[], None]) -> None:
    """Call what watches a descriptor; gevent would watch no further after an exception, and tell nobody."""
    try:
        callback()
    except BaseException:  # noqa: BLE001 - gevent's to report, and to end the process by
        get_hub().handle_error(None, *sys.exc_info())


def _call(call: Callable[..., None], *args: object) -> None:
    call(*args)


def _call_then(call: Callable[[], None], then: Callable[[], None]) -> None:
    try:
        call()
    finally:
        then()


def _deliver(take: Callable[[], Item | None], tell: Callable[[Item], None]) -> None:
    while (item := take()) is not None:
        _tell(tell, item)


def _tell(tell: Callable[[Item], None], item: Item) -> None:
    """Tell an item; a time-out that leaves its handler, which is no ``Exception``, holds up nothing behind it."""
    try:
        tell(item)
    except Timeout:
        get_hub().handle_error(getcurrent(), *sys.exc_info())


def _deliver_in_slices(take: Callable[[], Item | None], tell: Callable[[Item], None]) -> None:
    count = 0
    while (item := take()) is not None:
        _tell(tell, item)
        count += 1
        if count % _SLICE == 0:
            sleep(0)


def _unwatch_all() -> None:
    for reactor in list(GeventReactor._all):
        for fd, event in list(reactor._watchers):
            reactor._unwatch(fd, event)
        for timer in list(reactor._timers):
            reactor._stop(timer)
        reactor.keep_alive.abandon()


def _in_child() -> None:
    for loop in {reactor._loop for reactor in GeventReactor._all}:
        loop.reinit()  # libuv would edit the set that it shares with the parent
    _unwatch_all()


os.register_at_fork(after_in_child=_in_child)  # before those who close what is watched
