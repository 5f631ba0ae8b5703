"""Let a cluster's worker steer the gevent worker that it runs in: drain, close idle connections, exit."""

from __future__ import annotations

from typing import Protocol

from ...runtime.gevent_reactor import GeventReactor

__all__ = ["SteeredWorker", "WorkerRuntime"]


class SteeredWorker(Protocol):
    """The gunicorn worker, as its runtime sees it."""

    def begin_drain(self) -> None:
        """End in order, as somebody asked for."""

    def close_idle(self) -> None:
        """Wait no longer for a further request on idle connections, from the drain on."""

    def exit_now(self, code: int) -> None:
        """End with ``code``, whatever phase the main greenlet is in."""

    def leave_caller(self) -> None:
        """End the calling greenlet."""

    def orphaned(self) -> None:
        """The primary is gone: end."""


class WorkerRuntime(GeventReactor):
    """This kind of worker, as :class:`~nodecluster_compat.roles.this_worker.ClusterWorker` needs it."""

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
        """End the calling greenlet; the main one is on its way out."""
        self._worker.leave_caller()

    def orphaned(self) -> None:
        """End this process: its primary is gone."""
        self._worker.orphaned()
