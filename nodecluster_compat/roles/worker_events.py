"""Emit the events of workers in the primary, in the order that is part of the contract.

For every event but ``message`` the worker's handlers run before the cluster's, and ``fork`` is told on the turn after
the fork; whatever else happens to the worker meanwhile is told after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..base.emitter import Emitter

if TYPE_CHECKING:
    from ..base.loop import Loop
    from ..base.records import Message
    from .requests import Reply
    from .worker_handle import WorkerHandle

__all__ = ["WorkerEvents"]


class WorkerEvents:
    """The events of the workers of one primary.

    Args:
        loop: the primary's.
        events: the emitter of ``cluster``.

    Attributes:
        taps: told of each event, before anybody else; a door for capabilities.
    """

    def __init__(self, loop: Loop, events: Emitter) -> None:
        self._loop = loop
        self._events = events
        self.taps: list[Callable[[str, WorkerHandle, tuple[Any, ...]], None]] = []

    def emit(self, worker: WorkerHandle, event: str, *args: object) -> None:
        """Emit an event of a worker: its own handlers hear it first, then the cluster's, then its process's."""
        if not worker.is_fork_told:
            self._loop.call_soon(self.emit, worker, event, *args)  # after its fork, which is queued
            return
        for tap in self.taps:
            tap(event, worker, args)
        worker.emit(event, *args)
        self._events.emit(event, worker, *args)
        worker.process.tell(event, *args)

    def emit_fork_soon(self, worker: WorkerHandle) -> None:
        """The worker has a process: emit ``fork`` on the next turn, and only then read what it says."""
        worker.line.pause_reading()
        worker.is_fork_told = False
        self._loop.call_soon(self._emit_fork, worker)

    def _emit_fork(self, worker: WorkerHandle) -> None:
        worker.is_fork_told = True
        worker.process.emit("spawn")
        self.emit(worker, "fork")
        worker.line.resume_reading()

    def emit_request(self, worker: WorkerHandle, message: Message, reply: Reply) -> None:
        """Emit ``request``: the worker asks, and any listener may reply."""
        self._events.emit("request", worker, message, reply)
        worker.emit("request", message, reply)

    def hears_requests(self, worker: WorkerHandle) -> bool:
        """Whether anybody listens for ``request`` of this worker."""
        return bool(self._events.listener_count("request") or worker.listener_count("request"))
