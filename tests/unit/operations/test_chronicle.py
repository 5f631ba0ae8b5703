"""What has happened, for those who ask."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.lifecycle.rollout import ReloadReport
from nodecluster_compat.operations import chronicle as chronicle_module
from nodecluster_compat.operations.chronicle import Chronicle


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop(logging.getLogger("test"))
    yield made
    made.close()


def after(chronicle: Chronicle, number: int, *, waits: bool = False) -> list[Any]:
    said: list[Any] = []
    chronicle.after(number, said.append, waits=waits)
    return said


def test_events_since_one_are_given(loop: Loop) -> None:
    chronicle = Chronicle(loop)
    for number in range(3):
        chronicle.note("tick", number=number)
    [said] = after(chronicle, 1)
    assert [(one["seq"], one["event"], one["number"]) for one in said["events"]] == [(2, "tick", 1), (3, "tick", 2)]
    assert (said["last"], said["lost"]) == (3, 0)
    assert [one["seq"] for one in after(chronicle, -1)[0]["events"]] == [3]
    assert after(chronicle, 99)[0]["events"] == []


def test_what_is_forgotten_is_counted(loop: Loop) -> None:
    chronicle = Chronicle(loop)
    for _ in range(600):
        chronicle.note("tick")
    [said] = after(chronicle, 50)
    assert (said["lost"], said["events"][0]["seq"], len(said["events"])) == (50, 101, 500)


def test_who_waits_hears_of_the_next_one(loop: Loop) -> None:
    chronicle = Chronicle(loop)
    said = after(chronicle, 0, waits=True)
    loop.run_once(0)
    assert said == []
    chronicle.note("tick")
    loop.run_once(0)
    assert [one["event"] for one in said[0]["events"]] == ["tick"]


def test_who_waits_in_vain_gets_an_empty_answer(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chronicle_module, "_PATIENCE", 0.0)
    chronicle = Chronicle(loop)
    said = after(chronicle, 0, waits=True)
    while not said:
        loop.run_once(0.01)
    assert said == [{"events": [], "last": 0, "lost": 0}]
    chronicle.note("tick")
    loop.run_once(0)
    assert len(said) == 1


def test_changes_of_the_whole_are_events(loop: Loop) -> None:
    chronicle = Chronicle(loop)
    for facts in (
        ("starting", None, None, None),
        ("running", None, None, None),
        ("running", "exited", ReloadReport(1, "rolling"), None),
        ("degraded", "exited", ReloadReport(1, "failed", "why"), None),
        ("degraded", "exited", ReloadReport(1, "failed", "why"), "pending"),
    ):
        chronicle.look(*facts)
        chronicle.look(*facts)
    told = [{key: one[key] for key in one if key not in ("seq", "at")} for one in after(chronicle, 0)[0]["events"]]
    assert told == [
        {"event": "state", "state": "starting", "fault": None},
        {"event": "state", "state": "running", "fault": None},
        {"event": "reload", "number": 1, "state": "rolling", "reason": None},
        {"event": "state", "state": "degraded", "fault": "exited"},
        {"event": "reload", "number": 1, "state": "failed", "reason": "why"},
        {"event": "upgrade", "state": "pending"},
    ]
