"""What carries requests to other hosts: how long it waits for them."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat.sharing import carrier as carriers
from nodecluster_compat.sharing.carrier import Carrier
from nodecluster_compat.sharing.outcomes import Gathered
from nodecluster_compat.sharing.remote_desk import GRACE_SECONDS, AskHosts


class Rig:
    """A carrier with one other host, whose keeper does its jobs when it is told to."""

    def __init__(self) -> None:
        self.timers: list[tuple[float, Any]] = []
        self.jobs: list[Any] = []
        later = SimpleNamespace(
            lock=nullcontext(), call_later=lambda seconds, call: self.timers.append((seconds, call))
        )
        losses = SimpleNamespace(count=lambda _: None)
        around: Any = SimpleNamespace(member=SimpleNamespace(runtime=later), losses=losses)
        keeper: Any = SimpleNamespace(do=lambda job, **_: self.jobs.append(job))
        self.carrier = Carrier(around, keeper, "test", "here")
        self.bridge: Any = SimpleNamespace(is_listening=True, others={})
        self.carrier.begin(self.bridge)
        self.present: list[float] = []
        self.work()
        self.timers.clear()

    def present_for(self, seconds: float) -> list[bytes]:
        self.present.append(seconds)
        return [b"here", b"there"]

    def work(self) -> None:
        client = SimpleNamespace(eval=lambda *args: self.present_for(args[-2]), publish=lambda *_: None)
        while self.jobs:
            self.jobs.pop(0)(client)


def test_a_host_has_the_time_to_say_which_of_its_workers_are_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for them as long as was asked for, and its word has to get here; waiting for the server counts."""
    now = [100.0]
    monkeypatch.setattr(carriers, "time", SimpleNamespace(monotonic=lambda: now[0]))
    rig, came = Rig(), list[Gathered]()
    rig.carrier.ask(AskHosts(2.0, b"question"), came.append)
    now[0] += 0.5
    rig.work()
    [(seconds, expire)] = rig.timers
    assert seconds == pytest.approx(1.5 + GRACE_SECONDS)
    expire()
    assert [(one.host, one.cause) for one in came[0].missing] == [("there", "late")]


def test_without_a_time_a_host_is_waited_for() -> None:
    rig = Rig()
    rig.carrier.ask(AskHosts(None, b"question"), lambda _: None)
    rig.work()
    assert rig.timers == []


def test_who_does_not_hear_others_is_not_expected_to_answer() -> None:
    """Connected anew, or not yet: it is present from when the server has it as a listener, and asks nobody before."""
    rig, came = Rig(), list[Gathered]()
    assert rig.present == [carriers.PRESENT_SECONDS]
    rig.bridge.is_listening = False
    rig.carrier.ask(AskHosts(2.0, b"question"), came.append)
    assert [(one.host, one.cause) for one in came[0].missing] == [("", "failed")]
    rig.carrier._beat()
    rig.work()
    assert rig.present[1:] == [0]
