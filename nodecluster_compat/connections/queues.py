"""Keep the connections of one listener that wait: a line for anybody, and a queue for each worker that was named.

Each connection has a place, a number that says which has waited longest, in whatever queue it waits.  Nothing is
decided here: :mod:`dealing` extends these queues, and deals what is in them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from heapq import merge
from typing import TypeAlias

from ..base.records import Connection

__all__ = ["Place", "Queues"]

Place: TypeAlias = tuple[int, Connection]
"""A connection that waits: the smaller the number, the longer it has waited."""


class Queues:
    """The connections that wait.

    Args:
        release: closes a connection.
        is_gone: whether the client of a connection has left and nothing of it is to be read.

    Attributes:
        dropped: connections that were closed here while they waited, so far.
    """

    __slots__ = (
        "_aged",
        "_first",
        "_is_gone",
        "_last",
        "_line",
        "_named",
        "_places",
        "_release",
        "_settled",
        "dropped",
    )

    def __init__(self, release: Callable[[Connection], None], is_gone: Callable[[Connection], bool]) -> None:
        self._release = release
        self._is_gone = is_gone
        self.dropped = 0
        self._line: deque[Place] = deque()
        self._named: dict[int, deque[Place]] = {}  # never empty
        self._first = self._last = 0
        self._places: dict[int, int] = {}  # of what each worker was offered last
        self._aged: frozenset[Connection] = frozenset()  # those that have waited for long
        self._settled: Connection | None = None  # what was offered last, or waits for a worker since

    @property
    def pending(self) -> int:
        """How many connections wait for a worker."""
        return len(self._line) + sum(map(len, self._named.values())) if self._named else len(self._line)

    @property
    def progress(self) -> tuple[int, int]:
        """What changes whenever a connection is accepted, or dealt to whom it waited for."""
        return self._last, self.pending

    @property
    def queue(self) -> tuple[Connection, ...]:
        """The connections that wait for a worker, the oldest first."""
        return tuple(connection for _, connection in merge(self._line, *self._named.values()))

    def has_waited(self, connections: Iterable[Connection]) -> None:
        """These have waited for long; drop those whose client has left, now and before they are handed out."""
        self._aged = frozenset(connections)
        if self._aged:
            self.drop([one for one in self.queue if one in self._aged and self._is_gone(one)])

    def drop(self, connections: Collection[Connection]) -> None:
        """Close connections that wait; others are left alone."""
        ids = {id(one) for one in connections}
        dropped = [one for one in self.queue if id(one) in ids]
        line = deque(place for place in self._line if id(place[1]) not in ids)
        named = {number: deque(one for one in queue if id(one[1]) not in ids) for number, queue in self._named.items()}
        self._line, self._named = line, {worker_id: queue for worker_id, queue in named.items() if queue}
        for connection in dropped:
            self._release(connection)
        self.dropped += len(dropped)

    def _give_up_all(self) -> None:
        """Close every connection that waits."""
        for connection in self.queue:
            self._release(connection)
        self._line.clear()
        self._named.clear()

    def _wait_first(self, place: Place) -> None:
        """Let a connection wait before all others; where there is no memory for that, close it."""
        try:
            self._line.appendleft(place)
        except MemoryError:
            self._release(place[1])

    def _keep(self, places: deque[Place]) -> None:
        """Let these wait for anybody, in the order of their age."""
        if places:
            try:
                self._line = deque(merge(self._line, places))
            except MemoryError:
                while places:
                    self._wait_first(places.pop())

    def _may_wait_for(self, worker_id: int, most: int) -> bool:
        return len(self._named.get(worker_id, ())) < most

    def _wait_for(self, worker_id: int, place: Place) -> None:
        queue = self._named.get(worker_id)
        if queue is None:
            queue = self._named[worker_id] = deque((place,))
        else:
            queue.append(place)
        self._settled = place[1]
        if len(queue) > 1 and place < queue[-2]:  # it was put back meanwhile
            self._named[worker_id] = deque(sorted(queue))

    def _reopen(self, worker_id: int) -> None:
        """The worker does not serve any more: what waits for it waits for anybody."""
        queue = self._named.pop(worker_id, None)
        if queue:
            self._keep(queue)

    def _has_left(self, connection: Connection) -> bool:
        """Drop a connection that has waited for long and whose client has left; return whether that was so."""
        if connection not in self._aged or not self._is_gone(connection):
            return False
        self._release(connection)
        self.dropped += 1
        return True
