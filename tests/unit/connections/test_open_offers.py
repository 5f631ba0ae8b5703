"""Offers that are open: which are taken, which are taken back, and who waits for others."""

from __future__ import annotations

import os
import socket

import pytest
from engine_rig import EngineRig as Rig
from engine_rig import Played
from manual_clock import ManualClock

from nodecluster_compat.connections.listener import Listener
from nodecluster_compat.connections.offers import OfferingEnd
from nodecluster_compat.connections.packets import PacketKind
from nodecluster_compat.connections.turns import LEAD
from nodecluster_compat.machine.process_state import Condition


@pytest.mark.parametrize("condition", ["sleeping", "in the kernel", "stopped", "dead"])
def test_offer_that_a_blocked_worker_leaves_lying_goes_to_an_idle_one(rig: Rig, condition: Condition) -> None:
    """And the blocked one is asked again once it has taken the probe."""
    first, second = rig.worker(), rig.worker()
    rig.conditions[first.id] = condition
    rig.connect()
    while not second.has_offer():
        rig.tick()
    second.take()
    rig.connect()
    assert second.has_offer()
    assert first.take() == 0  # the probe
    rig.connect()
    assert first.has_offer()


def test_offer_that_a_computing_worker_leaves_lying_goes_to_an_idle_one(rig: Rig) -> None:
    first, second = rig.worker(), rig.worker()
    rig.engine.offers._untaken._stuck._seconds_run = lambda _: rig.loop.clock()
    rig.connect()
    while not second.has_offer():
        rig.tick()
    assert first.take() == 0


def test_offer_is_judged_when_it_is_old_enough_and_the_loop_sleeps_until_then(rig: Rig, clock: ManualClock) -> None:
    """Two milliseconds; one that comes in between has its own, at least one of them whole."""
    workers = [rig.worker() for _ in range(3)]
    for one in workers[:2]:
        rig.conditions[one.id] = "sleeping"
    rig.connect()
    assert rig.loop.seconds_to_timer == pytest.approx(0.002)
    clock.now += 0.0019
    rig.connect()
    clock.now += 0.0001
    rig.turn()
    assert [one.has_offer() for one in workers] == [True, True, True]  # the first one's has gone to the third
    assert [workers[0].take(), workers[2].take()] == [0, rig.listener_ids[0]]
    rig.turn()
    assert rig.loop.seconds_to_timer == pytest.approx(0.001)
    clock.now += 0.001
    rig.turn()
    assert workers[1].take() == 0


def test_edge_that_was_lost_is_asked_for_as_the_loop_is_armed(rig: Rig) -> None:
    """No client comes, and no other worker takes anything, that would have the engine ask."""
    worker = rig.worker()
    if rig.engine.offers._asks:
        return  # workers answer, and no edge can be lost
    rig.connect()
    rig.connect()
    worker.take()
    rig.engine.offers._taken.epoll.poll(0)
    rig.engine.offers._has_missed = True
    rig.engine.offers.arm()
    assert worker.has_offer()


def peer_of(fd: int) -> object:
    with socket.socket(fileno=os.dup(fd)) as connection:
        return connection.getpeername()


def test_what_lies_with_workers_that_compute_waits_in_one_line(rig: Rig, clock: ManualClock) -> None:
    """Whoever becomes idle first gets what has waited longest, whoever was offered that."""
    first, second = rig.worker(), rig.worker()
    rig.engine.offers._untaken._stuck._seconds_run = lambda _: clock.now
    rig.connect()
    rig.connect()
    rig.connect()
    for _ in range(8):
        clock.now += 0.004
        rig.turn()
    assert rig.waiting() == 3
    for worker in (second, first, second):
        assert worker.take() == 0  # the probe
        rig.turn()
        assert worker.take() == rig.listener_ids[0]
        rig.turn()
        if worker.has_offer():  # it is asked for the next one before it is known to compute
            for _ in range(8):
                clock.now += 0.004
                rig.turn()
    owners = {peer_of(fd): worker.id for worker in (first, second) for fd in worker.has}
    assert [owners[client.getsockname()] for client in rig.clients] == [second.id, first.id, second.id]


def test_at_rest_only_what_has_lain_since_the_last_look_is_judged(rig: Rig, clock: ManualClock) -> None:
    """On a busy server all that lies is new each time, and whoever has taken it by now sleeps rightly."""
    first, second = rig.worker(), rig.worker()
    judged: list[int] = []

    def condition_of(pid: int) -> Condition:
        judged.append(pid)
        return "running"

    rig.engine.offers._untaken._stuck._condition_of = condition_of
    for _ in range(5):
        rig.connect()
    clock.now += 0.002
    rig.turn()  # nobody is idle: it rests from now on
    judged.clear()
    first.take()
    second.take()
    rig.turn()
    clock.now += 0.004
    rig.turn()
    assert judged == []
    first.take()
    if rig.asks:
        rig.turn()  # reads the answer
    rig.engine.offers._untaken._look()  # else before the loop is told of that
    assert judged == [second.id]


def test_nobody_looks_for_ever_at_workers_that_are_all_blocked(rig: Rig, clock: ManualClock) -> None:
    rig.worker()
    rig.worker()
    rig.connect()
    rig.connect()
    for _ in range(400):
        clock.now += 0.006
        rig.turn()
    assert rig.loop.seconds_to_timer is None


def test_offer_of_a_worker_that_had_no_processor_is_left_alone(rig: Rig) -> None:
    """Round robin stays exact on an overloaded machine."""
    first, second = rig.worker(), rig.worker()
    rig.connect()
    rig.tick(20)
    assert first.has_offer()
    assert not second.has_offer()


def one_ahead_of_the_other(rig: Rig) -> tuple[Played, Played]:
    """Return two workers that share four connections: the second is ahead of the first by as many as it may be."""
    first, second = rig.worker(), rig.worker()
    for _ in range(4):
        rig.connect()
    for _ in range(LEAD):
        second.take()
        rig.turn()
    return first, second


def test_nobody_gets_ahead_of_a_worker_that_had_no_processor(rig: Rig) -> None:
    """Of what comes at once the other gets a few, the rest when the one has taken its own."""
    first, second = one_ahead_of_the_other(rig)
    assert not second.has_offer()
    assert rig.waiting() == 3 - LEAD
    first.take()
    rig.turn()
    assert first.has_offer()  # first of all the one that has had less
    assert rig.waiting() == 0


@pytest.mark.parametrize("slow", [0, 1, 2])
def test_burst_is_dealt_evenly_although_one_takes_its_own_last_each_time(rig: Rig, slow: int) -> None:
    """Thirty connections at once over three workers are ten for each, one more or less."""
    workers = [rig.worker() for _ in range(3)]
    quick = [worker for number, worker in enumerate(workers) if number != slow]
    for _ in range(30):
        rig.connect()
    for _ in range(30):
        next(worker for worker in (*quick, workers[slow]) if worker.has_offer()).take()
        rig.turn()
    counts = [len(worker.has) for worker in workers]
    assert sum(counts) == 30
    assert 9 <= min(counts) <= max(counts) <= 11


def test_burst_is_dealt_evenly_where_one_waits_long_for_a_processor(rig: Rig, clock: ManualClock) -> None:
    """Each time: together for longer than the whole burst may take on a machine with processors to spare."""
    workers = [rig.worker() for _ in range(4)]
    for _ in range(40):
        rig.connect()
    for _ in range(40):
        quick = [worker for worker in workers[1:] if worker.has_offer()]
        if not quick:
            clock.now += 0.4
        (quick or workers)[0].take()
        rig.turn()
    assert [len(worker.has) for worker in workers] == [10] * 4


@pytest.mark.parametrize("way", ["blocked", "lost", "leaves"])
def test_worker_that_got_ahead_goes_on_without_the_one_behind(rig: Rig, way: str) -> None:
    """If that cannot catch up, the other gets all."""
    first, second = one_ahead_of_the_other(rig)
    if way == "blocked":
        rig.conditions[first.id] = "sleeping"
    elif way == "lost":
        rig.engine.lost(first.id)
    else:
        first.say(PacketKind.LEAVE)
        first.sock.shutdown(socket.SHUT_RDWR)
    rig.engine.offers.arm()
    for _ in range(4 - LEAD):
        while not second.has_offer():
            rig.tick()
        second.take()
        rig.turn()
    assert len(second.has) == 4


def test_worker_that_lies_for_long_lets_others_go_on(rig: Rig, clock: ManualClock) -> None:
    """The machine has no processor for it: somebody serves, if only one."""
    _, second = one_ahead_of_the_other(rig)
    while not second.has_offer():
        clock.now += 0.004
        rig.turn()


def test_worker_does_not_wait_when_the_allowance_is_spent(rig: Rig) -> None:
    rig.worker()
    second = rig.worker()
    rig.engine.offers.ahead.allowance.spend(99.0)
    for _ in range(4):
        rig.connect()
    for _ in range(3):
        second.take()
        rig.turn()
    assert len(second.has) == 3


def test_worker_of_another_listener_keeps_nobody_from_going_on(rig: Rig) -> None:
    rig.worker(1)
    rig.connect(1)
    second = rig.worker()
    for _ in range(4):
        rig.connect()
        second.take()
        rig.turn()
    assert len(second.has) == 4


def test_offer_is_left_alone_while_nobody_is_idle(rig: Rig) -> None:
    """And the loop does not tick for it."""
    first = rig.worker()
    rig.conditions[first.id] = "sleeping"
    rig.connect()
    rig.tick()
    assert rig.loop.seconds_to_timer is None
    assert first.has_offer()
    second = rig.worker()
    while not second.has_offer():
        rig.tick()


def test_loop_sleeps_when_everything_is_taken(rig: Rig) -> None:
    """No timer is left, and no edge wakes it."""
    worker = rig.worker()
    rig.worker()
    rig.connect()
    worker.take()
    rig.turn()
    while rig.loop.seconds_to_timer is not None:
        rig.tick()
    assert not rig.engine.offers._is_told


def test_offer_moves_although_somebody_waits_elsewhere(rig: Rig) -> None:
    """At another listener, whose only worker is busy."""
    busy = rig.worker(1)
    rig.connect(1)
    rig.connect(1)
    assert (busy.has_offer(), rig.waiting(1)) == (True, 1)
    first, second = rig.worker(), rig.worker()
    rig.conditions[first.id] = "sleeping"
    rig.connect()
    while not second.has_offer():
        rig.tick()


def test_loop_does_not_tick_for_an_offer_that_nobody_else_may_have(rig: Rig) -> None:
    """Somebody is idle, but does not serve that listener."""
    only, _ = rig.worker(0), rig.worker(1)
    rig.conditions[only.id] = "sleeping"
    rig.connect(0)
    rig.tick()
    assert rig.loop.seconds_to_timer is None


def test_worker_whose_probe_cannot_be_sent_is_asked_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = rig.worker(), rig.worker()
    rig.conditions[first.id] = "stopped"
    monkeypatch.setattr(OfferingEnd, "probe", _no_memory)
    rig.connect()
    while not second.has_offer():
        rig.tick()
    second.take()
    while rig.loop.seconds_to_timer is not None:
        rig.tick()
    rig.connect()
    rig.connect()  # one for each
    assert first.has_offer()


def _no_memory(self: OfferingEnd, *_: object) -> bool:
    self.is_busy = self.offered is not None or self.is_busy
    raise OSError(12, "Cannot allocate memory")


@pytest.mark.parametrize("way", ["leave", "leave_one"])
def test_worker_that_has_left_does_not_join_again(
    rig: Rig, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A failed handoff had put it off for a moment."""
    worker = rig.worker()
    monkeypatch.setattr(OfferingEnd, "offer", _no_memory)
    rig.connect()
    monkeypatch.undo()
    if way == "leave":
        rig.engine.leave(worker.id)
    else:
        rig.engine.leave_one(worker.id, rig.listener_ids[0])
    while rig.loop.seconds_to_timer is not None:
        clock.now += 0.004
        rig.turn()
    assert not worker.has_offer()
    assert rig.waiting() == 1


def test_worker_to_which_the_kernel_cannot_hand_one_is_left_alone_for_a_moment(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line, the connection goes to the other, and then it is asked again."""
    first, second = rig.worker(), rig.worker()
    offer = OfferingEnd.offer

    def failing(self: OfferingEnd, *args: object) -> bool:
        if self.worker_id == first.id:
            raise OSError(109, "Too many references")
        return offer(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(OfferingEnd, "offer", failing)
    rig.connect()
    assert second.has_offer()
    assert caplog.text.count("Cannot hand connections to worker 1 now") == 1
    monkeypatch.undo()
    rig.connect()
    while not first.has_offer():
        rig.tick()


@pytest.mark.parametrize("rig", ["edges", "edges in Python"], indirect=True)
def test_fault_at_one_edge_loses_no_other(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel tells of each but once, and each worker that has taken its last must get the next."""
    first, second = rig.worker(), rig.worker()
    for _ in range(6):
        rig.connect()  # two are offered, four wait: the listener accepts no more
    listener = rig.engine.listeners[rig.listener_ids[0]]
    real, faults = Listener.update, [OSError("no memory")]

    def update(self: Listener) -> None:
        if faults:
            raise faults.pop()
        real(self)

    monkeypatch.setattr(Listener, "update", update)
    assert not listener.is_watching
    first.take()
    second.take()
    with pytest.raises(OSError, match="no memory"):
        rig.turn()
    rig.turn()
    for worker in (second, first, second, first):
        if worker.has_offer():
            worker.take()
        rig.turn()
    assert len(first.has) + len(second.has) == 6
    assert min(len(first.has), len(second.has)) >= 2
