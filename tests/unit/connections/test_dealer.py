"""The dealer beside the arbiter: it deals whatever the other does, ends for a fork, and is told of when it dies."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from threading import Event

import pytest

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.connections.dealer import SWITCH_SECONDS, Dealer
from nodecluster_compat.connections.offers import OfferingEnd, connection_pair
from nodecluster_compat.connections.packets import PacketKind, encode_packet
from nodecluster_compat.connections.policies import RoundRobin
from nodecluster_compat.machine.helper_thread import HelperThread

LOG = logging.getLogger("test")


class Rig:
    """A dealer that runs beside this thread, with one listening socket and one worker."""

    def __init__(self) -> None:
        self.loop = Loop(LOG)
        self.told: list[object] = []
        self.dealer = Dealer(self.loop, LOG, RoundRobin, 4, self.told.append, lambda *told: self.told.append(told))
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.sock.setblocking(False)
        self.dealer.run_beside()
        self.listener_id = self.dealer.add(self.sock, socket.AF_INET).listener_id
        near, far = connection_pair()
        self.worker = socket.socket(fileno=os.dup(far.fileno()))
        self.worker.settimeout(20)
        self.dealer.enrol(OfferingEnd(1, near, far, asks=self.dealer.asks), os.getpid())
        self.dealer.join(1, self.listener_id)
        self.clients: list[socket.socket] = []

    def connect(self) -> None:
        self.clients.append(socket.create_connection(self.sock.getsockname()))

    def take(self) -> None:
        """What the kernel brings, without a turn of the arbiter's loop."""
        _, fds, _, _ = socket.recv_fds(self.worker, 512, 1)
        os.close(fds[0])

    def run_until(self, number: int) -> None:
        while len(self.told) < number:
            self.loop.run_once(1)

    def close(self) -> None:
        self.dealer.lost(1)
        self.dealer.close()
        for one in (self.worker, self.sock, *self.clients, self.loop):
            one.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    interval = sys.getswitchinterval()
    made = Rig()
    yield made
    made.close()
    sys.setswitchinterval(interval)


def test_connections_flow_while_the_arbiter_does_something_else(rig: Rig) -> None:
    """Its loop does not turn once."""
    assert rig.dealer.is_beside
    for _ in range(3):
        rig.connect()
        rig.take()


def test_what_workers_say_is_told_on_the_arbiters_loop(rig: Rig) -> None:
    rig.worker.send(encode_packet(PacketKind.LEAVE))
    rig.run_until(1)
    assert rig.told == [1]


def test_what_runs_on_the_dealing_thread_logs_on_the_arbiters_loop(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """A log may wait, and a program's formatter runs there."""
    rig.dealer.later_log.warning("slow %s", "key")
    assert caplog.text == ""
    rig.loop.run_once(1)
    assert "slow key" in caplog.text


def test_numbers_can_be_read_at_any_time(rig: Rig) -> None:
    rig.connect()
    while rig.dealer.waiting_connections() != 1:
        os.sched_yield()
    assert rig.dealer.unsettled(rig.listener_id) == 1
    rig.take()
    assert rig.dealer.waiting_connections() == 0
    assert rig.dealer.queue_status().waiting == 0


def test_handler_of_a_signal_that_interrupts_a_change_makes_its_own_afterwards(rig: Rig) -> None:
    """Neither waits for the other, and none is lost."""
    with rig.dealer.held() as engine:
        rig.dealer.leave(1)
        assert rig.dealer.unsettled(rig.listener_id) == 0
        assert engine.listeners[rig.listener_id].dispatcher.members == {1}
    rig.loop.run_once(0)
    with rig.dealer.held() as engine:
        assert engine.listeners[rig.listener_id].dispatcher.members == set()


def test_handler_of_a_signal_that_interrupts_the_wait_for_the_lock_waits_for_it_as_well(rig: Rig) -> None:
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


def test_dealer_without_a_thread_deals_on_the_arbiters_loop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The user may have no more of them."""

    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(HelperThread, "_begin", no_thread)
    rig = Rig()
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


def test_fork_has_one_thread_and_dealing_goes_on(rig: Rig) -> None:
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


def test_dealing_goes_on_while_a_fork_waits_for_another_thread(rig: Rig) -> None:
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
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
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
