"""Define the figures of one worker that become metrics.  A pure record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from ...roles.status import WorkerHealth

__all__ = ["WorkerFigures"]


class WorkerFigures(Struct, frozen=True, gc=False):
    """The figures of one worker; see :class:`~nodecluster_compat.roles.status.WorkerStatus`."""

    slot: int
    health: WorkerHealth
    lag: float
    active_requests: int | None = None
    oldest_request_seconds: float | None = None
    connections: int | None = None
    rss_bytes: int | None = None
    cpu_seconds: float | None = None
