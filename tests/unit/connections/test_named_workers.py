"""The dispatcher with a policy that names workers: who waits for a busy one holds up nobody else."""

from __future__ import annotations

import pytest
from dealing import Dealt
from naming import Naming

from nodecluster_compat.base.records import Connection
from nodecluster_compat.connections.dispatcher import Dispatcher
from nodecluster_compat.connections.policies import ASKED


class Rig(Dealt):
    """A dispatcher of workers 1 to 3."""

    def __init__(self) -> None:
        super().__init__(Naming(), 100)
        self.join(1, 2, 3)

    def ask(self, fd: int, wish: int | None = None) -> None:
        self.dispatcher.add(Connection(fd, "" if wish is None else str(wish)))


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_idle_worker_that_is_named_gets_it_at_once(rig: Rig) -> None:
    rig.ask(10, wish=3)
    rig.ask(11)
    assert rig.offers == [(3, 10), (1, 11)]


def test_connection_that_waits_for_a_busy_worker_holds_up_no_other(rig: Rig) -> None:
    rig.ask(10, wish=1)
    rig.ask(11, wish=1)
    rig.ask(12)
    rig.ask(13, wish=3)
    assert rig.offers == [(1, 10), (2, 12), (3, 13)]
    assert rig.waiting() == [11]
    rig.taken(2)
    assert rig.waiting() == [11]
    rig.taken(1)
    assert rig.offers[-1] == (1, 11)


def test_what_has_waited_longest_goes_first_in_the_line_and_beside_it(rig: Rig) -> None:
    for worker_id in (1, 2, 3):
        rig.ask(worker_id, wish=worker_id)
    rig.ask(10)  # waits for anybody, before the next two
    rig.ask(11, wish=1)
    rig.ask(12)
    rig.taken(1)
    assert rig.offers[-1] == (1, 10)
    rig.taken(1)
    assert rig.offers[-1] == (1, 11)
    rig.taken(2)
    assert rig.offers[-1] == (2, 12)


def test_older_one_in_the_line_that_is_for_another_is_passed_over_and_stays_first(rig: Rig) -> None:
    for worker_id in (1, 2, 3):
        rig.ask(worker_id, wish=worker_id)
    rig.ask(10)
    rig.ask(11, wish=2)  # in the line, behind 10: nobody was idle
    rig.ask(12, wish=1)
    rig.taken(1)
    rig.taken(1)
    assert rig.offers[-2:] == [(1, 10), (1, 12)]
    assert rig.waiting() == [11]
    rig.taken(2)
    assert rig.offers[-1] == (2, 11)


def test_returned_one_is_the_first_of_those_that_wait_for_its_worker(rig: Rig) -> None:
    rig.ask(10, wish=1)
    rig.ask(11, wish=1)
    rig.refused(1)
    assert rig.waiting() == [10, 11]
    rig.has_room(1)
    assert rig.offers == [(1, 10), (1, 10)]


def test_one_that_was_returned_goes_before_a_younger_one_that_waits_for_the_worker(rig: Rig) -> None:
    for worker_id in (1, 2, 3):
        rig.ask(worker_id * 10)
    rig.ask(11, wish=1)
    rig.refused(2)
    assert rig.waiting() == [20, 11]
    rig.taken(1)
    assert rig.offers[-1] == (1, 20)
    rig.taken(1)
    assert rig.offers[-1] == (1, 11)


def test_worker_that_got_what_waited_for_it_is_not_chosen_as_idle(rig: Rig) -> None:
    rig.leave(3)
    rig.ask(10, wish=1)
    rig.ask(11, wish=1)
    rig.taken(1)
    rig.ask(12)
    assert rig.offers == [(1, 10), (1, 11), (2, 12)]


class Choosy:
    """Lets every connection wait that asks for nobody."""

    def add(self, worker_id: int) -> None: ...

    def remove(self, worker_id: int) -> None: ...

    def choose(self, connection: Connection) -> int | None:
        return int(str(connection.peer)) if connection.peer else None


def test_connection_that_the_policy_lets_wait_holds_up_no_other() -> None:
    offers: list[tuple[int, int]] = []
    dispatcher = Dispatcher(
        Choosy(), lambda worker_id, c: not offers.append((worker_id, c.fd)), lambda _: None, 9, lambda _: False
    )
    dispatcher.join(1)
    dispatcher.idle(1)
    for fd, wish in ((10, ""), (11, "1"), (12, "")):
        dispatcher.add(Connection(fd, wish))
    assert offers == [(1, 11)]
    dispatcher.idle(1)
    assert [one.fd for one in dispatcher.queue] == [10, 12]


@pytest.mark.parametrize("end", ["leave", "lost"])
def test_what_waits_for_a_worker_that_goes_is_asked_for_again(rig: Rig, end: str) -> None:
    rig.ask(10, wish=1)
    rig.ask(11, wish=1)
    rig.ask(12, wish=1)
    getattr(rig, end)(1)
    assert [fd for _, fd in rig.offers[1:]] == [11, 12]
    assert {worker_id for worker_id, _ in rig.offers[1:]} == {2, 3}


def test_name_of_nobody_is_anybody(rig: Rig) -> None:
    rig.ask(10, wish=9)
    assert len(rig.offers) == 1
    rig.ask(11, wish=9)
    rig.ask(12, wish=9)
    rig.ask(13, wish=9)
    assert rig.waiting() == [13]
    rig.taken(2)
    assert rig.offers[-1] == (2, 13)


def test_named_worker_that_is_out_of_reach_leaves_what_waits_for_it_to_others(rig: Rig) -> None:
    rig.ask(10, wish=1)
    rig.ask(11, wish=1)
    rig.ask(12, wish=1)
    rig.out_of_reach.add(1)
    rig.taken(1)
    assert [fd for _, fd in rig.offers] == [10, 11, 12]
    assert {worker_id for worker_id, _ in rig.offers[1:]} == {2, 3}


def test_client_that_left_while_it_waited_for_its_worker_is_not_served(rig: Rig) -> None:
    rig.ask(10, wish=1)
    rig.ask(11, wish=1)
    rig.ask(12, wish=1)
    rig.dispatcher.has_waited(rig.dispatcher.queue)
    rig.gone.add(11)
    rig.taken(1)
    assert rig.offers == [(1, 10), (1, 12)]
    assert (rig.released, rig.dispatcher.dropped) == ([11], 1)


def test_dropped_and_closed_ones_are_released_once(rig: Rig) -> None:
    rig.ask(10, wish=1)
    rig.ask(11, wish=1)
    rig.ask(12, wish=1)
    rig.dispatcher.drop([one for one in rig.dispatcher.queue if one.fd == 11])
    assert (rig.waiting(), rig.released) == ([12], [11])
    rig.dispatcher.close()
    assert sorted(rig.released) == [11, 12]


def test_what_waits_for_a_name_is_bounded_and_stops_nobody_else(rig: Rig) -> None:
    for fd in range(101):
        rig.ask(fd, wish=1)
        assert rig.dispatcher.wants_connections
    assert rig.dispatcher.pending == 100
    rig.ask(101, wish=1)
    rig.ask(102)
    assert rig.offers == [(1, 0), (2, 101), (3, 102)]


def test_connection_goes_to_its_target_while_that_serves(rig: Rig) -> None:
    for fd, target in ((10, 2), (11, 2), (12, 9)):
        rig.dispatcher.add(Connection(fd, "", -1, target))
    assert rig.offers == [(2, 10), (1, 12)]
    rig.leave(2)
    assert rig.offers[-1] == (3, 11)


def test_target_that_gives_a_connection_back_is_asked_again_when_it_has_room(rig: Rig) -> None:
    rig.dispatcher.add(Connection(10, "", -1, 2))
    rig.refused(2)
    rig.ask(11)
    rig.ask(12)
    assert rig.offers == [(2, 10), (1, 11), (3, 12)]
    rig.has_room(2)
    assert rig.offers[-1] == (2, 10)


class Asked:
    """A policy that has to ask somebody."""

    def add(self, worker_id: int) -> None: ...

    def remove(self, worker_id: int) -> None: ...

    def choose(self, connection: Connection) -> int | None:
        return None if connection.target else ASKED


def test_connection_waits_for_an_answer_and_holds_up_no_other() -> None:
    rig = Dealt(Asked(), 100)
    rig.join(1, 2, 3)
    one, two, three, routed = Connection(10, ""), Connection(11, ""), Connection(12, ""), Connection(13, "", -1, 3)
    for connection in (one, two, three, routed):
        rig.dispatcher.add(connection)
    assert rig.waiting() == [10, 11, 12]
    assert rig.offers == [(3, 13)]
    rig.dispatcher.answered(two, 1)
    assert rig.offers[-1] == (1, 11)
    rig.dispatcher.answered(one, 1)  # is busy
    rig.dispatcher.answered(three, None)
    rig.dispatcher.answered(three, 2)  # has been answered
    assert rig.offers[2:] == []
    assert rig.waiting() == [10, 12]
    rig.taken(1)
    assert rig.offers[-1] == (1, 10)


def test_what_waits_for_an_answer_is_dealt_by_the_next_policy() -> None:
    rig = Dealt(Asked(), 100)
    rig.join(1, 2)
    rig.add(10, 11, 12)
    rig.dispatcher.use_policy(Naming())
    assert rig.offers == [(1, 10), (2, 11)]
    assert rig.waiting() == [12]


def test_what_another_worker_has_begun_to_read_waits_for_its_own_beyond_the_bound_of_others() -> None:
    """Anybody else could only answer that it knows nothing of it."""
    offers: list[tuple[int, int]] = []

    def deliver(worker_id: int, connection: Connection) -> bool:
        offers.append((worker_id, connection.fd))
        return True

    dispatcher = Dispatcher(Naming(), deliver, lambda _: None, 100, lambda _: False, most_named=1, most_begun=2)
    for worker_id in (1, 2):
        dispatcher.join(worker_id)
        dispatcher.idle(worker_id)
    dispatcher.add(Connection(10, "", target=1))
    dispatcher.add(Connection(11, "", target=1))  # waits
    dispatcher.add(Connection(12, "", head=5, target=1))  # too
    assert offers == [(1, 10)]
    dispatcher.add(Connection(13, "", target=1))
    assert offers == [(1, 10), (2, 13)]
    dispatcher.idle(2)
    dispatcher.add(Connection(14, "", head=5, target=1))
    assert offers == [(1, 10), (2, 13), (2, 14)]
