"""Run the event loop of an ASGI worker, for as long as the worker waits, and raise there what ends it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from ....machine.forked_child import end_if_child

__all__ = ["RunningLoop"]

_Result = TypeVar("_Result")


class RunningLoop:
    """The loop of one worker.

    Args:
        loop: gunicorn's.
        end_tasks: makes an end of handlers that run on it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, end_tasks: Callable[[], None]) -> None:
        self._loop = loop
        self._end_tasks = end_tasks
        self._thrown: BaseException | None = None
        self._is_woken = False
        self._pause: asyncio.Future[None] | None = None

    def run_loop(self, until: Coroutine[Any, Any, _Result] | asyncio.Future[_Result]) -> _Result | None:
        """Run the loop until something has ended, or was cancelled by an application that cancels all that it finds.

        Raises:
            BaseException: what was thrown meanwhile; it has not ended then.
        """
        try:
            return self._loop.run_until_complete(until)
        except asyncio.CancelledError:
            return None
        except RuntimeError:
            if self._thrown is None:
                raise
        finally:
            end_if_child(sys.exc_info()[1])  # a task has ended the loop, by sys.exit() as a rule
            self._raise_thrown()
        return None

    def _raise_thrown(self) -> None:
        thrown, self._thrown = self._thrown, None
        if thrown is not None:
            raise thrown

    def throw(self, error: BaseException) -> None:
        """Raise ``error`` where the loop runs, or once it does."""
        self._end_tasks()
        self._thrown = error
        with suppress(RuntimeError):  # the loop is closed: this process ends
            self._loop.call_soon_threadsafe(self._loop.stop)

    def wait(self, seconds: float) -> None:
        """Run the loop until :meth:`wake` is called, or was, at most ``seconds``."""
        self._pause = self._loop.create_future()  # and no task, which an application would find
        timer = self._loop.call_later(0 if self._is_woken else seconds, self._end_pause)
        self.run_loop(self._pause)
        self._is_woken = False
        timer.cancel()

    def wake(self) -> None:
        """End :meth:`wait`; from any thread, and in a signal handler."""
        self._is_woken = True
        with suppress(RuntimeError):  # as above
            self._loop.call_soon_threadsafe(self._end_pause)

    def _end_pause(self) -> None:
        if self._pause is not None and not self._pause.done():
            self._pause.set_result(None)
