"""A policy that fails, at each of its methods: one line, and round robin from then on."""

from __future__ import annotations

import logging

import pytest
from dealing import Dealt

from nodecluster_compat.base.records import Connection
from nodecluster_compat.connections.policies import GuardedPolicy


class Lazy:
    """Always chooses the last that became idle, until it fails."""

    def __init__(self, fails: str, answer: object = None) -> None:
        self.fails = fails
        self.answer = answer
        self.idle: list[int] = []

    def add(self, worker_id: int) -> None:
        self._fail("add")
        self.idle.append(worker_id)

    def remove(self, worker_id: int) -> None:
        self._fail("remove")
        if worker_id in self.idle:
            self.idle.remove(worker_id)

    def choose(self, connection: Connection) -> int | None:
        self._fail("choose")
        if self.answer is not None:
            return self.answer  # type: ignore[return-value]
        return self.idle.pop() if self.idle else None

    def _fail(self, method: str) -> None:
        if self.fails == method:
            raise LookupError(method)


@pytest.mark.parametrize("method", ["add", "remove", "choose"])
def test_policy_that_raises_is_replaced(method: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is lost by it, and nobody gets a second offer."""
    policy = Lazy("")
    rig = Dealt(GuardedPolicy(policy, logging.getLogger("test")), 9)
    rig.join(1, 2, 3)
    policy.fails = method
    rig.dispatcher.busy(3)
    rig.add(10, 11, 12)
    assert sorted(rig.held) == [1, 2]
    assert rig.waiting() == [12]
    for worker_id in (1, 2, 3):
        rig.taken(worker_id)
    assert rig.waiting() == []
    assert caplog.text.count("The policy Lazy failed") == 1
    assert "LookupError" in caplog.text


@pytest.mark.parametrize("answer", ["1", 1.0, True, object()])
def test_choice_that_is_no_id_is_a_failure(answer: object, caplog: pytest.LogCaptureFixture) -> None:
    rig = Dealt(GuardedPolicy(Lazy("", answer), logging.getLogger("test")), 9)
    rig.join(1)
    rig.add(10)
    assert rig.offers == [(1, 10)]
    assert "expected choose() to return the id of a worker or None" in caplog.text


def test_worker_that_is_not_there_is_anybody() -> None:
    rig = Dealt(GuardedPolicy(Lazy("", 99), logging.getLogger("test")), 9)
    rig.join(1, 2)
    rig.add(10, 11)
    assert sorted(rig.held) == [1, 2]


def test_policy_that_works_chooses(caplog: pytest.LogCaptureFixture) -> None:
    rig = Dealt(GuardedPolicy(Lazy(""), logging.getLogger("test")), 9)
    rig.join(1, 2)
    rig.add(10)
    assert rig.offers == [(2, 10)]
    assert not caplog.text
