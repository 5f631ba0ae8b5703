"""The dispatcher: who gets which connection, and that none is lost."""

from __future__ import annotations

from nodecluster_compat.base.records import Connection
from nodecluster_compat.connections.dispatcher import Dispatcher
from nodecluster_compat.connections.policies import RoundRobin


class Rig:
    """A dispatcher whose deliveries and releases are written down."""

    def __init__(self, limit: int = 4) -> None:
        self.offers: list[tuple[int, int]] = []
        self.released: list[int] = []
        self.out_of_reach: set[int] = set()
        self.gone: set[int] = set()
        self.looked_at: list[int] = []
        self.dispatcher = Dispatcher(
            RoundRobin(), self.deliver, lambda c: self.released.append(c.fd), limit, self.is_gone
        )

    def is_gone(self, connection: Connection) -> bool:
        self.looked_at.append(connection.fd)
        return connection.fd in self.gone

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


def test_worker_that_left_and_came_back_still_owes_its_answer() -> None:
    """One unacknowledged connection per worker holds across leaving and joining again."""
    rig = Rig()
    rig.dispatcher.join(1)
    rig.add(1)
    rig.dispatcher.leave(1)
    rig.dispatcher.join(1)
    rig.add(2)
    assert rig.offers == [(1, 1)]
    rig.dispatcher.accepted(1)
    assert rig.offers == [(1, 1), (1, 2)]


def test_worker_that_left_and_refuses_gives_back_to_another() -> None:
    """A refusal after leaving makes nobody full, and the connection is dealt on."""
    rig = Rig()
    rig.dispatcher.join(1)
    rig.add(1)
    rig.dispatcher.leave(1)
    rig.dispatcher.refused(1)
    assert rig.dispatcher.pending == 1
    rig.dispatcher.join(2)
    assert rig.offers[-1] == (2, 1)


def test_second_join_of_a_full_worker_is_not_room() -> None:
    """Only ROOM ends a refusal."""
    rig = Rig()
    rig.dispatcher.join(1)
    rig.add(1)
    rig.dispatcher.refused(1)
    rig.dispatcher.join(1)
    assert rig.offers == [(1, 1)]
    rig.dispatcher.has_room(1)
    assert rig.offers == [(1, 1), (1, 1)]


def test_room_that_nobody_refused_makes_no_second_offer() -> None:
    """A forged ROOM of a worker that waits or is idle changes nothing."""
    rig = Rig()
    rig.dispatcher.join(1)
    rig.dispatcher.has_room(1)
    rig.add(1, 2)
    rig.dispatcher.has_room(1)
    rig.dispatcher.has_room(99)
    assert rig.offers == [(1, 1)]


def test_when_all_refuse_the_connection_waits_and_none_is_asked_twice() -> None:
    """Difference D2: no busy loop; the first with room gets it."""
    rig = Rig()
    for worker_id in (1, 2, 3):
        rig.dispatcher.join(worker_id)
    rig.add(7)
    for worker_id in (1, 2, 3):
        rig.dispatcher.refused(worker_id)
    assert rig.offers == [(1, 7), (2, 7), (3, 7)]
    rig.dispatcher.has_room(2)
    assert rig.offers[3:] == [(2, 7)]


def test_all_workers_out_of_reach_keep_the_connection_pending() -> None:
    """Nobody is left to serve, and nothing is lost."""
    rig = Rig()
    for worker_id in (1, 2):
        rig.dispatcher.join(worker_id)
    rig.out_of_reach.update({1, 2})
    rig.add(5)
    assert (rig.offers, rig.dispatcher.members, rig.dispatcher.pending) == ([], frozenset(), 1)
    rig.dispatcher.join(3)
    assert rig.offers == [(3, 5)]


def test_late_answer_of_a_lost_worker_is_ignored() -> None:
    """Its connection belongs to another already: it is released once, by that one's answer."""
    rig = Rig()
    rig.dispatcher.join(1)
    rig.dispatcher.join(2)
    rig.add(5)
    rig.dispatcher.lost(1)
    rig.dispatcher.accepted(1)
    rig.dispatcher.lost(1)
    assert rig.released == []
    rig.dispatcher.accepted(2)
    assert rig.released == [5]


def test_closed_dispatcher_releases_once_and_ignores_late_answers() -> None:
    """Neither a second close nor an answer under way closes a descriptor twice."""
    rig = Rig()
    rig.dispatcher.join(1)
    rig.add(0, 1)
    rig.dispatcher.close()
    rig.dispatcher.close()
    rig.dispatcher.accepted(1)
    rig.dispatcher.refused(1)
    assert sorted(rig.released) == [0, 1]


def test_connection_that_waited_is_looked_at_before_it_is_handed_out() -> None:
    """A client that has left is served by nobody; the next one in the queue takes its place."""
    rig = Rig()
    rig.dispatcher.join(1)
    rig.add(0, 1, 2, 3)
    rig.dispatcher.has_waited(rig.dispatcher.queue)
    rig.gone = {1, 2}
    rig.dispatcher.accepted(1)
    assert rig.offers == [(1, 0), (1, 3)]
    assert sorted(rig.released) == [0, 1, 2]
    assert rig.dispatcher.dropped == 2
    assert rig.dispatcher.pending == 0


def test_clients_that_have_left_make_room_in_the_queue() -> None:
    """Also when nobody takes connections: otherwise they would keep those out who are still there."""
    rig = Rig(limit=2)
    rig.dispatcher.join(1)
    rig.add(0, 1, 2)
    assert not rig.dispatcher.wants_connections
    rig.gone = {1}
    rig.dispatcher.has_waited(rig.dispatcher.queue)
    assert rig.dispatcher.wants_connections
    assert [one.fd for one in rig.dispatcher.queue] == [2]
    assert rig.released == [1]


def test_connection_that_is_dealt_at_once_is_not_looked_at() -> None:
    """Nor is one that waited for a moment only."""
    rig = Rig()
    rig.dispatcher.join(1)
    rig.add(0, 1)
    rig.dispatcher.accepted(1)
    rig.dispatcher.accepted(1)
    rig.add(2)
    assert rig.offers == [(1, 0), (1, 1), (1, 2)]
    assert rig.looked_at == []


def test_newcomer_on_the_descriptor_of_one_that_waited_is_not_looked_at() -> None:
    """Descriptors come again at once, so it is the connection that has waited, not its number."""
    rig = Rig()
    rig.dispatcher.join(1)
    rig.add(0, 1)
    rig.dispatcher.has_waited(rig.dispatcher.queue)
    rig.dispatcher.accepted(1)
    looks = len(rig.looked_at)
    rig.add(1)
    rig.dispatcher.accepted(1)
    assert rig.offers == [(1, 0), (1, 1), (1, 1)]
    assert len(rig.looked_at) == looks


def test_dropped_connection_is_closed_once() -> None:
    """One that a worker holds is that worker's, and is left alone."""
    rig = Rig()
    rig.dispatcher.join(1)
    held, waiting = Connection(0, ""), Connection(1, "")
    rig.dispatcher.add(held)
    rig.dispatcher.add(waiting)
    rig.dispatcher.drop([held, waiting, waiting])
    assert rig.released == [1]
    assert rig.dispatcher.unacknowledged == 1
