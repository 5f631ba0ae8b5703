"""The dealer, as the arbiter tells and asks it: answered at once, also in a handler of a signal."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator

import pytest
from dealer_rig import DealerRig, dealer_rig

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.connections.dealer import Dealer
from nodecluster_compat.connections.packets import PacketKind, encode_packet
from nodecluster_compat.connections.policies import RoundRobin

LOG = logging.getLogger("test")


@pytest.fixture
def rig() -> Iterator[DealerRig]:
    yield from dealer_rig()


def test_what_workers_say_is_told_on_the_arbiters_loop(rig: DealerRig) -> None:
    rig.worker.send(encode_packet(PacketKind.LEAVE))
    rig.run_until(1)
    assert rig.told == [1]


def test_dealing_thread_logs_on_the_arbiters_loop(rig: DealerRig, caplog: pytest.LogCaptureFixture) -> None:
    """A log may wait, and a program's formatter runs there."""
    rig.dealer.later_log.warning("slow %s", "key")
    assert caplog.text == ""
    rig.loop.run_once(1)
    assert "slow key" in caplog.text


def test_numbers_can_be_read_at_any_time(rig: DealerRig) -> None:
    rig.connect()
    while rig.dealer.waiting_connections() != 1:
        os.sched_yield()
    assert rig.dealer.unsettled(rig.listener_id) == 1
    rig.take()
    assert rig.dealer.waiting_connections() == 0
    assert rig.dealer.queue_status().waiting == 0


def test_handler_of_a_signal_that_interrupts_a_change_makes_its_own_afterwards(rig: DealerRig) -> None:
    """Neither waits for the other, and none is lost."""
    with rig.dealer.held() as engine:
        rig.dealer.leave(1)
        assert rig.dealer.unsettled(rig.listener_id) == 0
        assert engine.listeners[rig.listener_id].dispatcher.members == {1}
    rig.loop.run_once(0)
    with rig.dealer.held() as engine:
        assert engine.listeners[rig.listener_id].dispatcher.members == set()


def test_handler_of_a_signal_that_interrupts_the_wait_for_the_lock_waits_for_it_as_well(rig: DealerRig) -> None:
    """The dealer's thread is changing something meanwhile."""
    begun, seen, is_changing = threading.Event(), threading.Event(), False
    found: list[bool] = []

    def handler(*_: object) -> None:
        begun.set()
        with rig.dealer.held():
            found.append(is_changing)
            seen.set()

    def change() -> None:
        nonlocal is_changing
        with rig.dealer._dealing.lock:
            is_changing = True
            has_lock.set()
            while not rig.dealer._is_held:
                os.sched_yield()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            begun.wait(20)
            seen.wait(0.1)  # that it does not come
            is_changing = False

    has_lock = threading.Event()
    before = signal.signal(signal.SIGUSR1, handler)
    changer = threading.Thread(target=change)
    changer.start()
    has_lock.wait(20)
    try:
        with rig.dealer.held():
            pass
    finally:
        changer.join(20)
        signal.signal(signal.SIGUSR1, before)
    assert found == [False]


def test_handler_of_a_signal_may_look_while_the_arbiter_deals_by_itself() -> None:
    """In the middle of a turn, whose lock its own thread has."""
    loop = Loop(LOG)
    dealer = Dealer(loop, LOG, RoundRobin, 4, lambda _: None, lambda *_: None)
    found: list[int] = []
    dealer._dealing.call_later(0, lambda: found.append(dealer.queue_status().waiting))
    dealer._dealing.call_later(0, lambda: dealer.leave(1))
    while not found:
        loop.run_once(1)
    assert found == [0]
    assert not dealer._is_held
    dealer.close()
    dealer.abandon()
    loop.close()
