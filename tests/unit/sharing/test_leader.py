"""The leader in a worker: a job that is due while it is not known whether this worker leads."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

from exchange_peers import LOG

from nodecluster_compat.sharing.leader import Job, Leader
from nodecluster_compat.sharing.verbs import UNASKED, Verbs
from nodecluster_compat.sharing.wire import encode


class Mandate:
    def __init__(self) -> None:
        self.is_held = True

    def ran(self, key: str) -> None:
        assert key == "tick"

    def seek(self, token: int, have: Callable[[int, dict[str, float]], None], lost: Callable[[], None]) -> None:
        self.have, self.lost = have, lost

    def give_back(self, given: Callable[[], None]) -> None:
        given()


class Rig:
    """A worker that leads, and has one job."""

    def __init__(self) -> None:
        self.timers: list[Callable[[], None]] = []
        self.runs: list[int] = []
        self.mandate = Mandate()
        self.runtime = SimpleNamespace(
            lock=nullcontext(), call_later=lambda _, call: self.timers.append(call), spawn=self.spawn
        )
        around: Any = SimpleNamespace(
            member=SimpleNamespace(runtime=self.runtime), side=SimpleNamespace(call=lambda *_: None), log=LOG
        )
        verbs = Verbs()
        found: Any = self.mandate
        self.leader = Leader(around, verbs, lambda: found)
        self.leader.add(Job("tick", 60.0, self.runs.append))
        peer: Any = SimpleNamespace(id=0)
        verbs.call(peer, "lead", encode([3, {}]), UNASKED)
        self.mandate.have(8, {})

    def spawn(self, call: Callable[[], None], ended: Callable[[], None] = lambda: None) -> None:
        call()
        ended()

    def fire(self) -> None:
        timers, self.timers = self.timers, []
        for timer in timers:
            timer()


def test_a_job_that_is_due_amid_a_doubt_runs_behind_it() -> None:
    """The server stands still, and goes on before the leadership is lost: the job is not forgotten."""
    rig = Rig()
    rig.mandate.is_held = False
    rig.fire()
    assert rig.runs == []
    rig.mandate.is_held = True
    rig.fire()
    assert rig.runs == [8]
    assert len(rig.timers) == 1


def test_a_job_of_a_leadership_that_is_lost_is_looked_at_no_more() -> None:
    rig = Rig()
    rig.mandate.is_held = False
    rig.fire()
    rig.mandate.lost()
    rig.fire()
    assert (rig.runs, rig.timers) == ([], [])
