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
        self.dispatcher = Dispatcher(
            self.policy, self.deliver, self.release, limit=3, is_gone=lambda _: False, most_named=99
        )
        self.added = 0
        self.waiting: list[int] = []  # the head has waited longest
        self.held: dict[int, Connection] = {}
        self.served: list[int] = []
        self.elsewhere: set[int] = set()  # workers in whose channel something of another listener lies
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
        assert worker not in self.held, "a second offer for a worker that has not taken the first"
        assert worker not in self.elsewhere, "offered to a worker that is busy with another listener"
        assert worker not in self.full, "offered to a full worker before it said that it has room"
        mine = [one for one in self.waiting if self.may_go_to(one, worker)]
        assert connection.fd in mine, "offered to a worker that it is not for"
        assert connection.fd == mine[0], "somebody who waited longer was passed over"
        if worker in self.out_of_reach:
            self.members.discard(worker)
            return False
        self.waiting.remove(connection.fd)
        self.held[worker] = connection
        return True

    def release(self, connection: Connection) -> None:
        assert connection.fd not in self.released, "released twice"
        self.released.append(connection.fd)

    def take_back(self, worker: int) -> Connection:
        """Return what lies in the worker's channel: it has waited longest."""
        connection = self.held.pop(worker)
        self.waiting.insert(0, connection.fd)
        return connection

    @rule(worker=workers)
    def join(self, worker: int) -> None:
        self.members.add(worker)
        self.dispatcher.join(worker)
        self.become_idle(worker)

    def become_idle(self, worker: int) -> None:
        """What the engine says when nothing lies in the worker's channel."""
        if worker not in self.held and worker not in self.elsewhere:
            self.dispatcher.idle(worker)

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
        self.dispatcher.leave(worker)
        self.put_back(worker)

    @rule(wish=st.none())
    def add(self, wish: int | None) -> None:
        connection, self.added = self.added, self.added + 1
        self.wishes[connection] = wish
        self.waiting.append(connection)
        self.dispatcher.add(Connection(connection, "" if wish is None else str(wish)))

    @rule(worker=workers)
    def taken(self, worker: int) -> None:
        if worker in self.held:
            self.served.append(self.held.pop(worker).fd)
        self.become_idle(worker)

    @rule(worker=workers)
    def put_back(self, worker: int) -> None:
        """The engine takes back what a worker has left lying; it may be offered something else at once."""
        if worker in self.held:
            connection = self.take_back(worker)
            self.elsewhere.add(worker)  # the probe
            self.dispatcher.put_back(connection)

    @rule(worker=workers)
    def busy(self, worker: int) -> None:
        """Another listener's connection is offered to it."""
        if worker not in self.held:
            self.elsewhere.add(worker)
            self.dispatcher.busy(worker)

    @rule(worker=workers)
    def free(self, worker: int) -> None:
        self.elsewhere.discard(worker)
        self.become_idle(worker)

    @rule(worker=workers)
    def refused(self, worker: int) -> None:
        if worker in self.held:
            connection = self.take_back(worker)
            if worker in self.members:
                self.full.add(worker)
            self.dispatcher.full(worker)
            self.dispatcher.put_back(connection)
            self.become_idle(worker)

    @rule(worker=workers)
    def has_room(self, worker: int) -> None:
        self.full.discard(worker)
        self.dispatcher.has_room(worker)
        self.become_idle(worker)

    @rule(worker=workers, reachable=st.booleans())
    def reach(self, worker: int, reachable: bool) -> None:
        (self.out_of_reach.discard if reachable else self.out_of_reach.add)(worker)

    def close(self) -> None:
        self.released_before = list(self.released)
        self.dispatcher.close()
        assert sorted(self.released) == sorted([*self.released_before, *self.waiting]), "not released at the end"
        self.waiting.clear()
        self.members.clear()
        self.full.clear()

    @invariant()
    def every_connection_is_in_exactly_one_place(self) -> None:
        places = [*self.waiting, *(one.fd for one in self.held.values()), *self.served, *self.released]
        assert sorted(places) == list(range(self.added))
        assert self.dispatcher.pending == len(self.waiting)

    @invariant()
    def nobody_waits_while_somebody_is_idle(self) -> None:
        assert self.dispatcher.members == self.members
        idle = self.members - self.full - set(self.held) - self.elsewhere
        assert not [(one, worker) for one in self.waiting for worker in idle if self.may_go_to(one, worker)]

    @invariant()
    def queue_is_in_the_order_of_age(self) -> None:
        assert [one.fd for one in self.dispatcher.queue] == self.waiting

    @invariant()
    def connections_are_wanted_with_members_and_under_the_bound_only(self) -> None:
        wants = self.dispatcher.wants_connections
        if not self.members or len([one for one in self.waiting if self.wishes[one] is None]) >= 3:
            assert not wants
        elif len(self.waiting) < 3:
            assert wants

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
