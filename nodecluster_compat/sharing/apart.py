"""Run on a few threads of this process what may wait, where an event loop must not: verbs that end in ``_async``."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, Final, TypeAlias

from ..roles.answers import Replied, awaited

__all__ = ["MOST_THREADS", "Waiting", "apart", "waiting_in_loop"]

MOST_THREADS: Final = 16
"""How many verbs a process has under way at a time; further ones wait for their turn, and the loop for none."""

Waiting: TypeAlias = Callable[[Callable[[Callable[[], None]], None]], Awaitable[None]]
"""See :meth:`~nodecluster_compat.roles.worker_runtime.Runtime.waiting`."""


Begin: TypeAlias = Callable[[Callable[[], None]], None]


async def waiting_in_loop(begin: Begin) -> None:
    """Hold up this task of whichever loop there is: whoever awaits has loaded asyncio, which nothing here may do."""
    loop = sys.modules["asyncio"].get_running_loop()
    future = loop.create_future()
    begin(partial(loop.call_soon_threadsafe, _settle, future))
    await future


def _settle(future: Any) -> None:  # noqa: ANN401 - of asyncio
    if not future.done():
        future.set_result(None)


class _ThisProcess:
    pid = 0
    threads: ThreadPoolExecutor | None = None


def _threads() -> ThreadPoolExecutor:
    if _ThisProcess.threads is None or _ThisProcess.pid != os.getpid():
        _ThisProcess.pid = os.getpid()
        _ThisProcess.threads = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="nodecluster-apart")
    return _ThisProcess.threads


async def apart(waiting: Waiting, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - the work's
    """Await what ``work()`` returns, which runs on another thread, in the context of the caller.

    What a task that is cancelled has begun is done all the same.

    Args:
        waiting: how a task waits in this process.
        work: may wait.

    Raises:
        WouldBlock: there is no event loop.
        Exception: what the work raises.
    """
    run = partial(copy_context().run, work)
    return await awaited(waiting, lambda replied: _threads().submit(_run, run, replied))


def _run(work: Callable[[], Any], replied: Replied) -> None:
    try:
        value = work()
    except Exception as error:  # noqa: BLE001 - raised where somebody awaits
        replied(error, None)
    else:
        replied(None, value)
