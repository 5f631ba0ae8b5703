"""Draw up the status of the cluster."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final, Protocol

from ...base.native import in_force
from ...base.wall_time import rfc3339
from ...machine.backlog import backlog_of
from ...roles.numbers import LAG_DIGITS, NO_NUMBERS
from ...roles.status import (
    BusStatus,
    ClusterState,
    ClusterStatus,
    ListenerStatus,
    NativeStatus,
    Totals,
    WorkerStatus,
)
from ...sharing.losses import REASONS

if TYPE_CHECKING:
    import _socket

    from ...base.records import SocketName
    from ...lifecycle.rollout import ReloadReport
    from ...roles.numbers import Numbers
    from ...roles.worker_handle import WorkerEntry, WorkerHandle
    from ...sharing.exchange import Exchange
    from .exit_history import ExitHistory
    from .judging import Judge
    from .pressure import Pressure
    from .reloading import Reloader
    from .seat import Seat
    from .upgrading import Upgrade

__all__ = ["StatusBoard"]

_DIGITS: Final = 3


if TYPE_CHECKING:

    class _Seat(Seat, Protocol):
        """The arbiter, with what its processes share."""

        exchange: Exchange


class StatusBoard:
    """Says how the cluster of one arbiter is: the one place where its status is composed."""

    def __init__(
        self,
        arbiter: _Seat,
        judge: Judge,
        reloader: Reloader,
        upgrade: Upgrade,
        pressure: Pressure,
        exits: ExitHistory,
    ) -> None:
        self._arbiter = arbiter
        self._judge = judge
        self._reloader = reloader
        self._upgrade = upgrade
        self._pressure = pressure
        self._exits = exits
        self._started, self._started_at = time.monotonic(), rfc3339(time.time())
        choice = in_force()
        self._native = NativeStatus(choice.module is not None, choice.why_not)

    @property
    def numbers(self) -> Numbers:
        """Who knows what the workers have counted; nobody, unless somebody registers here."""
        return self._exits.numbers

    @numbers.setter
    def numbers(self, numbers: Numbers) -> None:
        self._exits.numbers = numbers

    def status(self) -> ClusterStatus:
        """How the cluster is now."""
        return self._composed(self.numbers)

    def outline(self) -> ClusterStatus:
        """Return the same without what is counted in the workers: for callers that ask again and again."""
        return self._composed(NO_NUMBERS)

    def without_workers(self) -> ClusterStatus:
        """Return the same without anything about a single worker: for callers that ask the workers themselves."""
        return self._composed(NO_NUMBERS, has_workers=False)

    def _composed(self, numbers: Numbers, *, has_workers: bool = True) -> ClusterStatus:
        arbiter, roster, now = self._arbiter, self._arbiter.roster, time.monotonic()
        workers = arbiter.primary.registry.by_id.values() if has_workers else ()
        return ClusterStatus(
            pid=arbiter.pid,
            state=self._state(),
            target=self._target(),
            listening=len(roster.listening),
            booting=self._booting(),
            ending=roster.ending,
            generation=roster.serving_generation,
            workers=tuple(self._status_of(worker, numbers, now) for worker in workers),
            queue=self._pressure.status,
            faults=self._judge.faults,
            last_fault=self._judge.last_fault,
            reload=self._reloader.last_report,
            upgrade=self._upgrade.state,
            mode="server" if arbiter.is_supervised else "script",
            started_at=self._started_at,
            now=rfc3339(time.time()),
            uptime=round(now - self._started, _DIGITS),
            next_attempt_in=_rounded(self._judge.next_attempt_in),
            listeners=self._listeners(),
            totals=self._totals(numbers),
            exits=self._exits.last,
            native=self._native,
            bus=self._bus(),
        )

    def _bus(self) -> BusStatus:
        fan_out = self._arbiter.exchange.fan_out
        return BusStatus(fan_out.published, {reason: fan_out.lost[reason] for reason in REASONS})

    def _status_of(self, worker: WorkerHandle, known: Numbers, now: float) -> WorkerStatus:
        pid = worker.process.pid
        entry = None if pid is None else self._arbiter.roster.with_pid(pid)
        numbers = known.of(worker)
        return WorkerStatus(
            id=worker.id,
            pid=pid,
            state=worker.state,
            health=worker.health,
            lag=round(worker.lag, LAG_DIGITS),
            slot=worker.slot,
            generation=worker.generation,
            is_leaving=worker.way_out.is_ending,
            started_at=None if worker.started_at is None else rfc3339(worker.started_at),
            age=None if entry is None else round(now - entry.started, _DIGITS),
            listening_for=_since(None if entry is None else entry.listening_since, now),
            requests=numbers.requests,
            active_requests=numbers.active_requests,
            oldest_request_seconds=numbers.oldest_request_seconds,
            connections=numbers.connections,
            rss_bytes=numbers.rss_bytes,
            cpu_seconds=numbers.cpu_seconds,
        )

    def _listeners(self) -> tuple[ListenerStatus, ...]:
        return tuple(_listener_status(sock) for sock in self._sockets())

    def _sockets(self) -> list[_socket.socket]:
        return [*(listener.sock for listener in self._arbiter.LISTENERS), *self._arbiter.primary.shared.sockets]

    def _totals(self, known: Numbers) -> Totals:
        numbers, exits = known.totals(), self._exits.counts
        spawned = sum(exits.values()) + sum(1 for _ in self._arbiter.roster.with_handles)
        return Totals(
            spawned,
            exits,
            numbers.requests,
            numbers.responses,
            numbers.connections,
            numbers.durations,
            dict(self._reloader.outcomes),
        )

    @property
    def headline(self) -> tuple[ClusterState, str | None, ReloadReport | None, str | None]:
        """What changes the whole: the state, the last fault, the last reload, an upgrade."""
        return self._state(), self._judge.last_fault, self._reloader.last_report, self._upgrade.state

    def _target(self) -> int:
        return self._arbiter.num_workers if self._arbiter.is_supervised else len(self._arbiter.roster.staying)

    def _booting(self) -> int:
        booting = self._arbiter.roster.booting
        if self._arbiter.is_supervised:
            return len(booting)
        return sum(1 for entry in booting if not _is_online(entry))  # a script's worker need not listen

    def _state(self) -> ClusterState:
        if self._arbiter.is_stopping:
            return "stopping"
        if self._judge.is_degraded:
            return "degraded"
        if self._arbiter.roster.rollout is not None:
            return "reloading"
        roster = self._arbiter.roster
        if roster.has_listened or (not self._arbiter.is_supervised and any(map(_is_online, roster.staying))):
            return "running"
        return "starting"


def _is_online(entry: WorkerEntry) -> bool:
    return entry.handle is not None and entry.handle.state != "none"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, _DIGITS)


def _since(start: float | None, now: float) -> float | None:
    return None if start is None else round(now - start, _DIGITS)


def _listener_status(sock: _socket.socket) -> ListenerStatus:
    backlog = backlog_of(sock.fileno(), sock.family)
    address = _spelled(sock.getsockname())
    return ListenerStatus(address, None, None) if backlog is None else ListenerStatus(address, *backlog)


def _spelled(name: SocketName) -> str:
    if isinstance(name, tuple):
        return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
    return os.fsdecode(name).replace("\0", "@")
