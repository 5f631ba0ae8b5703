"""Keep the state of the workers and connections of one listening socket, and say when to deal.

Theory of operation
-------------------
One dispatcher belongs to one listener.  A worker that serves the listener is idle, busy or full, and a connection waits
here or has been offered:

    worker      idle ──offer──▶ busy ──idle()──▶ idle          full ──has_room(), idle()──▶ idle
                                  └──refused()──▶ full
    connection  waiting ──offer──▶ offered: the kernel has it
                   ▲                  │
                   └──────────────────┘ put_back(): refused, taken back, or the worker is lost

What has been offered is no longer known here: it lies in the worker's channel, and either the worker takes it or the
engine takes it back (``open_offers``).  The engine says whether a worker has room for one more offer, over all
listeners, by :meth:`Dispatcher.idle` and :meth:`Dispatcher.busy`.

What happens to workers and connections is said here; ``dealing`` chooses a worker and offers, or lets wait.

Invariants (differences D1 to D3 in ``docs/differences.md``):

* a connection that waits is never dropped here while the dispatcher is open, even if the worker that it waits for is
  gone: it is asked for again;
* one that was put back has its former place, or goes before all where that is not known: it has waited longest;
* a worker that refused is not asked again before it said that it has room;
* what waits is bounded by the caller, who accepts only while :attr:`Dispatcher.wants_connections` holds.

No sockets here: ``deliver`` and ``release`` are given by the I/O layer.  Not re-entrant: ``deliver`` must not call back
into the dispatcher; it returns ``False`` when the worker cannot be reached.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from msgspec import structs

from ..base.records import Connection
from .dealing import Dealing
from .policies import ANYBODYS, ASKED, Policy

__all__ = ["Dispatcher"]


class Dispatcher(Dealing):
    """Deals the connections of one listener to its workers.

    Args:
        policy: chooses the worker.
        deliver: sends a connection to a worker; ``False`` means that the worker is out of reach.  It closes what
            it has sent, as the last that it does.
        release: closes a connection that waits.
        limit: how many connections that wait for anybody are enough; see :attr:`wants_connections`.
        is_gone: whether the client of a connection has left and nothing of it is to be read.
        most_named: how many may wait for each worker that is named; ``None``: as many as ``limit``.
        most_begun: how many, where another worker has begun to read what is to wait; ``None``: as many as the others.
    """

    __slots__ = ("_full", "_limit")

    def __init__(
        self,
        policy: Policy,
        deliver: Callable[[int, Connection], bool],
        release: Callable[[Connection], None],
        limit: int,
        is_gone: Callable[[Connection], bool],
        most_named: int | None = None,
        most_begun: int | None = None,
    ) -> None:
        named = limit if most_named is None else most_named
        super().__init__(policy, deliver, release, is_gone, named, named if most_begun is None else most_begun)
        self._limit = limit
        self._full: set[int] = set()  # members that refused and have not said that they have room

    # --- state ---------------------------------------------------------------------------------

    @property
    def members(self) -> frozenset[int]:
        """The ids of the workers that serve this listener."""
        return frozenset(self._members)

    def serves(self, worker_id: int) -> bool:
        """Whether a worker serves this listener."""
        return worker_id in self._members

    def has_others(self, worker_id: int) -> bool:
        """Whether anybody else serves this listener."""
        return len(self._members) > (worker_id in self._members)

    @property
    def has_several(self) -> bool:
        """Whether more than one worker serves, so that it matters whose a connection is."""
        return len(self._members) > 1

    @property
    def wants_connections(self) -> bool:
        """Whether accepting one more makes sense: somebody serves, and what waits for anybody is under its bound."""
        return bool(self._members) and len(self._line) + len(self._named.get(ASKED, ())) < self._limit

    def is_saturated(self, count: int) -> bool:
        """Whether nobody is idle, and so many wait for anybody."""
        return len(self._line) >= count and not self.idle_workers

    def use_policy(self, policy: Policy) -> None:
        """Deal by another policy from now on."""
        self._policy = policy
        for worker_id in self.idle_workers:
            policy.add(worker_id)
        if ASKED in self._named:  # whoever was asked may answer no more
            self._reopen(ASKED)
            self._deal_line()

    # --- what workers do -----------------------------------------------------------------------

    def join(self, worker_id: int) -> None:
        """The worker serves this listener from now on; whether it is idle is still to be told."""
        self._members.add(worker_id)

    def leave(self, worker_id: int) -> None:
        """The worker takes no further connections; what waited for it waits for anybody."""
        self._members.discard(worker_id)
        self._full.discard(worker_id)
        self._places.pop(worker_id, None)
        self.busy(worker_id)
        if worker_id in self._named:
            self._reopen(worker_id)
            self._deal_line()

    def idle(self, worker_id: int) -> None:
        """The worker could get a connection now; one that does not serve, or has no room, cannot."""
        if worker_id not in self._members or worker_id in self._full or worker_id in self.idle_workers:
            return
        self._policy.add(worker_id)
        try:
            self.idle_workers.add(worker_id)
        except MemoryError:  # one that has only one of both would not be asked again
            self._policy.remove(worker_id)
            raise
        if self._named:
            self._deal_to(worker_id)
        elif self._line:
            self._deal_line()

    def busy(self, worker_id: int) -> None:
        """The worker was offered a connection of another listener, or cannot get one for a while."""
        self.idle_workers.discard(worker_id)
        self._policy.remove(worker_id)

    def full(self, worker_id: int) -> None:
        """The worker has no room, and has given back a connection: it is asked again only after :meth:`has_room`."""
        if worker_id in self._members:
            self._full.add(worker_id)
            self.busy(worker_id)

    def has_room(self, worker_id: int) -> None:
        """A worker that had refused can take connections again, once it is idle."""
        self._full.discard(worker_id)

    # --- what connections do -------------------------------------------------------------------

    def add(self, connection: Connection) -> None:
        """A connection was accepted."""
        self._settled = None
        try:
            self._last += 1
            place = (self._last, connection)
            if (self._line and not self.idle_workers) or not self._place(place):
                self._line.append(place)
        except BaseException:
            self._not_settled(connection)
            raise

    def answered(self, connection: Connection, worker_id: int | None) -> None:
        """The policy had to ask (:data:`ASKED`), and here is the answer; ``None``: anybody.

        A no-op for a connection that waits for no answer.
        """
        place = next((one for one in self._named.get(ASKED, ()) if one[1] is connection), None)
        if place is None:
            return
        answered = (place[0], structs.replace(connection, target=worker_id or ANYBODYS))
        self._named[ASKED].remove(place)
        if not self._named[ASKED]:
            del self._named[ASKED]
        self._keep(deque((answered,)))
        self._deal_line()

    def put_back(self, connection: Connection, worker_id: int = 0) -> None:
        """A connection that was offered has come back, untouched.

        Args:
            connection: waits for anybody from now on.
            worker_id: whose channel it lay in, if it is what that worker was offered last; 0 where nobody knows.
        """
        try:
            self._first -= 1
            place = (self._places.pop(worker_id, self._first), connection)
        except MemoryError:
            self._release(connection)
            raise
        if self._line and self._line[0] < place:
            self._keep(deque((place,)))
        else:
            self._wait_first(place)
        self._deal_line()

    def close(self) -> None:
        """Give up: close every connection that waits."""
        self._give_up_all()
        for worker_id in list(self._members):
            self.leave(worker_id)
