"""End the tasks that an application has left behind, and refuse what threads give the loop in its last moment."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["LeftoverTasks", "close_loop", "stands_by"]

_END_SECONDS: Final = 1.0  # for tasks that were cancelled
_THREADS_SECONDS: Final = 0.01  # for threads to give the loop what they wait for next


_STANDING_BY: Final = frozenset({"engineio", "socketio"})  # packages that watch their clients for ever
_MOVING: Final = "nodecluster_compat.socketio.moving"  # nothing else of ours: handlers run in the rest


def stands_by(task: asyncio.Task[Any]) -> bool:
    """Whether a task is one of those that a library runs for as long as its process lives."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    name = "" if frame is None else str(frame.f_globals.get("__name__", ""))
    return name == _MOVING or name.partition(".")[0] in _STANDING_BY


class LeftoverTasks:
    """The tasks of one loop that nobody has ended."""

    def __init__(self) -> None:
        self._given_up: set[asyncio.Task[Any]] = set()

    async def end(self) -> None:
        """Cancel them: their ``finally`` runs, for a moment.  None that has let that moment pass has another one.

        So does that of tasks which threads begin meanwhile, and wait for.  A task that has not run yet would not tell
        them that it was cancelled.
        """
        loop = asyncio.get_running_loop()
        limit = loop.time() + _END_SECONDS
        while left := asyncio.all_tasks() - {asyncio.current_task()} - self._given_up:
            await asyncio.sleep(0)
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=max(0.0, limit - loop.time()))
            if loop.time() >= limit:
                self._given_up |= left
                return
            await asyncio.sleep(_THREADS_SECONDS)


def close_loop(loop: asyncio.AbstractEventLoop, end_tasks: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Close a loop, once its tasks and generators have ended.

    Args:
        loop: does not run.
        end_tasks: ends the tasks that are left; called again for what comes meanwhile.
    """
    with suppress(Exception):
        loop.run_until_complete(end_tasks())
        loop.run_until_complete(loop.shutdown_asyncgens())
    # What a thread gave the loop in its last moment would never be done, and the thread would wait for ever.
    loop.call_soon_threadsafe = _refuse  # type: ignore[method-assign]
    with suppress(Exception):
        loop.run_until_complete(end_tasks())
    loop.close()


def _refuse(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("Event loop is closed")  # as asyncio says when it is
