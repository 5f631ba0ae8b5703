"""Call handlers, and wait, in a process that has the exchange itself."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..errors import NO_EVENT_LOOP, WouldBlock
from .apart import waiting_in_loop

if TYPE_CHECKING:
    from ..base.loop import Loop
    from ..roles.primary import Primary
    from .sides import Begin

__all__ = ["LocalPost", "PrimaryPost"]

_SLICE: Final = 64

Item = TypeVar("Item")


class PrimaryPost:
    """How the primary calls handlers and waits: on its loop, where nothing may wait."""

    def __init__(self, primary: Primary) -> None:
        self.lock: AbstractContextManager[object] = nullcontext()
        self._primary = primary

    @property
    def _loop(self) -> Loop:
        return self._primary.loop

    def at_turn_end(self, callback: Callable[[], None]) -> None:
        """See :class:`~nodecluster_compat.sharing.subscriptions.Post`."""
        self._loop.call_soon(callback)

    def deliver_apart(self, take: Callable[[], Item | None], tell: Callable[[Item], None]) -> None:
        """Tell some, and the others on later turns."""
        for _ in range(_SLICE):
            item = take()
            if item is None:
                return
            tell(item)
        self._loop.call_soon(self.deliver_apart, take, tell)

    def wait(self, begin: Begin) -> None:
        """See :meth:`~nodecluster_compat.roles.primary.Primary.wait_for`."""
        self._primary.wait_for(begin)

    def waiting(self, begin: Begin) -> Awaitable[None]:
        """Nothing awaits here.

        Raises:
            WouldBlock: always.
        """
        raise WouldBlock(NO_EVENT_LOOP)

    def check_waiting(self) -> None:
        """Refuse to wait for a server on the loop, unless it is a script's own turn.

        Raises:
            WouldBlock: it is neither another thread nor that.
        """
        if not self._primary.waiting.is_allowed:
            raise WouldBlock("expected a worker, or a thread: in the primary nothing may wait for a server")

    def run(self, call: Callable[..., Any], *args: object) -> None:
        """On the loop's thread."""
        if self._loop.is_elsewhere():
            self._loop.call_soon_threadsafe(call, *args)
        else:
            call(*args)

    def soon(self, call: Callable[..., object], *args: object) -> None:
        """On a later turn."""
        self._loop.call_soon_threadsafe(call, *args)


class LocalPost:
    """How a program without a cluster calls handlers and waits: in whichever thread there is."""

    def __init__(self) -> None:
        self.lock: AbstractContextManager[object] = threading.RLock()

    def at_turn_end(self, callback: Callable[[], None]) -> None:
        """At once: the caller has no turns."""
        callback()

    def deliver_apart(self, take: Callable[[], Item | None], tell: Callable[[Item], None]) -> None:
        """Deliver at once, in the thread of the publisher."""
        while (item := take()) is not None:
            tell(item)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> threading.Timer:
        """Call back in a thread, with the lock."""
        timer = threading.Timer(seconds, self.run, (callback,))
        timer.daemon = True
        timer.start()
        return timer

    def wait(self, begin: Begin) -> None:
        """Hold up this thread."""
        done = threading.Event()
        begin(done.set)
        done.wait()

    def waiting(self, begin: Begin) -> Awaitable[None]:
        """Hold up this task."""
        return waiting_in_loop(begin)

    def check_waiting(self) -> None:
        """Callers may wait."""

    def run(self, call: Callable[..., Any], *args: object) -> None:
        """In this thread, alone."""
        with self.lock:
            call(*args)

    def soon(self, call: Callable[..., object], *args: object) -> None:
        """At once."""
        call(*args)
