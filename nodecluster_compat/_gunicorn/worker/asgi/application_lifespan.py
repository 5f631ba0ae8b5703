"""Tell an application that the server begins and ends (ASGI's lifespan), and wait until it has heard.

The worker waits as it always does, in turns of its loop.  An application may cancel every task that it finds, this one
too: then it is begun again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from gunicorn.arbiter import Arbiter

from ....asyncio_runtime.lifespan import Lifespan, LifespanFailed
from ....base.one_line import Lines

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from ...gunicorn_types import GunicornLog

    class _Worker(Protocol):
        """What waits for the application."""

        loop: asyncio.AbstractEventLoop
        log: GunicornLog

        @property
        def alive(self) -> bool:
            """Whether the worker is to serve."""

        def wait(self, seconds: float) -> None:
            """Let the loop turn until :meth:`wake` is called, at most ``seconds``."""

        def wake(self) -> None:
            """End :meth:`wait`."""


__all__ = ["ApplicationLifespan"]

_LOOK_SECONDS: Final = 1.0


class ApplicationLifespan:
    """The lifespan of one worker's application.

    Args:
        worker: waits, and says what went wrong in its log.
    """

    def __init__(self, worker: _Worker) -> None:
        self._worker = worker
        self._lifespan: Lifespan | None = None  # that has begun, and is to end

    def begin(self, application: Any, state: dict[str, Any], is_required: bool) -> None:  # noqa: ANN401 - of anybody
        """Tell the application that the server begins, and wait until it is ready or the worker is not to serve.

        Args:
            application: is told.
            state: that it may put things in, for its requests.
            is_required: whether it must know of lifespans.

        Raises:
            SystemExit: it cannot begin.
        """
        lifespan = Lifespan(application, state, is_required=is_required)
        startup = self._start(lifespan)
        if not startup.done():
            return
        try:
            self._lifespan = lifespan if startup.result() else None
        except LifespanFailed as error:
            self._worker.log.error("The application could not begin (ASGI lifespan): %s", error)
            lifespan.show()
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from None
        if self._lifespan is None:
            self._say_why_not(lifespan)

    def _start(self, lifespan: Lifespan) -> asyncio.Task[bool]:
        startup = self._task(lifespan.startup, "lifespan startup")
        try:
            while self._worker.alive and not startup.done():
                self._worker.wait(_LOOK_SECONDS)
                if startup.cancelled():  # by the application, which cancels every task that it finds
                    startup = self._task(lifespan.startup, "lifespan startup")
        finally:  # also when it takes too long, and this process is told so
            if not startup.done():
                if stack := lifespan.stack():  # or it has ended this process
                    self._worker.log.error("The application has not begun (ASGI lifespan), it waits:\n%s", Lines(stack))
                startup.cancel()
                lifespan.show()
        return startup

    def _say_why_not(self, lifespan: Lifespan) -> None:
        """The application is served as one that knows no lifespan."""
        if lifespan.raised is not None and lifespan.is_known:
            told = (
                'The application raised at its startup (ASGI lifespan), and is served; asgi_lifespan = "on" refuses it'
            )
            self._worker.log.warning(told, exc_info=lifespan.raised)
        else:
            self._worker.log.debug("The application has no ASGI lifespan: %r", lifespan.raised)

    def end(self, seconds: float) -> None:
        """Tell the application that the server ends, and wait so long until it has; a no-op if it never began."""
        if self._lifespan is None:
            return
        log, shutdown = self._worker.log, self._shut_down(self._lifespan, seconds)
        if not shutdown.done():
            log.error("The application has not ended within %.1f s (ASGI lifespan)", seconds)
            shutdown.cancel()
        elif shutdown.result() is not None:
            log.error("The application could not end in order (ASGI lifespan): %s", shutdown.result())

    def _shut_down(self, lifespan: Lifespan, seconds: float) -> asyncio.Task[str | None]:
        limit = time.monotonic() + seconds
        shutdown = self._task(lifespan.shutdown, "lifespan shutdown")
        while not shutdown.done() and (left := limit - time.monotonic()) > 0:
            self._worker.wait(left)
            if shutdown.cancelled():  # as at the startup
                shutdown = self._task(lifespan.shutdown, "lifespan shutdown")
        return shutdown

    def _task(self, call: Callable[[], Coroutine[Any, Any, Any]], name: str) -> asyncio.Task[Any]:
        task = self._worker.loop.create_task(call(), name=name)
        task.add_done_callback(lambda _: self._worker.wake())
        return task

    def show(self) -> None:
        """Let the task of the application be found among those that are left: it ends with them."""
        if self._lifespan is not None:
            self._lifespan.show()
