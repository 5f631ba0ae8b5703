"""Let a cluster's worker steer the gunicorn worker that it runs in: drain, close idle connections, exit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from ...errors import NO_EVENT_LOOP, WouldBlock

__all__ = ["SteeredWorker", "Steering"]


class SteeredWorker(Protocol):
    """The gunicorn worker, as its runtime sees it."""

    def begin_drain(self) -> None:
        """End in order, as somebody asked for."""

    def close_idle(self) -> None:
        """Wait no longer for a further request on idle connections, from the drain on."""

    def exit_now(self, code: int) -> None:
        """End with ``code``, whatever phase the worker is in."""

    def leave_caller(self) -> None:
        """End the calling greenlet, task or job."""

    def orphaned(self) -> None:
        """The primary is gone: end."""


class Steering:
    """The part of a :class:`~nodecluster_compat.roles.worker_runtime.Runtime` that all engines have in common.

    Args:
        worker: what it runs in.
    """

    def __init__(self, worker: SteeredWorker) -> None:
        super().__init__()
        self._worker = worker

    def begin_drain(self) -> None:
        """Take no more connections, finish those in flight, then end."""
        self._worker.begin_drain()

    def close_idle(self) -> None:
        """Wait for no further request on idle connections."""
        self._worker.close_idle()

    def exit_now(self, code: int) -> None:
        """End this process without waiting for requests."""
        self._worker.exit_now(code)

    def leave_caller(self) -> None:
        """End what called ``process.exit()``; the main greenlet or thread is on its way out."""
        self._worker.leave_caller()

    def waiting(self, begin: Callable[[Callable[[], None]], None]) -> Awaitable[None]:
        """Nothing awaits here; an engine with an event loop has its own.

        Raises:
            WouldBlock: always.
        """
        raise WouldBlock(NO_EVENT_LOOP)

    def orphaned(self) -> None:
        """End this process: its primary is gone."""
        self._worker.orphaned()
