"""Define the status of a cluster: the record of ``cluster.status`` and of the status file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..connections.waiting import QueueStatus
from ..lifecycle.rollout import ReloadReport
from ..lifecycle.states import State

__all__ = ["ClusterState", "ClusterStatus", "WorkerHealth", "WorkerStatus"]

ClusterState: TypeAlias = Literal["starting", "running", "reloading", "degraded", "stopping"]
WorkerHealth: TypeAlias = Literal["ok", "blocked", "stopped", "saturated"]


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """How a worker is now.

    Attributes:
        id: the primary's number for it.
        pid: ``None`` before it is forked.
        state: as in ``worker.state``.
        health: ``blocked`` while its loop does not turn, ``stopped`` while a signal such as SIGSTOP holds it.
        lag: by how many seconds its loop was late, at worst, within the last few seconds.
    """

    id: int
    pid: int | None
    state: State
    health: WorkerHealth
    lag: float


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """How the cluster is now.

    Attributes:
        pid: the primary's.
        state: ``starting`` until a worker has listened (in script mode: is online); ``degraded`` while workers keep
            failing; ``reloading``.
        target: how many workers there should be; in script mode, how many there are.
        listening: workers that serve.
        booting: workers that do not serve yet; in script mode, that are not online yet.
        ending: workers that finish what they have.
        generation: of the workers that are started now; it grows with every reload.
        workers: each of them.
        queue: the connections that wait for a worker.
        faults: workers that failed within the last ``restart_period`` seconds.
        last_fault: how the last of them ended; ``None`` when none has.
        reload: the last reload, or the one under way; ``None`` before the first.
        upgrade: of a new master that USR2 started: ``pending``, ``ready`` or ``failed``; ``None`` without one.
    """

    pid: int
    state: ClusterState
    target: int
    listening: int
    booting: int
    ending: int
    generation: int
    workers: tuple[WorkerStatus, ...]
    queue: QueueStatus
    faults: int
    last_fault: str | None
    reload: ReloadReport | None
    upgrade: str | None
