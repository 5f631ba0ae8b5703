"""Define the status of a cluster: the records of ``cluster.status``, of the status file and of the control socket.

Frozen records, composed in one place (``StatusBoard``).  In JSON a record is an object with the same keys.  Keys are
only ever added.  What must be counted in the workers comes from ``numbers``; where nobody counts it is ``None``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from ..connections.queue_watch import QueueStatus
from ..lifecycle.endings import ExitReason
from ..lifecycle.rollout import ReloadReport
from ..lifecycle.states import State

__all__ = [
    "BusStatus",
    "ClusterState",
    "ClusterStatus",
    "Durations",
    "ListenerStatus",
    "NativeStatus",
    "Totals",
    "WorkerExit",
    "WorkerHealth",
    "WorkerStatus",
]

ClusterState: TypeAlias = Literal["starting", "running", "reloading", "degraded", "stopping"]
WorkerHealth: TypeAlias = Literal["ok", "blocked", "stopped", "saturated"]


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """How a worker is now.

    Attributes:
        id: the primary's number for it, never used again.
        pid: ``None`` before it is forked.
        state: as in ``worker.state``.
        health: ``blocked`` while its loop does not turn, ``stopped`` while a signal such as SIGSTOP holds it,
            ``saturated`` while all its threads are stuck in requests and connections wait.
        lag: by how many seconds its loop was late, at worst, within the last few seconds.
        slot: its place, from 1.  A successor has that of the worker which it replaces, while both run, too.
        generation: the reload that started it, 0 for none.
        is_leaving: whether it was told to end, or said that it will.
        started_at: when it was forked, RFC 3339; ``None`` before.
        age: seconds since then.
        listening_for: seconds since it listens; ``None`` while it does not.
        requests, active_requests, oldest_request_seconds, connections, rss_bytes, cpu_seconds: see
            :class:`~nodecluster_compat.roles.numbers.WorkerNumbers`.
    """

    id: int
    pid: int | None
    state: State
    health: WorkerHealth
    lag: float
    slot: int = 0
    generation: int = 0
    is_leaving: bool = False
    started_at: str | None = None
    age: float | None = None
    listening_for: float | None = None
    requests: int | None = None
    active_requests: int | None = None
    oldest_request_seconds: float | None = None
    connections: int | None = None
    rss_bytes: int | None = None
    cpu_seconds: float | None = None

    @property
    def lasting(self) -> WorkerStatus:
        """The same without what changes by itself."""
        return WorkerStatus(
            self.id,
            self.pid,
            self.state,
            self.health,
            self.lag,
            self.slot,
            self.generation,
            self.is_leaving,
            self.started_at,
        )


@dataclass(frozen=True, slots=True)
class ListenerStatus:
    """A listening socket.

    Attributes:
        address: what it is bound to: ``127.0.0.1:8000``, ``[::1]:8000`` or a path.
        backlog: connections that wait in the kernel; ``None`` where it does not tell (unix sockets).
        backlog_limit: how many may; ``None`` likewise.
    """

    address: str
    backlog: int | None
    backlog_limit: int | None


@dataclass(frozen=True, slots=True)
class WorkerExit:
    """How a worker has ended.

    Attributes:
        id, slot, pid, generation: see :class:`WorkerStatus`.
        at: when, RFC 3339.
        age: for how many seconds it had run.
        code: its exit code; ``None`` if a signal ended it.
        signal: the name of that signal; ``None`` otherwise.
        reason: why it ended, in one word.
        how: the same in words that continue "the worker ...".
        requests: that it had answered; ``None`` where nobody counts.
        active_requests: that it was answering.
        last_words: the last lines of its log.
    """

    id: int
    slot: int
    pid: int
    generation: int
    at: str
    age: float
    code: int | None
    signal: str | None
    reason: ExitReason
    how: str
    requests: int | None = None
    active_requests: int | None = None
    last_words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Durations:
    """How long requests took, as a histogram.

    Attributes:
        bounds: the upper bounds of the buckets, in seconds, rising.
        counts: how many requests are in each bucket, and in it alone; one more than there are bounds, the last for
            what took longer than all of them.
        seconds: that all of them took together.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of what has happened since the server began.

    Attributes:
        spawned: workers that were started.
        exits: workers that have ended, by reason.
        reloads: that have ended, by state.
        requests, responses, connections, durations: see :class:`~nodecluster_compat.roles.numbers.TotalNumbers`.
    """

    spawned: int = 0
    exits: Mapping[str, int] = field(default_factory=dict)
    requests: int | None = None
    responses: Mapping[str, int] | None = None
    connections: int | None = None
    durations: Durations | None = None
    reloads: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BusStatus:
    """Counts of the messages of ``cluster.bus``, by their fate.

    Attributes:
        published: how many have come to the primary, from its workers and from other hosts.
        dropped: how many deliveries were lost, by reason: ``slow_worker``, ``slow_handler``, ``slow_primary``,
            ``server_away``, ``foreign``, ``given_up``, ``too_large``.
    """

    published: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NativeStatus:
    """Whether the C extension serves, or Python alone.

    Attributes:
        is_on: whether it does.
        why_not: in a few words; empty where it does.
    """

    is_on: bool = False
    why_not: str = ""


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
        generation: of the workers that serve; of the oldest of them, during a reload.
        workers: each of them.
        queue: the connections that wait for a worker.
        faults: workers that failed within the last ``restart_period`` seconds.
        last_fault: how the last of them ended; ``None`` when none has.
        reload: the last reload, or the one under way; ``None`` before the first.
        upgrade: of a new master that USR2 started: ``pending``, ``ready`` or ``failed``; ``None`` without one.
        mode: ``server`` or ``script``.
        started_at: when the server began, RFC 3339.
        now: when this was composed, RFC 3339.
        uptime: seconds since the server began.
        next_attempt_in: seconds until a worker is started again; ``None`` unless workers keep failing.
        listeners: the listening sockets of the primary.
        totals: since the server began.
        exits: the last workers that have ended, the newest last.
        native: whether the C extension serves.
        bus: what has become of messages.
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
    mode: Literal["server", "script"] = "server"
    started_at: str = ""
    now: str = ""
    uptime: float = 0.0
    next_attempt_in: float | None = None
    listeners: tuple[ListenerStatus, ...] = ()
    totals: Totals = field(default_factory=Totals)
    exits: tuple[WorkerExit, ...] = ()
    native: NativeStatus = NativeStatus()
    bus: BusStatus = field(default_factory=BusStatus)

    @property
    def lasting(self) -> ClusterStatus:
        """The same without what changes by itself: two that are equal tell the same story."""
        return replace(
            self,
            now="",
            uptime=0.0,
            next_attempt_in=None,
            listeners=tuple(replace(one, backlog=None) for one in self.listeners),
            queue=replace(self.queue, oldest_seconds=0.0),
            totals=Totals(self.totals.spawned, self.totals.exits),
            workers=tuple(worker.lasting for worker in self.workers),
            bus=BusStatus(0, self.bus.dropped),
        )

    @property
    def is_live(self) -> bool:
        """Whether the server is of any use: not while workers keep failing and none serves."""
        return self.state != "degraded" or bool(self.listening)

    @property
    def is_ready(self) -> bool:
        """Whether a request would be answered now: a worker serves, and its loop turns."""
        if self.state == "stopping":
            return False
        if self.mode == "script":
            return self.state == "running"
        serving = [one for one in self.workers if one.state == "listening" and not one.is_leaving]
        return any(one.health == "ok" for one in serving)
