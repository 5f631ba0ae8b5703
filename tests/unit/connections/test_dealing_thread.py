"""The thread that deals: it runs beside the arbiter, ends for a fork, and what happens where it cannot or dies."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from threading import Event

import pytest
from dealer_rig import DealerRig, dealer_rig

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.connections.dealer import Dealer
from nodecluster_compat.connections.dealing_thread import SWITCH_SECONDS
from nodecluster_compat.connections.policies import RoundRobin
from nodecluster_compat.machine.helper_thread import HelperThread

LOG = logging.getLogger("test")


@pytest.fixture
def rig() -> Iterator[DealerRig]:
    yield from dealer_rig()


def test_connections_flow_while_the_arbiter_does_something_else(rig: DealerRig) -> None:
    """Its loop does not turn once."""
    assert rig.dealer.is_beside
    for _ in range(3):
        rig.connect()
        rig.take()


def test_dealer_without_a_thread_deals_on_the_arbiters_loop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The user may have no more of them."""

    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(HelperThread, "_begin", no_thread)
    rig = DealerRig()
    while "could not begin" not in caplog.text:
        rig.loop.run_once(1)
    taker = threading.Thread(target=rig.take)
    taker.start()
    rig.connect()
    while taker.is_alive():
        rig.loop.run_once(0.05)
    assert not rig.dealer.is_beside
    rig.close()


def test_nothing_runs_beside_where_there_is_nothing_to_deal() -> None:
    loop = Loop(LOG)
    dealer = Dealer(loop, LOG, RoundRobin, 4, lambda _: None, lambda *_: None)
    dealer.run_beside()
    assert not dealer.is_beside
    dealer.close()
    loop.close()


def test_fork_has_one_thread_and_dealing_goes_on(rig: DealerRig) -> None:
    rig.connect()
    rig.take()
    threads = len(os.listdir("/proc/self/task"))
    assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
    pid = os.fork()
    if not pid:
        code = 0
        try:
            assert len(os.listdir("/proc/self/task")) == 1
            rig.dealer.abandon()
            assert sys.getswitchinterval() > SWITCH_SECONDS
        except BaseException:  # noqa: BLE001 - a child's
            code = 1
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    rig.connect()
    rig.take()
    assert len(os.listdir("/proc/self/task")) == threads


def test_dealing_goes_on_while_a_fork_waits_for_another_thread(rig: DealerRig) -> None:
    """As for one that writes a log which nobody reads; this one ends when a connection was dealt."""
    dealt: list[bool] = []
    waits = Event()

    def wait_for_a_connection() -> None:
        waits.set()
        rig.take()
        dealt.append(helper.is_stopping)

    helper = HelperThread("stuck", wait_for_a_connection, rig.connect, lambda error: None, patience=10.0)
    helper.start()
    assert waits.wait(20)
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    assert dealt == [True]
    assert helper.stop()


def test_dealer_that_dies_is_told_and_the_arbiter_deals_by_itself(
    rig: DealerRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is lost by it."""

    def broken(_: int) -> None:
        raise ZeroDivisionError("a fault of ours")

    with rig.dealer.held() as engine:
        listener = engine.listeners[rig.listener_id]
        monkeypatch.setitem(rig.dealer._dealing._callbacks, listener._fd, broken)
    rig.connect()
    while rig.dealer.is_beside:
        os.sched_yield()
    monkeypatch.undo()
    while "has died" not in caplog.text:
        rig.loop.run_once(1)
    taker = threading.Thread(target=rig.take)
    taker.start()
    while taker.is_alive():
        rig.loop.run_once(0.05)
    assert "ZeroDivisionError" in caplog.text
    assert not rig.dealer.is_beside


def test_dealer_without_memory_goes_on_when_there_is_some(
    rig: DealerRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On its own thread: others may have taken all of it for a moment."""
    failed = threading.Semaphore(0)

    def without_memory(_: int) -> None:
        failed.release()
        raise MemoryError

    with rig.dealer.held() as engine:
        listener = engine.listeners[rig.listener_id]
        monkeypatch.setitem(rig.dealer._dealing._callbacks, listener._fd, without_memory)
    rig.connect()
    for _ in range(2):
        assert failed.acquire(timeout=20)
    monkeypatch.undo()
    rig.take()
    assert rig.dealer.is_beside
    while "MemoryError" not in caplog.text:
        rig.loop.run_once(1)
    rig.loop.run_once(0)
    assert caplog.text.count("Dealing connections failed: MemoryError()") == 1


def test_fault_that_lasts_is_reported_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """Where the arbiter deals: it neither floods the log nor spins."""
    loop = Loop(LOG)
    dealer = Dealer(loop, LOG, RoundRobin, 4, lambda _: None, lambda *_: None)
    calls: list[int] = []

    def broken() -> None:
        calls.append(1)
        raise ZeroDivisionError("a fault of ours")

    with dealer.held():
        dealer._dealing.call_later(0, broken)
        dealer._dealing.call_later(0, broken)
    while len(calls) < 2:
        loop.run_once(1)
    assert caplog.text.count("Dealing connections failed") == 1
    dealer.close()
    loop.close()


def test_timers_of_the_dealer_run_on_the_arbiters_loop_when_that_deals() -> None:
    """The first is set before anything turns."""
    loop = Loop(LOG)
    dealer = Dealer(loop, LOG, RoundRobin, 4, lambda _: None, lambda *_: None)
    called: list[str] = []
    with dealer.held():
        dealer._dealing.call_later(0.02, called.append, "second")
        dealer._dealing.call_later(0.0, called.append, "first")
    while len(called) < 2:
        loop.run_once(1)
    assert called == ["first", "second"]
    dealer.close()
    loop.close()
