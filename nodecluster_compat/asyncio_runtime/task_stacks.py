"""Say what every task of a loop is doing: each await of it, from the outermost to the one that it waits in."""

from __future__ import annotations

import asyncio
import linecache
import traceback
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

__all__ = ["task_stack", "task_stacks"]


def task_stacks(loop: asyncio.AbstractEventLoop, interrupted: FrameType | None) -> str:
    """Return the stacks of all tasks that have not ended.

    Args:
        loop: whose tasks.
        interrupted: the frame in which this thread was interrupted; it is of the task that runs, if one does.
    """
    current = asyncio.current_task(loop) if interrupted is not None else None
    parts = [_running(current, interrupted)] if interrupted is not None else []
    tasks = sorted((task for task in asyncio.all_tasks(loop) if task is not current), key=lambda task: task.get_name())
    parts += [_waiting(task) for task in tasks]
    return "\n".join(parts) if parts else "(no tasks)"


def task_stack(task: asyncio.Task[Any]) -> str:
    """Return the stack of one task that waits."""
    return "\n".join(_lines(task.get_coro()))


def _running(task: asyncio.Task[Any] | None, frame: FrameType) -> str:
    name = "The loop itself runs, in no task:" if task is None else f"{_title(task)} runs:"
    return f"{name}\n{''.join(traceback.format_stack(frame)).rstrip()}"


def _waiting(task: asyncio.Task[Any]) -> str:
    lines = list(_lines(task.get_coro()))
    return "\n".join([f"{_title(task)} waits:", *(lines or ["  (it has not begun)"])])


def _title(task: asyncio.Task[Any]) -> str:
    coroutine = task.get_coro()
    return f"Task {task.get_name()!r} ({getattr(coroutine, '__qualname__', coroutine)})"


def _lines(awaited: Any) -> Iterator[str]:  # noqa: ANN401 - a coroutine, an async generator or a generator
    while awaited is not None:
        frame, code = _place(awaited)
        if code is not None:
            number = code.co_firstlineno if frame is None else frame.f_lineno
            yield f'  File "{code.co_filename}", line {number}, in {code.co_name}'
            text = linecache.getline(code.co_filename, number).strip()
            if text:
                yield f"    {text}"
        awaited = _next(awaited)


def _place(awaited: Any) -> tuple[FrameType | None, CodeType | None]:  # noqa: ANN401 - as above
    for prefix in ("cr", "ag", "gi"):
        code = getattr(awaited, f"{prefix}_code", None)
        if isinstance(code, CodeType):
            return getattr(awaited, f"{prefix}_frame", None), code
    return None, None


def _next(awaited: Any) -> Any:  # noqa: ANN401 - as above
    for name in ("cr_await", "ag_await", "gi_yieldfrom"):
        following = getattr(awaited, name, None)
        if following is not None:
            return following
    return None
