"""Deal what waits at one listener: choose a worker, offer it the connection, or let the connection wait for a worker.

The policy chooses an idle worker for a connection, names a busy one, or chooses none.  A connection with a ``target``
belongs to that worker while it serves.  So connections wait in one *line* for any worker, and in one queue for each
worker that was named: a connection that waits for a busy worker holds up no other.

Such a queue is bounded, so that a blocked worker does not fill the primary: beyond the bound any worker will do.  The
bound is wider for connections that another worker has begun to read, and has found to belong to this one: any other
worker would only answer that it knows nothing of them.  A worker that becomes idle gets the connection that has waited
longest, of those that may go to it.

Invariants:

* whatever is raised, MemoryError first of all, each connection still waits, or was offered, or is closed: none is lost
  with its descriptor;
* a connection that has waited for long (:meth:`Dealing.has_waited`) is looked at before it is handed out, so that no
  client is served that has left.  One that is dealt at once is not looked at, which would cost more than it saves.

The dispatcher extends this class, and calls it for whatever happens to workers and connections.  ``native/dealing.c``
is the twin in C, on the same objects.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from ..base.records import Connection
from .policies import ASKED, Policy
from .queues import Place, Queues

__all__ = ["Dealing"]


class Dealing(Queues):
    """Connections that wait, and the workers that are idle.

    Args:
        policy: chooses the worker.
        deliver: sends a connection to a worker; ``False`` means that the worker is out of reach.  It closes what
            it has sent, as the last that it does.
        release: closes a connection that waits.
        is_gone: whether the client of a connection has left and nothing of it is to be read.
        most_named: how many may wait for each worker that is named.
        most_begun: how many, where another worker has begun to read what is to wait.

    Attributes:
        idle_workers: ids of the workers that could get a connection now.
    """

    __slots__ = ("_deliver", "_members", "_most_begun", "_most_named", "_policy", "idle_workers")

    def __init__(
        self,
        policy: Policy,
        deliver: Callable[[int, Connection], bool],
        release: Callable[[Connection], None],
        is_gone: Callable[[Connection], bool],
        most_named: int,
        most_begun: int,
    ) -> None:
        super().__init__(release, is_gone)
        self._policy = policy
        self._deliver = deliver
        self._most_named = most_named
        self._most_begun = most_begun
        self._members: set[int] = set()
        self.idle_workers: set[int] = set()

    def _deal_to(self, worker_id: int) -> None:
        """Give a worker that became idle what has waited longest of what may go to it."""
        kept: deque[Place] = deque()  # of which one can be taken without memory
        try:
            while worker_id in self.idle_workers:
                queue = self._named.get(worker_id)
                if queue and not (self._line and self._line[0] < queue[0]):
                    self._deal_named(worker_id, queue, kept)
                elif not self._line:
                    break
                elif self._has_left(self._line[0][1]):
                    self._line.popleft()
                else:
                    self._deal_first(self._line, kept, self._place)
        finally:
            self._keep(kept)
        if self._line:  # the worker may have been out of reach, and left to others what waited for it
            self._deal_line()

    def _deal_line(self) -> None:
        """Deal what waits for anybody, the oldest first, as long as somebody is idle."""
        kept: deque[Place] = deque()
        try:
            while self._line:
                if self._aged and self._has_left(self._line[0][1]):
                    self._line.popleft()
                elif self.idle_workers:
                    self._deal_first(self._line, kept, self._place)
                else:
                    break
        finally:
            self._keep(kept)

    def _deal_named(self, worker_id: int, queue: deque[Place], kept: deque[Place]) -> None:
        try:
            if self._has_left(queue[0][1]):
                queue.popleft()
            else:
                self._policy.remove(worker_id)
                self._deal_first(queue, kept, partial(self._offer, worker_id))
        finally:
            if not queue:
                self._named.pop(worker_id, None)

    def _deal_first(self, queue: deque[Place], kept: deque[Place], deal: Callable[[Place], bool]) -> None:
        """Deal the first of a queue; what could not be is kept."""
        place = queue[0]
        kept.append(place)
        queue.popleft()
        self._settled = None
        try:
            if deal(place):
                kept.pop()
        except BaseException:
            if self._is_settled(place[1]):
                kept.pop()
            self._learn_idle()
            raise

    def _not_settled(self, connection: Connection) -> None:
        """Something was raised while a connection was dealt: it is closed, unless it was offered or waits."""
        if not self._is_settled(connection):
            self._release(connection)
        self._learn_idle()

    def _is_settled(self, connection: Connection) -> bool:
        return self._settled is connection

    def _learn_idle(self) -> None:
        """A policy may have chosen one who was offered nothing then."""
        try:
            for worker_id in self.idle_workers:
                self._policy.add(worker_id)
        except MemoryError:
            return

    def _place(self, place: Place) -> bool:
        """Offer a connection, or let it wait for the worker that is named; ``False``: it waits for anybody."""
        while True:
            target, most = place[1].target, self._most_named if place[1].head < 0 else self._most_begun
            if target in self._members and (target in self.idle_workers or self._may_wait_for(target, most)):
                worker_id: int | None = target
                self._policy.remove(target)
            else:
                worker_id = self._policy.choose(place[1])
            if worker_id is None:
                return False
            if worker_id == ASKED:
                self._wait_for(ASKED, place)
                return True
            if worker_id not in self._members or not (
                worker_id in self.idle_workers or self._may_wait_for(worker_id, most)
            ):  # anybody else will do
                if not self.idle_workers:
                    return False
                worker_id = next(iter(self.idle_workers))
                self._policy.remove(worker_id)
            elif worker_id not in self.idle_workers:
                self._wait_for(worker_id, place)
                return True
            if self._offer(worker_id, place):
                return True

    def _offer(self, worker_id: int, place: Place) -> bool:
        """Hand a connection to an idle worker; one that is out of reach does not serve any more."""
        self._places[worker_id], connection = place
        self.idle_workers.discard(worker_id)
        self._settled = connection
        try:
            if self._deliver(worker_id, connection):
                return True
        except BaseException:  # the worker may have it
            self._release(connection)
            raise
        self._settled = None
        self._members.discard(worker_id)
        self._reopen(worker_id)
        return False
