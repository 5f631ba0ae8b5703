"""What waits for a worker: whose client has left is not served, and whatever is closed is closed once."""

from __future__ import annotations

from dealing import Dealt

from nodecluster_compat.base.records import Connection
from nodecluster_compat.connections.policies import RoundRobin


def rig_of(limit: int = 4) -> Dealt:
    return Dealt(RoundRobin(), limit)


def test_closed_dispatcher_releases_once() -> None:
    """A second close closes no descriptor twice, and what comes back is kept for whoever serves next."""
    rig = rig_of()
    rig.join(1)
    rig.add(0, 1)
    rig.dispatcher.close()
    rig.dispatcher.close()
    rig.taken(1)
    assert rig.released == [1]


def test_connection_that_waited_is_looked_at_before_it_is_handed_out() -> None:
    """A client that has left is served by nobody; the next one in the queue takes its place."""
    rig = rig_of()
    rig.join(1)
    rig.add(0, 1, 2, 3)
    rig.dispatcher.has_waited(rig.dispatcher.queue)
    rig.gone = {1, 2}
    rig.taken(1)
    assert rig.offers == [(1, 0), (1, 3)]
    assert sorted(rig.released) == [1, 2]
    assert rig.dispatcher.dropped == 2
    assert rig.dispatcher.pending == 0


def test_clients_that_have_left_make_room_in_the_queue() -> None:
    """Also when nobody takes connections: otherwise they would keep those out who are still there."""
    rig = rig_of(limit=2)
    rig.join(1)
    rig.add(0, 1, 2)
    assert not rig.dispatcher.wants_connections
    rig.gone = {1}
    rig.dispatcher.has_waited(rig.dispatcher.queue)
    assert rig.dispatcher.wants_connections
    assert [one.fd for one in rig.dispatcher.queue] == [2]
    assert rig.released == [1]


def test_connection_that_is_dealt_at_once_is_not_looked_at() -> None:
    """Nor is one that waited for a moment only."""
    rig = rig_of()
    rig.join(1)
    rig.add(0, 1)
    rig.taken(1)
    rig.taken(1)
    rig.add(2)
    assert rig.offers == [(1, 0), (1, 1), (1, 2)]
    assert rig.looked_at == []


def test_newcomer_on_the_descriptor_of_one_that_waited_is_not_looked_at() -> None:
    """Descriptors come again at once, so it is the connection that has waited, not its number."""
    rig = rig_of()
    rig.join(1)
    rig.add(0, 1)
    rig.dispatcher.has_waited(rig.dispatcher.queue)
    rig.taken(1)
    looks = len(rig.looked_at)
    rig.add(1)
    rig.taken(1)
    assert rig.offers == [(1, 0), (1, 1), (1, 1)]
    assert len(rig.looked_at) == looks


def test_dropped_connection_is_closed_once() -> None:
    """One that a worker holds is that worker's, and is left alone."""
    rig = rig_of()
    rig.join(1)
    held, waiting = Connection(0, ""), Connection(1, "")
    rig.dispatcher.add(held)
    rig.dispatcher.add(waiting)
    rig.dispatcher.drop([held, waiting, waiting])
    assert rig.released == [1]
    assert rig.held == {1: held}
