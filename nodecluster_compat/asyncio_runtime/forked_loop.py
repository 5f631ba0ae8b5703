"""Leave asyncio's loop in a process that a worker forks (``machine/forked_child.py`` has the rest).

A fork copies the loop and what is ready in it: in the child it would begin the requests of everybody else, which the
worker begins as well.  So what the loop does next there is to end the process, and so the task that forked runs until
it waits for something: nothing could tell it, because the loop's descriptors are the worker's.

``stop`` would not do: a loop that is stopped ends its turn first, and uvloop only the next one.

A thread that has forked tells the loop what its job has returned, and waits for the next one: there the process ends.
"""

from __future__ import annotations

import asyncio
import gc
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from threading import get_ident
from typing import Any

from ..machine.forked_child import code_of, end, never_resumed, worker_begins

__all__ = ["loop_begins"]


def loop_begins(loop: asyncio.AbstractEventLoop) -> None:
    """In a worker, in the thread of its loop."""
    worker_begins(partial(_leave, loop, get_ident()))


def _leave(loop: asyncio.AbstractEventLoop, ident: int) -> None:
    if get_ident() != ident:
        loop.call_soon_threadsafe = partial(_told, loop.call_soon_threadsafe)  # type: ignore[method-assign, assignment]
        return
    with suppress(RuntimeError):  # the loop is closed, or a debugged one says that another thread has forked
        loop.call_soon(_end, asyncio.current_task(loop))
        for ready in _queues(loop):
            ready.rotate(1)  # before all else


def _queues(loop: asyncio.AbstractEventLoop) -> list[deque[Any]]:
    """Return what is ready: asyncio's has a name, uvloop's has not."""
    named = getattr(loop, "_ready", None)
    return [one for one in gc.get_referents(loop) if isinstance(one, deque)] if named is None else [named]


def _end(forker: asyncio.Task[Any] | None) -> None:
    if forker is None:  # a callback has forked, and has returned
        end(0)
    if not forker.done() or forker.cancelled():
        end(never_resumed())
    end(code_of(forker.exception()))


def _told(tell: Callable[..., Any], callback: Callable[..., Any], *args: Any, **more: Any) -> Any:  # noqa: ANN401 - any
    """In the place of a loop's ``call_soon_threadsafe``."""
    if args and isinstance(args[-1], Future) and args[-1].done():  # asyncio's, of what an executor has run
        end(code_of(args[-1].exception()))
    if getattr(callback, "__name__", "") == "_report_result":  # anyio's, of an endpoint that is a ``def``
        end(code_of(args[-1]))
    return tell(callback, *args, **more)
