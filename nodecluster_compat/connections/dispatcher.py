"""Who gets which connection: the queue and the promises of one listening socket.

Theory of operation
-------------------
One dispatcher belongs to one listener.  Each worker that serves the listener is in one of three
states, and a connection is in exactly one of three places:

    worker      idle ──deliver──▶ waiting ──accepted──▶ idle
                                    └──refused──▶ full ──has_room──▶ idle
    connection  pending ──deliver──▶ unacknowledged ──accepted──▶ (our copy is closed)
                   ▲                    │ refused, or the worker is lost
                   └────────────────────┘ back to the head: it has waited longest

Invariants (DESIGN §4, differences D1-D3):

* at most one unacknowledged connection per worker: a blocked worker holds one, not a pile;
* a connection that nobody acknowledged is never dropped here while the dispatcher is open, even if
  its worker is gone;
* a worker that refused is not asked again before it said that it has room;
* ``pending`` is bounded by the caller, who accepts only while :attr:`wants_connections` holds;
* a connection that has waited for long (:meth:`has_waited`) is looked at before it is handed out: nobody serves a
  client that has left.  One that is dealt at once is not looked at, which would cost more than it saves.

No sockets here: ``deliver`` and ``release`` are given by the I/O layer.  Not re-entrant: ``deliver``
must not call back into the dispatcher; it returns ``False`` when the worker cannot be reached.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from enum import Enum, auto

from ..base.records import Connection
from .policies import Policy

__all__ = ["Dispatcher"]


class _Member(Enum):
    IDLE = auto()
    WAITING = auto()
    FULL = auto()


class Dispatcher:
    """Deals the connections of one listener to its workers.

    Args:
        policy: chooses among idle workers.
        deliver: sends a connection to a worker; ``False`` means that the worker is out of reach.
        release: closes the primary's copy of a connection.
        limit: how many pending connections are enough; see :attr:`wants_connections`.
        is_gone: whether the client of a connection has left and nothing of it is to be read.

    Attributes:
        dropped: connections of clients that had left, so far.
    """

    __slots__ = (
        "_aged",
        "_deliver",
        "_is_gone",
        "_limit",
        "_members",
        "_pending",
        "_policy",
        "_release",
        "_unacknowledged",
        "dropped",
    )

    def __init__(
        self,
        policy: Policy,
        deliver: Callable[[int, Connection], bool],
        release: Callable[[Connection], None],
        limit: int,
        is_gone: Callable[[Connection], bool],
    ) -> None:
        self._policy = policy
        self._deliver = deliver
        self._release = release
        self._limit = limit
        self._is_gone = is_gone
        self._aged: frozenset[Connection] = frozenset()  # those that have waited for long
        self.dropped = 0
        self._members: dict[int, _Member] = {}
        self._pending: deque[Connection] = deque()
        self._unacknowledged: dict[int, Connection] = {}

    @property
    def pending(self) -> int:
        """How many connections wait for a worker."""
        return len(self._pending)

    @property
    def queue(self) -> tuple[Connection, ...]:
        """The connections that wait for a worker, the oldest first."""
        return tuple(self._pending)

    @property
    def unacknowledged(self) -> int:
        """How many connections were handed over and not yet answered."""
        return len(self._unacknowledged)

    @property
    def members(self) -> frozenset[int]:
        """The ids of the workers that serve this listener."""
        return frozenset(self._members)

    @property
    def wants_connections(self) -> bool:
        """Whether accepting one more makes sense: somebody serves, and the queue is under its bound."""
        return bool(self._members) and len(self._pending) < self._limit

    def join(self, worker_id: int) -> None:
        """The worker serves this listener from now on."""
        if worker_id not in self._members:
            self._set_idle(worker_id)
            self._deal()

    def leave(self, worker_id: int) -> None:
        """The worker takes no further connections; one that it has not answered is still its own."""
        self._members.pop(worker_id, None)
        self._policy.remove(worker_id)

    def lost(self, worker_id: int) -> None:
        """The worker is gone: what it did not acknowledge goes to another."""
        self.leave(worker_id)
        connection = self._unacknowledged.pop(worker_id, None)
        if connection is not None:
            self._pending.appendleft(connection)
            self._deal()

    def add(self, connection: Connection) -> None:
        """A connection was accepted."""
        self._pending.append(connection)
        if len(self._pending) == 1:  # otherwise the head waits, and with it all behind
            self._deal()

    def accepted(self, worker_id: int) -> None:
        """The worker has taken its connection; an answer to nothing is ignored (a forgery)."""
        connection = self._unacknowledged.pop(worker_id, None)
        if connection is None:
            return
        if worker_id in self._members:
            self._members[worker_id] = _Member.IDLE
            self._policy.add(worker_id)
            if self._pending:
                self._deal()
        self._release(connection)  # last: the worker need not wait for it

    def refused(self, worker_id: int) -> None:
        """The worker sent its connection back; it is asked again only after :meth:`has_room`."""
        connection = self._unacknowledged.pop(worker_id, None)
        if connection is None:
            return
        if worker_id in self._members:
            self._members[worker_id] = _Member.FULL
        self._pending.appendleft(connection)
        self._deal()

    def has_room(self, worker_id: int) -> None:
        """A worker that had refused can take connections again."""
        if self._members.get(worker_id) is _Member.FULL:
            self._set_idle(worker_id)
            self._deal()

    def has_waited(self, connections: Iterable[Connection]) -> None:
        """These have waited for long; drop those whose client has left, now and before they are handed out."""
        self._aged = frozenset(connections)
        if self._aged:
            self.drop([one for one in self._pending if one in self._aged and self._is_gone(one)])

    def drop(self, connections: Collection[Connection]) -> None:
        """Close connections that wait; others are left alone."""
        for connection in connections:
            if connection in self._pending:
                self._pending.remove(connection)
                self._release(connection)
                self.dropped += 1

    def close(self) -> None:
        """Give up: close every connection that nobody has acknowledged."""
        for connection in (*self._pending, *self._unacknowledged.values()):
            self._release(connection)
        self._pending.clear()
        self._unacknowledged.clear()
        for worker_id in list(self._members):
            self.leave(worker_id)

    def _set_idle(self, worker_id: int) -> None:
        self._members[worker_id] = _Member.IDLE
        if worker_id not in self._unacknowledged:
            self._policy.add(worker_id)

    def _deal(self) -> None:
        pending, aged = self._pending, self._aged
        while pending:
            if aged and pending[0] in aged and self._is_gone(pending[0]):
                self.drop((pending[0],))
                continue
            worker_id = self._policy.choose(pending[0])
            if worker_id is None:
                return
            connection = pending.popleft()
            if self._deliver(worker_id, connection):
                self._members[worker_id] = _Member.WAITING
                self._unacknowledged[worker_id] = connection
            else:
                pending.appendleft(connection)
                self._members.pop(worker_id, None)
