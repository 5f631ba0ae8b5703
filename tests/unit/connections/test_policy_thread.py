"""A program's own policy: it is asked beside dealing, and whatever it does, everybody is dealt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_rig import EngineRig
from own_descriptors import forget_others, own_descriptors

from nodecluster_compat.connections import policy_thread
from nodecluster_compat.connections.kernel_check import kernel_tells_what_was_taken
from nodecluster_compat.connections.policies import WorkerView, policy_of
from pytest_cluster.waiting import poll


@pytest.fixture
def rig() -> Iterator[EngineRig]:
    kernel_tells_what_was_taken()
    forget_others()
    before = len(own_descriptors())
    made = EngineRig(asks=False)
    yield made
    made.close()
    assert poll(lambda: len(own_descriptors()) == before, 5)


def deal_by(rig: EngineRig, function: Callable[..., Any]) -> None:
    rig.engine.listeners.use_policy(policy_of(function))


def turned(rig: EngineRig, check: Callable[[], Any]) -> None:
    """Turn the loop until something holds."""

    def look() -> bool:
        rig.turn()
        return bool(check())

    assert poll(look, 10)


def test_it_is_told_the_client_and_the_workers_and_chooses(rig: EngineRig) -> None:
    one, two, three = (rig.worker() for _ in range(3))
    told: list[Any] = []

    def second(client: Any, workers: list[WorkerView]) -> int:
        told.append((client, workers))
        return two.id

    deal_by(rig, second)
    rig.connect()
    turned(rig, two.has_offer)
    assert not one.has_offer()
    assert not three.has_offer()
    (client, workers) = told[0]
    assert client == rig.clients[0].getsockname()
    assert sorted(workers, key=lambda worker: worker.id) == [WorkerView(n, 0, 0) for n in (1, 2, 3)]
    two.take()


@pytest.mark.parametrize("answer", [None, 99, -5], ids=["nobody", "unknown", "none"])
def test_without_such_a_worker_anybody_gets_it(rig: EngineRig, answer: object) -> None:
    one = rig.worker()
    deal_by(rig, lambda *_: answer)
    for _ in range(2):
        rig.connect()
        turned(rig, one.has_offer)
        one.take()


@pytest.mark.parametrize("answer", ["raises", "two", 1.0, True])
def test_one_that_fails_is_asked_once(
    rig: EngineRig, answer: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy_thread, "_PATIENCE_SECONDS", 30.0)  # nobody else gets it before the failure is known
    one, calls = rig.worker(), []

    def policy(*_: object) -> Any:
        calls.append(1)
        if answer == "raises":
            raise ValueError("no")
        return answer

    deal_by(rig, policy)
    for _ in range(3):
        rig.connect()
        turned(rig, one.has_offer)
        one.take()
    assert len(calls) == 1
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["The policy policy failed"]


def test_one_that_never_answers_holds_a_client_up_for_a_moment_and_then_nobody(
    rig: EngineRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(policy_thread, "_MOST_SECONDS", 0.1)
    monkeypatch.setattr(policy_thread, "_FORK_SECONDS", 0.01)
    one, let_go = rig.worker(), threading.Event()
    deal_by(rig, lambda *_: let_go.wait(30) and None)
    try:
        rig.connect()
        rig.turn()
        assert not one.has_offer()
        turned(rig, one.has_offer)
        one.take()
        turned(rig, lambda: "took more than" in caplog.text)
        rig.connect()
        assert one.has_offer()
    finally:
        let_go.set()
        turned(rig, lambda: not thread_of(rig)._is_calling)


def thread_of(rig: EngineRig) -> Any:
    return rig.engine.listeners[rig.listener_ids[0]].policy_thread


def test_another_policy_takes_over_what_waits_for_an_answer(rig: EngineRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_thread, "_PATIENCE_SECONDS", 30.0)  # it waits for as long as a busy machine needs
    one, let_go = rig.worker(), threading.Event()
    deal_by(rig, lambda *_: let_go.wait(30) and None)
    rig.connect()
    rig.turn()
    assert rig.waiting() == 1
    threading.Timer(0.05, let_go.set).start()
    rig.engine.listeners.use_policy(policy_of("round_robin"))
    assert one.has_offer()
    one.take()


def test_one_that_is_slower_than_clients_come_is_asked_for_those_that_wait_only(
    rig: EngineRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(policy_thread, "_MOST_SECONDS", 60.0)
    one, let_go, calls = rig.worker(), threading.Event(), []

    def policy(*_: object) -> None:
        calls.append(1)
        let_go.wait(30)

    deal_by(rig, policy)
    try:
        for _ in range(4):
            rig.connect()
        for _ in range(4):
            turned(rig, one.has_offer)
            one.take()
    finally:
        let_go.set()
    turned(rig, lambda: not thread_of(rig)._is_calling and not thread_of(rig)._asked)
    assert len(calls) == 1
    told = [record.args[1] for record in caplog.records if isinstance(record.args, tuple)]
    assert told == [1, 2, 4]
