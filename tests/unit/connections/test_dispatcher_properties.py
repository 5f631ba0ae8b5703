"""The dispatcher under random lives of workers and connections, beside a model that knows every promise."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nodecluster_compat.base.records import Connection
from nodecluster_compat.connections.dispatcher import Dispatcher
from nodecluster_compat.connections.policies import RoundRobin

workers = st.integers(min_value=1, max_value=4)


class DispatcherMachine(RuleBasedStateMachine):
    """Every rule is one call; the model is checked inside every delivery and after every rule."""

    def __init__(self) -> None:
        super().__init__()
        self.dispatcher = Dispatcher(RoundRobin(), self.deliver, self.release, limit=3, is_gone=lambda _: False)
        self.added = 0
        self.waiting: list[int] = []  # the head has waited longest
        self.held: dict[int, int] = {}
        self.released: list[int] = []
        self.members: set[int] = set()
        self.full: set[int] = set()
        self.out_of_reach: set[int] = set()

    def deliver(self, worker: int, connection: Connection) -> bool:
        assert worker in self.members, "offered to a worker that does not serve"
        assert worker not in self.held, "a second unacknowledged connection for one worker"
        assert worker not in self.full, "offered to a full worker before it said that it has room"
        assert connection.fd == self.waiting[0], "somebody who waited longer was passed over"
        if worker in self.out_of_reach:
            self.members.discard(worker)
            return False
        self.held[worker] = self.waiting.pop(0)
        return True

    def release(self, connection: Connection) -> None:
        assert connection.fd not in self.released, "released twice"
        self.released.append(connection.fd)

    def take_back(self, worker: int) -> bool:
        if worker not in self.held:
            return False
        self.waiting.insert(0, self.held.pop(worker))
        return True

    @rule(worker=workers)
    def join(self, worker: int) -> None:
        self.members.add(worker)
        self.dispatcher.join(worker)

    @rule(worker=workers)
    def leave(self, worker: int) -> None:
        self.members.discard(worker)
        self.full.discard(worker)
        self.dispatcher.leave(worker)

    @rule(worker=workers)
    def lost(self, worker: int) -> None:
        self.members.discard(worker)
        self.full.discard(worker)
        self.take_back(worker)
        self.dispatcher.lost(worker)

    @rule()
    def add(self) -> None:
        self.waiting.append(self.added)
        self.added += 1
        self.dispatcher.add(Connection(self.waiting[-1], ""))

    @rule(worker=workers)
    def accepted(self, worker: int) -> None:
        expected = [*self.released, self.held.pop(worker)] if worker in self.held else list(self.released)
        self.dispatcher.accepted(worker)
        assert self.released == expected

    @rule(worker=workers)
    def refused(self, worker: int) -> None:
        if self.take_back(worker) and worker in self.members:
            self.full.add(worker)
        self.dispatcher.refused(worker)

    @rule(worker=workers)
    def has_room(self, worker: int) -> None:
        self.full.discard(worker)
        self.dispatcher.has_room(worker)

    @rule(worker=workers, reachable=st.booleans())
    def reach(self, worker: int, reachable: bool) -> None:
        (self.out_of_reach.discard if reachable else self.out_of_reach.add)(worker)

    @rule()
    def close(self) -> None:
        self.dispatcher.close()
        assert sorted(self.released) == list(range(self.added)), "not released at the end"
        self.waiting.clear()
        self.held.clear()
        self.members.clear()
        self.full.clear()

    @invariant()
    def every_connection_is_in_exactly_one_place(self) -> None:
        places = [*self.waiting, *self.held.values(), *self.released]
        assert sorted(places) == list(range(self.added))
        assert (self.dispatcher.pending, self.dispatcher.unacknowledged) == (len(self.waiting), len(self.held))

    @invariant()
    def nobody_waits_while_somebody_is_idle(self) -> None:
        assert self.dispatcher.members == self.members
        if self.waiting:
            assert self.members <= self.full | set(self.held)

    @invariant()
    def connections_are_wanted_with_members_and_under_the_bound_only(self) -> None:
        assert self.dispatcher.wants_connections is (bool(self.members) and len(self.waiting) < 3)

    def teardown(self) -> None:
        self.close()


TestDispatcherMachine = DispatcherMachine.TestCase
