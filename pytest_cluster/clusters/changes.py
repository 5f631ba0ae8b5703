"""Take a snapshot of a cluster, and check what a reload or a scaling has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ClusterError
from ..processes.primary import PrimaryProxy
from ..processes.worker import WorkerProxy

__all__ = [
    "ReloadReport",
    "Snapshot",
    "WorkerSnapshot",
    "check_reloaded",
    "check_restarted",
    "check_scaled",
    "take_snapshot",
]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all


@dataclass(frozen=True, slots=True)
class ReloadReport:
    """The end of a reload.

    Attributes:
        number: 1 for the first of this cluster.
        state: ``succeeded``, ``failed`` or ``superseded``.
        reason: why it failed, in a sentence; ``None`` otherwise.
        seconds: how long it took.
    """

    number: int
    state: str
    reason: str | None
    seconds: float

    @property
    def succeeded(self) -> bool:
        """Whether every worker now runs the new generation."""
        return self.state == "succeeded"


@dataclass(frozen=True, slots=True)
class WorkerSnapshot:
    """The state of a worker at one moment."""

    id: int
    pid: int | None
    state: str
    requests_served: int
    in_flight: int
    end: str
    """How it ended, in words; empty while it lives."""

    def __str__(self) -> str:
        text = f"worker {self.id}  pid {self.pid}  {self.state.upper() if self.end else self.state}"
        if self.end:
            text += f"  {self.end}"
        text += f"  served {self.requests_served}"
        return text + (f"  in flight {'at death ' if self.end else ''}{self.in_flight}" if self.in_flight else "")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a cluster at one moment: every worker that ever was, by id.

    Attributes:
        primary_pid: of the primary.
        returncode: the primary's, ``None`` while it ran.
        generation: of the workers that are started; it grows with every reload.  ``None`` where nobody could tell.
        target: how many workers there should be; ``None`` for a script.
    """

    primary_pid: int
    returncode: int | None
    generation: int | None
    target: int | None
    workers: tuple[WorkerSnapshot, ...]

    def __str__(self) -> str:
        state = "running" if self.returncode is None else f"ended, return code {self.returncode}"
        return "\n".join([f"primary pid {self.primary_pid}  {state}", *(f"  {worker}" for worker in self.workers)])


def take_snapshot(primary: PrimaryProxy, workers: Sequence[WorkerProxy]) -> Snapshot:
    """Return the state of a cluster now; what cannot be asked because the primary is stuck or gone is left out."""
    status: dict[str, object] = {}
    if primary.returncode is None:
        try:
            status = primary.ask("status", timeout=1.0)
        except ClusterError:
            status = {}
    generation, target = status.get("generation"), status.get("target")
    return Snapshot(
        primary.pid,
        primary.returncode,
        generation if isinstance(generation, int) else None,
        target if isinstance(target, int) else None,
        tuple(map(_worker_now, workers)),
    )


def check_reloaded(before: Sequence[WorkerProxy], after: Sequence[WorkerProxy]) -> None:
    """Fail unless *after* are all new, and those of *before* have ended because they were asked to."""
    stayed = sorted({worker.id for worker in before} & {worker.id for worker in after})
    if stayed:
        raise AssertionError(f"the reload succeeded, and worker {', '.join(map(str, stayed))} still runs the old code")
    for worker in before:
        if not worker.exited_after_disconnect:
            raise AssertionError(
                f"the reload succeeded, but {worker.title} was not asked to end: {worker.describe_end()}"
            )


def check_scaled(before: Sequence[WorkerProxy], after: Sequence[WorkerProxy]) -> None:
    """Fail unless as many of *before* as could stay have stayed, and the others ended because they were asked to."""
    stayed = [worker for worker in before if worker in after]
    gone = [worker for worker in before if worker not in after]
    for worker in gone:
        if not worker.exited_after_disconnect:
            raise AssertionError(
                f"the cluster was scaled, but {worker.title} was not asked to end: {worker.describe_end()}"
            )
    if len(stayed) != min(len(before), len(after)):
        raise AssertionError(
            f"the cluster was scaled from {len(before)} to {len(after)} workers, and only {len(stayed)} of the former "
            "are left: others were replaced"
        )


def check_restarted(old: WorkerProxy, before: Sequence[WorkerProxy], after: Sequence[WorkerProxy]) -> None:
    """Fail unless *old* ended because it was asked to, one worker came, and all others stayed."""
    if not old.exited_after_disconnect:
        raise AssertionError(f"{old.title} was to be restarted, but ended otherwise: {old.describe_end()}")
    lost = [worker for worker in before if worker not in after and worker != old]
    if lost:
        ends = "; ".join(f"{worker.title}: {worker.describe_end()}" for worker in lost)
        raise AssertionError(f"{old.title} was restarted, and others are gone as well: {ends}")


def _worker_now(worker: WorkerProxy) -> WorkerSnapshot:
    try:
        pid: int | None = worker.pid
    except ClusterError:
        pid = None
    tally = worker.tally
    end = worker.describe_end() if worker.is_dead() else ""
    return WorkerSnapshot(worker.id, pid, worker.state, tally.served, tally.in_flight, end)
