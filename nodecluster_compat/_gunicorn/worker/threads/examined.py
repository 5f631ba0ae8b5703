"""Show what the pool of a thread worker is doing, and block its main thread where a test asks for that."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ....thread_runtime.pool import ThreadPool
from ....thread_runtime.stacks import thread_stacks

if TYPE_CHECKING:
    from types import FrameType

    from ...requests.metering import Metering
    from .connections import ThreadConnections

    class _Worker(Protocol):
        """What is examined."""

        tpool: Any
        connections: ThreadConnections

        @property
        def metering(self) -> Metering:
            """Counts its requests."""


__all__ = ["ExaminedPool"]


class ExaminedPool:
    """See :class:`~nodecluster_compat._gunicorn.worker.under_test.Examined`."""

    holds_thread: ClassVar = True

    def __init__(self, worker: _Worker) -> None:
        self._worker = worker

    def stacks(self, frame: FrameType | None) -> str:
        """Return what each thread of the pool is doing."""
        pool = self._worker.tpool
        return thread_stacks(
            pool if isinstance(pool, ThreadPool) else None,
            self._worker.metering.meter.in_flight_by_ident(),
            self._worker.connections.without_thread,
        )

    @staticmethod
    def block(seconds: float) -> None:
        """Block the main thread: no connection is taken, and no message."""
        time.sleep(seconds)
