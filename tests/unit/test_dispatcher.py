"""The dispatcher: who gets which connection, and that none is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nodecluster_compat.dispatcher import Dispatcher
from nodecluster_compat.policies import RoundRobin
from nodecluster_compat.records import Connection


class Rig:
    """A dispatcher whose deliveries and releases are written down."""

    def __init__(self, limit: int = 4) -> None:
        self.offers: list[tuple[int, int]] = []
        self.released: list[int] = []
        self.out_of_reach: set[int] = set()
        self.dispatcher = Dispatcher(RoundRobin(), self.deliver, lambda c: self.released.append(c.fd), limit)

    def deliver(self, worker_id: int, connection: Connection) -> bool:
        if worker_id in self.out_of_reach:
            return False
        self.offers.append((worker_id, connection.fd))
        return True

    def add(self, *fds: int) -> None:
        for fd in fds:
            self.dispatcher.add(Connection(fd, ""))


def test_connections_to_idle_workers_go_round_robin() -> None:
    """Idle workers take turns in the order in which they joined."""
    rig = Rig()
    for worker_id in (1, 2, 3):
        rig.dispatcher.join(worker_id)
    for fd in range(6):
        rig.add(fd)
        rig.dispatcher.accepted(rig.offers[-1][0])
    assert [worker_id for worker_id, _ in rig.offers] == [1, 2, 3, 1, 2, 3]
    assert rig.released == list(range(6))


def test_blocked_worker_holds_one_connection() -> None:
    """A worker that does not answer gets one connection; the others go elsewhere."""
    rig = Rig()
    rig.dispatcher.join(1)
    rig.dispatcher.join(2)
    rig.add(0)
    for fd in range(1, 6):
        rig.add(fd)
        rig.dispatcher.accepted(2)
    assert [offer for offer in rig.offers if offer[0] == 1] == [(1, 0)]
    assert rig.dispatcher.unacknowledged == 1


def test_refused_connection_goes_to_another_and_not_back() -> None:
    """A worker that refused is asked again only after it said that it has room."""
    rig = Rig()
    rig.dispatcher.join(1)
    rig.dispatcher.join(2)
    rig.add(7)
    rig.dispatcher.refused(1)
    assert rig.offers == [(1, 7), (2, 7)]
    rig.dispatcher.accepted(2)
    rig.add(8)
    rig.add(9)
    assert rig.offers[2:] == [(2, 8)]
    rig.dispatcher.has_room(1)
    assert rig.offers[3:] == [(1, 9)]


def test_lost_worker_gives_its_connection_to_another_first() -> None:
    """What a lost worker had not acknowledged goes before what came later."""
    rig = Rig()
    rig.dispatcher.join(1)
    rig.add(1, 2)
    rig.dispatcher.lost(1)
    rig.dispatcher.join(2)
    assert rig.offers == [(1, 1), (2, 1)]
    rig.dispatcher.accepted(2)
    assert rig.offers[-1] == (2, 2)
    assert rig.released == [1]


def test_leaving_worker_may_still_answer() -> None:
    """A worker that leaves gets nothing more, and its last answer counts."""
    rig = Rig()
    rig.dispatcher.join(1)
    rig.add(1)
    rig.dispatcher.leave(1)
    rig.dispatcher.accepted(1)
    assert rig.released == [1]
    rig.add(2)
    assert rig.dispatcher.pending == 1


def test_worker_out_of_reach_is_dropped_and_its_connection_dealt_on() -> None:
    """A worker that cannot be reached is no member any more; the connection goes to the next."""
    rig = Rig()
    rig.dispatcher.join(1)
    rig.dispatcher.join(2)
    rig.out_of_reach.add(1)
    rig.add(5)
    assert rig.offers == [(2, 5)]
    assert rig.dispatcher.members == {2}


def test_forged_answers_change_nothing() -> None:
    """An answer to nothing is ignored."""
    rig = Rig()
    rig.dispatcher.join(1)
    rig.dispatcher.accepted(1)
    rig.dispatcher.refused(1)
    rig.dispatcher.accepted(99)
    rig.add(3)
    assert rig.offers == [(1, 3)]


def test_wants_connections_only_with_members_and_room() -> None:
    """Nobody accepts for nobody, and nobody accepts past the bound."""
    rig = Rig(limit=2)
    assert not rig.dispatcher.wants_connections
    rig.dispatcher.join(1)
    assert rig.dispatcher.wants_connections
    rig.add(0, 1, 2)
    assert not rig.dispatcher.wants_connections
    rig.dispatcher.accepted(1)
    assert rig.dispatcher.wants_connections


def test_close_releases_everything() -> None:
    """Closing gives up pending and unacknowledged connections alike."""
    rig = Rig()
    rig.dispatcher.join(1)
    rig.add(0, 1, 2)
    rig.dispatcher.close()
    assert sorted(rig.released) == [0, 1, 2]
    assert not rig.dispatcher.wants_connections


class DispatcherMachine(RuleBasedStateMachine):
    """Random lives of workers and connections."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig(limit=1000)
        self.next_fd = 0
        self.full: set[int] = set()

    workers = st.integers(min_value=1, max_value=4)

    @rule(worker=workers)
    def join(self, worker: int) -> None:
        self.rig.dispatcher.join(worker)

    @rule(worker=workers)
    def leave(self, worker: int) -> None:
        self.rig.dispatcher.leave(worker)
        self.full.discard(worker)

    @rule(worker=workers)
    def lost(self, worker: int) -> None:
        self.full.discard(worker)
        self.rig.dispatcher.lost(worker)

    @rule()
    def add(self) -> None:
        offered = len(self.rig.offers)
        self.rig.add(self.next_fd)
        self.next_fd += 1
        assert all(worker not in self.full for worker, _ in self.rig.offers[offered:])

    @rule(worker=workers)
    def accepted(self, worker: int) -> None:
        self.rig.dispatcher.accepted(worker)

    @rule(worker=workers)
    def refused(self, worker: int) -> None:
        held = worker in self.rig.dispatcher._unacknowledged
        member = worker in self.rig.dispatcher.members
        self.rig.dispatcher.refused(worker)
        if held and member:
            self.full.add(worker)

    @rule(worker=workers)
    def has_room(self, worker: int) -> None:
        self.full.discard(worker)
        self.rig.dispatcher.has_room(worker)

    @invariant()
    def every_connection_is_in_one_place(self) -> None:
        dispatcher = self.rig.dispatcher
        assert dispatcher.pending + dispatcher.unacknowledged + len(self.rig.released) == self.next_fd
        assert len(set(self.rig.released)) == len(self.rig.released)

    @invariant()
    def nobody_is_idle_while_somebody_waits(self) -> None:
        if self.rig.dispatcher.pending:
            assert self.rig.dispatcher._policy.choose(Connection(0, "")) is None


TestDispatcherMachine = DispatcherMachine.TestCase


@given(st.lists(st.integers(min_value=1, max_value=5), max_size=30))
def test_round_robin_is_fair_to_whoever_waits_longest(added: list[int]) -> None:
    """Workers are chosen in the order in which they became idle, each once."""
    policy = RoundRobin()
    for worker_id in added:
        policy.add(worker_id)
    chosen = []
    while (worker_id := policy.choose(Connection(0, ""))) is not None:
        chosen.append(worker_id)
    assert chosen == list(dict.fromkeys(added))
