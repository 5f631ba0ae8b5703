"""The dealer's standby: connections flow while somebody keeps the interpreter's lock, and each is dealt once."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.base.native import in_force
from nodecluster_compat.base.records import Connection
from nodecluster_compat.connections.dealer import Dealer
from nodecluster_compat.connections.offers import OfferingEnd, connection_pair
from nodecluster_compat.connections.policies import RoundRobin, policy_of
from nodecluster_compat.connections.policies.random_of_two import RandomOfTwo
from nodecluster_compat.machine.sealed_memory import SealedMemory
from nodecluster_compat.machine.shared_number import shared_number

pytestmark = [
    pytest.mark.skipif(in_force().module is None, reason="Python has no standby"),
    pytest.mark.usefixtures("no_leaks"),
]
LOG = logging.getLogger("test")
SCRIPT = Path(__file__).parents[2] / "support" / "far_side.py"
NEVER = 1000.0  # seconds: no thread gives up the lock because another asks for it

Steps = list[tuple[str, int]]
Taken = list[list[int]]


class Rig:
    """A dealer beside this thread, and a process that plays its workers and their clients."""

    def __init__(self, workers: int) -> None:
        self.loop = Loop(LOG)
        self.told: list[object] = []
        self.dealer = Dealer(self.loop, LOG, RoundRobin, 4, self.told.append, lambda *told: self.told.append(told))
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.sock.setblocking(False)
        self.dealer.run_beside()
        # However long a busy machine lets an offer lie, it stays with its worker.
        self.dealer._engine.offers._untaken._stuck.is_stuck = lambda end, now: False  # type: ignore[method-assign]
        self.listener_id = self.dealer.add(self.sock, socket.AF_INET).listener_id
        self.ends: list[OfferingEnd] = []
        self.memories = [SealedMemory("ended", 8) for _ in range(workers)]
        self.dealer.count_by(self._ended, lambda _: -1, lambda number: shared_number(self.memories[number - 1], 0))
        fars = [self._enrol(number) for number in range(1, workers + 1)]
        memories = [memory.fileno() for memory in self.memories]
        self.far_side = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(self.sock.getsockname()[1]), *map(str, fars + memories)],
            pass_fds=fars + memories,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._answer() == b"ready\n"

    def _enrol(self, worker_id: int) -> int:
        near, far = connection_pair()
        self.ends.append(OfferingEnd(worker_id, near, far))
        self.ends[-1].slot = worker_id
        self.dealer.enrol(self.ends[-1], os.getpid())
        self.dealer.join(worker_id, self.listener_id)
        return far.fileno()

    def _ended(self, worker_id: int) -> int:
        return int.from_bytes(self.memories[worker_id - 1].read(8, 0), sys.byteorder)

    def end(self, worker_id: int, count: int) -> None:
        """A worker says that so many of its connections have ended."""
        os.pwrite(self.memories[worker_id - 1].fileno(), count.to_bytes(8, sys.byteorder), 0)

    def _answer(self) -> bytes:
        assert self.far_side.stdout is not None
        return self.far_side.stdout.readline()

    def play(self, *steps: tuple[str, int]) -> Taken:
        """Have these steps played; return what was taken."""
        assert self.far_side.stdin is not None
        self.far_side.stdin.write(json.dumps(steps).encode() + b"\n")
        self.far_side.stdin.flush()
        taken: Taken = json.loads(self._answer())
        return taken

    def play_without_dealer(self, *steps: tuple[str, int], has_snapshot: bool = True) -> Taken:
        """The same, while this thread keeps the interpreter's lock: it waits in C, and never gives it up."""
        assert self.far_side.stdin is not None
        assert self.far_side.stdout is not None
        libc = ctypes.PyDLL(None)
        data, answer = json.dumps(steps).encode() + b"\n", ctypes.create_string_buffer(4096)
        interval = sys.getswitchinterval()
        sys.setswitchinterval(NEVER)
        try:
            while has_snapshot and not self.standby.has_snapshot:  # the dealer is amid a turn
                time.sleep(0)
            libc.write(self.far_side.stdin.fileno(), data, len(data))
            size = libc.read(self.far_side.stdout.fileno(), answer, len(answer))
        finally:
            sys.setswitchinterval(interval)
        taken: Taken = json.loads(answer.raw[:size])
        return taken

    @property
    def standby(self) -> Any:
        return self.dealer._engine.offers.standby

    def handed(self) -> list[int]:
        with self.dealer.held() as engine:
            engine.offers.find_idle()
            return [end.handed for end in self.ends]

    def close(self) -> None:
        for end in self.ends:
            self.dealer.lost(end.worker_id)
        self.dealer.close()
        self.dealer.abandon()
        self.far_side.communicate()
        for one in (self.sock, self.loop, *self.memories):
            one.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    interval = sys.getswitchinterval()
    made = Rig(3)
    yield made
    made.close()
    sys.setswitchinterval(interval)


def in_turn(first: int, count: int, workers: int = 3) -> Taken:
    return [[1 + number % workers, first + number] for number in range(count)]


def test_connections_are_dealt_in_turn_while_somebody_keeps_the_lock(rig: Rig) -> None:
    assert rig.play_without_dealer(("serve", 9)) == in_turn(1, 9)
    assert rig.dealer.waiting_connections() == 0
    assert rig.handed() == [3, 3, 3]


def test_turns_go_on_where_the_other_has_left_off(rig: Rig) -> None:
    taken = rig.play(("serve", 2)) + rig.play_without_dealer(("serve", 2)) + rig.play(("serve", 2))
    taken += rig.play_without_dealer(("serve", 5)) + rig.play(("serve", 1))
    assert taken == in_turn(1, 12)
    assert rig.handed() == [4, 4, 4]


def test_nobody_gets_a_second_one_before_it_took_the_first(rig: Rig) -> None:
    """The others wait in the backlog, and come in their order."""
    rig.play_without_dealer(("connect", 5), ("lie", 3))
    while rig.dealer.waiting_connections() != 5:
        os.sched_yield()
    assert rig.play(*[("take", number) for number in (1, 2, 3, 1, 2)]) == in_turn(1, 5)
    assert rig.dealer.waiting_connections() == 0


def test_who_takes_nothing_is_passed_over(rig: Rig) -> None:
    taken = rig.play_without_dealer(("connect", 2), ("take", 2), ("connect", 3), ("take", 3), ("take", 2), ("take", 3))
    assert taken == [[2, 2], [3, 3], [2, 4], [3, 5]]
    assert rig.play(("take", 1)) == [[1, 1]]
    assert rig.handed() == [1, 2, 2]


def test_what_lies_with_a_worker_that_is_lost_goes_to_others(rig: Rig) -> None:
    rig.play_without_dealer(("connect", 3), ("lie", 3), ("take", 2), ("take", 3))
    rig.dealer.lost(1)
    assert rig.play(("take", 2)) == [[2, 1]]
    assert rig.handed()[1:] == [2, 1]


def test_worker_that_says_that_it_leaves_gets_no_more(rig: Rig) -> None:
    assert rig.play_without_dealer(("leave", 1), ("serve", 4)) == [[2, 1], [3, 2], [2, 3], [3, 4]]
    while not rig.told:
        rig.loop.run_once(0 if rig.loop.has_work else 1)
    assert rig.told == [1]


def test_what_a_worker_refuses_waits_for_the_dealer(rig: Rig) -> None:
    taken = rig.play_without_dealer(("serve", 1), ("refuse", 1), ("serve", 3))
    assert taken == [[1, 1], [2, 2], [3, 3], [2, 4]]
    assert rig.play(("take", 3)) == [[3, 1]]
    assert rig.handed() == [0, 2, 2]


def test_connection_that_nobody_can_be_given_waits_for_the_dealer(rig: Rig) -> None:
    steps = [("shut", number) for number in (1, 2, 3)]
    rig.play_without_dealer(*steps, ("connect", 2), ("accepted", 1))
    with rig.dealer.held() as engine:
        assert engine.listeners[rig.listener_id].dispatcher.pending == 1
        assert not engine.listeners[rig.listener_id].dispatcher.members


def test_worker_that_has_left_is_not_known_any_more(rig: Rig) -> None:
    rig.dealer.leave(2)
    assert rig.play_without_dealer(("serve", 4)) == [[1, 1], [3, 2], [1, 3], [3, 4]]


def test_listener_that_is_gone_is_left_alone(rig: Rig) -> None:
    """What its clients are told is the kernel's: nobody accepts."""
    rig.dealer.stop_accepting(take_backlog=False)
    rig.play_without_dealer(("connect", 2), has_snapshot=False)
    assert rig.handed() == [0, 0, 0]


@pytest.fixture
def second(rig: Rig) -> Iterator[tuple[int, socket.socket]]:
    """Another listener, which all workers serve as well: its number, and its socket."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        listener_id = rig.dealer.add(sock, socket.AF_INET).listener_id
        for end in rig.ends:
            rig.dealer.join(end.worker_id, listener_id)
        yield listener_id, sock
        rig.dealer.remove(listener_id)


def test_several_listeners_share_the_workers(rig: Rig, second: tuple[int, socket.socket]) -> None:
    """A worker has one turn at all of them, and goes on with the dealer where the standby has left off."""
    first_port, second_port = rig.sock.getsockname()[1], second[1].getsockname()[1]
    away = ("serve", 2), ("port", second_port), ("serve", 2), ("port", first_port), ("serve", 1)
    assert rig.play_without_dealer(*away) == in_turn(1, 5)
    assert rig.handed() == [2, 2, 1]
    assert rig.play(("serve", 1), ("port", second_port), ("serve", 3)) == [[3, 6], [1, 7], [2, 8], [3, 9]]
    rig.play_without_dealer(("connect", 2), ("port", first_port), ("connect", 1), ("lie", 3))
    with rig.dealer.held():
        assert sorted(end.offered[0] for end in rig.ends if end.offered) == [rig.listener_id, second[0], second[0]]


def test_nobody_overtakes_who_waits_at_another_listener(rig: Rig, second: tuple[int, socket.socket]) -> None:
    """All is the dealer's then."""
    rig.play(("connect", 4), ("accepted", 4))
    with socket.create_connection(second[1].getsockname()), rig.dealer.held() as engine:
        assert engine.listeners[rig.listener_id].dispatcher.pending == 1
        rig.standby.take_snapshot()
        assert not rig.standby.has_snapshot


def test_listeners_that_are_too_many_are_the_dealers(rig: Rig) -> None:
    with ExitStack() as stack:
        for _ in range(8):
            sock = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            sock.setblocking(False)
            stack.callback(rig.dealer.remove, rig.dealer.add(sock, socket.AF_INET).listener_id)
        with rig.dealer.held():
            rig.standby.take_snapshot()
            assert not rig.standby.has_snapshot


def test_fork_finds_one_thread_and_the_standby_goes_on(rig: Rig) -> None:
    for first in (1, 7):
        assert rig.play_without_dealer(("serve", 3)) == in_turn(first, 3)
        pid = os.fork()
        if not pid:
            os._exit(len(os.listdir("/proc/self/task")) - 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert rig.play_without_dealer(("serve", 3)) == in_turn(first + 3, 3)
    assert rig.handed() == [4, 4, 4]


def test_dealer_may_end_when_the_standby_has_just_dealt(rig: Rig) -> None:
    rig.play_without_dealer(("connect", 2), ("lie", 2))
    rig.dealer.close()
    assert rig.dealer._engine.offers.by_worker.keys() == {1, 2}


def test_dealer_without_a_standby_deals_alone(rig: Rig) -> None:
    """As where the kernel has no thread left."""
    rig.standby.stop()
    rig.play_without_dealer(("connect", 1), has_snapshot=False)
    assert rig.play(("take", 1)) == [[1, 1]]


def test_standby_that_nobody_has_any_more_ends_its_thread(rig: Rig) -> None:
    """As where a dealer fails before it stops it."""
    native = in_force().module
    assert native is not None
    dealt = rig.dealer._engine.offers._in_c
    assert dealt is not None
    before = len(os.listdir("/proc/self/task"))
    standby = native.Standby(dealt._dealings)
    assert standby.start()
    assert len(os.listdir("/proc/self/task")) == before + 1
    del standby
    assert len(os.listdir("/proc/self/task")) == before


def test_what_a_standby_has_kept_is_closed_with_it(rig: Rig) -> None:
    """Its clients learn that nobody will serve them."""
    native: Any = in_force().module
    dealt: Any = rig.dealer._engine.offers._in_c
    rig.dealer.use_policy(policy_of("client_address"))
    rig.standby.stop()
    with rig.dealer.held(), ExitStack() as stack:
        other = native.Standby(dealt._dealings)
        assert other.start()
        other.take_snapshot()
        assert other.has_snapshot
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            stack.enter_context(socket.create_connection(rig.sock.getsockname(), 20))
        while len(os.listdir("/proc/self/fd")) < before + 3 + 2:
            os.sched_yield()
        del other
        assert len(os.listdir("/proc/self/fd")) <= before + 3


def workers_of(taken: Taken) -> list[int]:
    return [worker for worker, _ in taken]


def test_least_connections_go_on_by_what_workers_count_meanwhile(rig: Rig) -> None:
    rig.dealer.use_policy(policy_of("least_connections"))
    assert rig.play_without_dealer(("serve", 9)) == in_turn(1, 9)
    rig.end(2, 3)
    assert workers_of(rig.play_without_dealer(("serve", 5))) == [2, 2, 2, 1, 3]
    rig.end(3, 3)
    assert workers_of(rig.play(("serve", 2))) == [3, 3]
    assert rig.handed() == [4, 6, 6]


def test_policy_that_compares_workers_knows_more_than_turns_need() -> None:
    """All of them; of those that take turns the first ones would do."""
    rig = Rig(40)
    try:
        rig.dealer.use_policy(policy_of("least_connections"))
        assert rig.play_without_dealer(("serve", 42)) == in_turn(1, 42, 40)
    finally:
        rig.close()


def test_what_counts_is_what_workers_say_while_the_dealer_is_away(rig: Rig) -> None:
    rig.dealer.use_policy(policy_of("least_connections"))
    assert rig.play_without_dealer(("serve", 6), ("end", 2), ("end", 2), ("serve", 3), ("end", 3), ("serve", 1)) == [
        *in_turn(1, 6),
        [2, 7],
        [2, 8],
        [1, 9],
        [3, 10],
    ]


def test_weights_go_on_where_the_other_has_left_off(rig: Rig) -> None:
    rig.dealer.use_policy(policy_of("weighted:5,1,1"))
    taken = rig.play_without_dealer(("serve", 3)) + rig.play(("serve", 3)) + rig.play_without_dealer(("serve", 1))
    assert workers_of(taken) == [1, 1, 2, 1, 3, 1, 1]
    assert rig.handed() == [5, 1, 1]


def test_two_are_drawn_as_the_dealer_would(rig: Rig) -> None:
    rig.dealer.use_policy(lambda workers: RandomOfTwo(workers, 5))
    handed = dict.fromkeys((1, 2, 3), 0)

    class Counted:
        connections = handed.__getitem__

    twin, expected = RandomOfTwo(Counted(), 5), []  # type: ignore[arg-type]
    for worker_id in handed:
        twin.add(worker_id)
    for _ in range(18):
        expected.append(chosen := twin.choose(Connection(-1, "")))
        assert chosen is not None
        handed[chosen] += 1
        twin.add(chosen)
    taken = rig.play_without_dealer(("serve", 12)) + rig.play_without_dealer(("serve", 6))
    assert workers_of(taken) == expected


def test_clients_of_a_busy_worker_wait_for_it_in_their_order(rig: Rig) -> None:
    rig.dealer.use_policy(policy_of("client_address"))
    (whose,) = set(workers_of(rig.play_without_dealer(("serve", 3))))
    rig.play_without_dealer(("connect", 3), ("lie", 1))
    assert rig.play_without_dealer(("take", whose), ("connect", 1)) == [[whose, 4]]
    while rig.dealer.waiting_connections() != 3:
        os.sched_yield()
    assert rig.play(*[("take", whose)] * 3) == [[whose, 5], [whose, 6], [whose, 7]]
    assert sum(rig.handed()) == rig.handed()[whose - 1] == 7


def test_function_of_a_program_is_the_dealers(rig: Rig) -> None:
    rig.dealer.use_policy(policy_of(lambda client, workers: 2))
    rig.play_without_dealer(("connect", 1), has_snapshot=False)
    assert rig.play(("take", 2)) == [[2, 1]]
