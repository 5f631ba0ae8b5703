"""The dispatcher: who gets which connection, and that none is lost."""

from __future__ import annotations

from dealing import Dealt

from nodecluster_compat.base.records import Connection
from nodecluster_compat.connections.policies import RoundRobin


def rig_of(limit: int = 4) -> Dealt:
    return Dealt(RoundRobin(), limit)


def test_connections_to_idle_workers_go_round_robin() -> None:
    """Idle workers take turns in the order in which they joined."""
    rig = rig_of()
    for worker_id in (1, 2, 3):
        rig.join(worker_id)
    for fd in range(6):
        rig.add(fd)
        rig.taken(rig.offers[-1][0])
    assert [worker_id for worker_id, _ in rig.offers] == [1, 2, 3, 1, 2, 3]
    assert rig.released == []


def test_blocked_worker_holds_one_connection() -> None:
    """A worker that does not take its connection gets one connection; the others go elsewhere."""
    rig = rig_of()
    rig.join(1)
    rig.join(2)
    rig.add(0)
    for fd in range(1, 6):
        rig.add(fd)
        rig.taken(2)
    assert [offer for offer in rig.offers if offer[0] == 1] == [(1, 0)]


def test_refused_connection_goes_to_another_and_not_back() -> None:
    """A worker that refused is asked again only after it said that it has room."""
    rig = rig_of()
    rig.join(1)
    rig.join(2)
    rig.add(7)
    rig.refused(1)
    assert rig.offers == [(1, 7), (2, 7)]
    rig.taken(2)
    rig.add(8)
    rig.add(9)
    assert rig.offers[2:] == [(2, 8)]
    rig.has_room(1)
    assert rig.offers[3:] == [(1, 9)]


def test_lost_worker_gives_its_connection_to_another_first() -> None:
    """What a lost worker had not taken goes before what came later."""
    rig = rig_of()
    rig.join(1)
    rig.add(1, 2)
    rig.lost(1)
    rig.join(2)
    assert rig.offers == [(1, 1), (2, 1)]
    rig.taken(2)
    assert rig.offers[-1] == (2, 2)


def test_leaving_worker_gets_nothing_more() -> None:
    """Also when it has taken what it was offered before."""
    rig = rig_of()
    rig.join(1)
    rig.add(1)
    rig.leave(1)
    rig.taken(1)
    rig.add(2)
    assert rig.offers == [(1, 1)]
    assert rig.dispatcher.pending == 1


def test_worker_out_of_reach_is_dropped_and_its_connection_dealt_on() -> None:
    """A worker that cannot be reached is no member any more; the connection goes to the next."""
    rig = rig_of()
    rig.join(1)
    rig.join(2)
    rig.out_of_reach.add(1)
    rig.add(5)
    assert rig.offers == [(2, 5)]
    assert rig.dispatcher.members == {2}


def test_stranger_that_is_idle_or_has_room_changes_nothing() -> None:
    """Only those that joined get connections, each one at a time."""
    rig = rig_of()
    rig.join(1)
    rig.taken(1)
    rig.dispatcher.idle(99)
    rig.dispatcher.has_room(99)
    rig.add(3, 4)
    assert rig.offers == [(1, 3)]


def test_worker_that_is_busy_with_another_listener_is_not_asked() -> None:
    """Until it is idle again."""
    rig = rig_of()
    rig.join(1, 2)
    rig.dispatcher.busy(1)
    rig.add(3)
    assert rig.offers == [(2, 3)]
    rig.add(4)
    rig.dispatcher.idle(1)
    assert rig.offers[1:] == [(1, 4)]


def test_connection_that_was_taken_back_goes_to_an_idle_worker() -> None:
    """And the worker that left it lying is not asked before it is idle again."""
    rig = rig_of()
    rig.join(1, 2)
    rig.add(3)
    rig.dispatcher.put_back(rig.held.pop(1))
    assert rig.offers == [(1, 3), (2, 3)]
    rig.add(4)
    assert rig.waiting() == [4]
    rig.taken(1)
    assert rig.offers[-1] == (1, 4)


def test_connection_that_was_taken_back_has_its_former_place() -> None:
    """Whoever becomes idle gets what has waited longest, in whichever order that came back."""
    rig = rig_of()
    rig.join(1, 2)
    rig.add(3, 4, 5)
    rig.dispatcher.put_back(rig.held.pop(1), 1)
    rig.dispatcher.put_back(rig.held.pop(2), 2)
    assert rig.waiting() == [3, 4, 5]
    rig.dispatcher.put_back(Connection(6, ""))
    assert rig.waiting() == [6, 3, 4, 5]


def test_wants_connections_only_with_members_and_room() -> None:
    """Nobody accepts for nobody, and nobody accepts past the bound."""
    rig = rig_of(limit=2)
    assert not rig.dispatcher.wants_connections
    rig.join(1)
    assert rig.dispatcher.wants_connections
    rig.add(0, 1, 2)
    assert not rig.dispatcher.wants_connections
    rig.taken(1)
    assert rig.dispatcher.wants_connections


def test_close_releases_everything() -> None:
    """What was offered is in a worker's channel, and not closed here."""
    rig = rig_of()
    rig.join(1)
    rig.add(0, 1, 2)
    rig.dispatcher.close()
    assert sorted(rig.released) == [1, 2]
    assert not rig.dispatcher.wants_connections


def test_worker_that_left_and_came_back_still_owes_its_answer() -> None:
    """One offer per worker holds across leaving and joining again."""
    rig = rig_of()
    rig.join(1)
    rig.add(1)
    rig.leave(1)
    rig.join(1)
    rig.add(2)
    assert rig.offers == [(1, 1)]
    rig.taken(1)
    assert rig.offers == [(1, 1), (1, 2)]


def test_worker_that_left_and_refuses_gives_back_to_another() -> None:
    """A refusal after leaving makes nobody full, and the connection is dealt on."""
    rig = rig_of()
    rig.join(1)
    rig.add(1)
    rig.leave(1)
    rig.refused(1)
    assert rig.dispatcher.pending == 1
    rig.join(2)
    assert rig.offers[-1] == (2, 1)


def test_second_join_of_a_full_worker_is_not_room() -> None:
    """Only ROOM ends a refusal."""
    rig = rig_of()
    rig.join(1)
    rig.add(1)
    rig.refused(1)
    rig.join(1)
    assert rig.offers == [(1, 1)]
    rig.has_room(1)
    assert rig.offers == [(1, 1), (1, 1)]


def test_room_that_nobody_refused_makes_no_second_offer() -> None:
    """A forged ROOM of a worker that waits or is idle changes nothing."""
    rig = rig_of()
    rig.join(1)
    rig.has_room(1)
    rig.add(1, 2)
    rig.has_room(1)
    rig.has_room(99)
    assert rig.offers == [(1, 1)]


def test_when_all_refuse_the_connection_waits_and_none_is_asked_twice() -> None:
    """Difference D2: no busy loop; the first with room gets it."""
    rig = rig_of()
    for worker_id in (1, 2, 3):
        rig.join(worker_id)
    rig.add(7)
    for worker_id in (1, 2, 3):
        rig.refused(worker_id)
    assert rig.offers == [(1, 7), (2, 7), (3, 7)]
    rig.has_room(2)
    assert rig.offers[3:] == [(2, 7)]


def test_all_workers_out_of_reach_keep_the_connection_pending() -> None:
    """Nobody is left to serve, and nothing is lost."""
    rig = rig_of()
    for worker_id in (1, 2):
        rig.join(worker_id)
    rig.out_of_reach.update({1, 2})
    rig.add(5)
    assert (rig.offers, rig.dispatcher.members, rig.dispatcher.pending) == ([], frozenset(), 1)
    rig.join(3)
    assert rig.offers == [(3, 5)]
