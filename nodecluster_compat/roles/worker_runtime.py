"""Say what a worker asks of its kind: the only part that knows whether it runs greenlets, threads or an event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeVar

from ..base.reactor import Reactor
from ..base.timers import Timer
from ..messages.frames import Frame

__all__ = ["Runtime"]

Item = TypeVar("Item")


if TYPE_CHECKING:

    class Runtime(Reactor, Protocol):
        """The kind of a worker, as the worker needs it.

        The callbacks of the reactor, ``call_soon`` excepted, run with the ``lock`` held, and run no code of the user's.
        """

        @property
        def lock(self) -> AbstractContextManager[object]:
            """Held while the line is used; reentrant.  Where one thread runs all, it does nothing."""

        def spawn(self, call: Callable[[], None], then: Callable[[], None] | None = None) -> None:
            """Run ``call`` beside requests; it may block.

            Args:
                call: emits an event, say.
                then: called when that has ended, however it has, with all that its handlers have left to await.
            """

        def deliver(self, take: Callable[[], Frame | None], tell: Callable[[Frame], None]) -> None:
            """Tell one frame after another, beside requests, until ``take`` returns ``None``; telling may block."""

        def deliver_apart(self, take: Callable[[], Item | None], tell: Callable[[Item], None]) -> None:
            """As :meth:`deliver`, of anything; what this waits for holds up no other deliverer."""

        def start(self, timer: Timer, seconds: float) -> object:
            """See :class:`~nodecluster_compat.base.timers.Clock`."""

        def hold_channel(self, holds: bool) -> None:
            """Whether the channel alone keeps this process alive."""

        def begin_drain(self) -> None:
            """Take no more connections, finish those in flight within the worker's ``drain_timeout``, then end."""

        def close_idle(self) -> None:
            """Wait for no further request on idle connections, in a drain that has begun or in one to come."""

        def exit_now(self, code: int) -> None:
            """End this process without waiting for requests; returns, the end comes when the caller yields."""

        def wait(self, begin: Callable[[Callable[[], None]], None]) -> None:
            """Call ``begin(done)`` and hold the caller up, and nobody else, until ``done()`` is called.

            Raises:
                WouldBlock: the caller must not wait.
            """

        def waiting(self, begin: Callable[[Callable[[], None]], None]) -> Awaitable[None]:
            """Return what a task awaits: it calls ``begin(done)``, and ends when ``done()`` is called.

            Raises:
                WouldBlock: nothing awaits here, there is no event loop.
            """

        def leave_caller(self) -> None:
            """Do not return to the caller of ``process.exit()``, which may be any of this worker's tasks."""

        def orphaned(self) -> None:
            """End this process at once with code 0: its primary is gone."""
