"""Show what the loop of an ASGI worker is doing, and block it where a test asks for that."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, Protocol

from ....asyncio_runtime.task_stacks import task_stacks

if TYPE_CHECKING:
    import asyncio
    from types import FrameType

    class _Worker(Protocol):
        """What is examined; it has ``connections`` once it serves."""

        loop: asyncio.AbstractEventLoop


__all__ = ["ExaminedLoop"]


class ExaminedLoop:
    """See :class:`~nodecluster_compat._gunicorn.worker.under_test.Examined`."""

    holds_thread: ClassVar = True

    def __init__(self, worker: _Worker) -> None:
        self._worker = worker

    def stacks(self, frame: FrameType | None) -> str:
        """Return what each task is doing."""
        connections = getattr(self._worker, "connections", None)
        if connections is not None:  # there are none before it serves
            connections.name_tasks()
        return task_stacks(self._worker.loop, frame)

    @staticmethod
    def block(seconds: float) -> None:
        """Block the loop, and all its tasks."""
        time.sleep(seconds)
