"""The dispatcher under random lives of workers and connections, beside a model that knows every promise."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from naming import Naming

from nodecluster_compat.base.records import Connection
from nodecluster_compat.connections.dispatcher import Dispatcher
from nodecluster_compat.connections.policies import Policy, RoundRobin

workers = st.integers(min_value=1, max_value=3)
named = st.none() | st.integers(min_value=1, max_value=4)  # there is no worker 4


class DispatcherMachine(RuleBasedStateMachine):
    """Every rule is one call; the model is checked inside every delivery and after every rule."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = self.make_policy()
        self.dispatcher = Dispatcher(self.policy, self.deliver, self.release, limit=3, is_gone=lambda _: False)
        self.added = 0
        self.waiting: list[int] = []  # the head has waited longest
        self.held: dict[int, int] = {}
        self.released: list[int] = []
        self.members: set[int] = set()
        self.full: set[int] = set()
        self.out_of_reach: set[int] = set()
        self.wishes: dict[int, int | None] = {}

    make_policy: type[Policy] = RoundRobin

    def may_go_to(self, connection: int, worker: int) -> bool:
        """Whether it is for this worker; a worker that does not serve is not waited for."""
        wish = self.wishes[connection]
        return wish == worker or wish not in self.members

    def deliver(self, worker: int, connection: Connection) -> bool:
        assert worker in self.members, "offered to a worker that does not serve"
        assert worker not in self.held, "a second unacknowledged connection for one worker"
        assert worker not in self.full, "offered to a full worker before it said that it has room"
        mine = [one for one in self.waiting if self.may_go_to(one, worker)]
        assert connection.fd in mine, "offered to a worker that it is not for"
        assert connection.fd == mine[0], "somebody who waited longer was passed over"
        if worker in self.out_of_reach:
            self.members.discard(worker)
            return False
        self.waiting.remove(connection.fd)
        self.held[worker] = connection.fd
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

    @initialize()
    def start(self) -> None:
        self.everybody_joins()

    @rule()
    def everybody_joins(self) -> None:
        for worker in (1, 2, 3):
            self.join(worker)

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

    @rule(wish=st.none())
    def add(self, wish: int | None) -> None:
        connection, self.added = self.added, self.added + 1
        self.wishes[connection] = wish
        self.waiting.append(connection)
        self.dispatcher.add(Connection(connection, "" if wish is None else str(wish)))

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
        idle = self.members - self.full - set(self.held)
        assert not [(one, worker) for one in self.waiting for worker in idle if self.may_go_to(one, worker)]

    @invariant()
    def queue_is_in_the_order_of_age(self) -> None:
        assert [one.fd for one in self.dispatcher.queue] == self.waiting

    @invariant()
    def connections_are_wanted_with_members_and_under_the_bound_only(self) -> None:
        assert self.dispatcher.wants_connections is (bool(self.members) and len(self.waiting) < 3)

    def teardown(self) -> None:
        self.close()


class NamingMachine(DispatcherMachine):
    """The same promises when the policy names workers: busy ones, and such as do not serve."""

    make_policy = Naming

    @rule(wish=named)
    def add(self, wish: int | None) -> None:
        super().add(wish)


TestDispatcherMachine = DispatcherMachine.TestCase
TestNamingMachine = NamingMachine.TestCase
