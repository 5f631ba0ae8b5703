"""How the cluster is, in one record, and that record as a file for the programs around the server."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from typing import Final, Literal, TypeAlias

from ..connections.waiting import QueueStatus
from ..lifecycle.rollout import ReloadReport
from ..lifecycle.states import State

__all__ = ["ClusterState", "ClusterStatus", "WorkerHealth", "WorkerStatus", "write_status"]

ClusterState: TypeAlias = Literal["starting", "running", "reloading", "degraded", "stopping"]
WorkerHealth: TypeAlias = Literal["ok", "blocked", "stopped"]


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


_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """How the cluster is now.

    Attributes:
        pid: the primary's.
        state: ``starting`` until a worker has listened; ``degraded`` while workers keep failing; ``reloading``.
        target: how many workers there should be.
        listening: workers that serve.
        booting: workers that do not serve yet.
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


def write_status(status: ClusterStatus, path: str) -> None:
    """Write the status as JSON, so that a reader finds the old file or the new one, never a part.

    Everybody may read it, less the umask.  It is a new file each time: whoever may write in that folder can replace it,
    but cannot have this process write into a file of his choice.

    Raises:
        OSError: it cannot be written; the old file, if any, is as it was.
    """
    draft = f"{path}.{status.pid}"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)  # of a process that had this pid and was killed
        with open(os.open(draft, _NEW_FILE, 0o644), "w", encoding="utf-8") as file:
            json.dump(asdict(status), file)
            file.write("\n")
        os.replace(draft, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
