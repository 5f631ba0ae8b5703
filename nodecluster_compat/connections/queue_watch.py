"""Watch the connections that wait in the primary: close those whose client has left, or that wait for too long.

One sample every :data:`SAMPLE_SECONDS` is all: nothing is noted of a connection when it comes, and most never meet a
sample.  A connection that a sample meets has *waited*; how long, counts from the first sample that met it.

With ``queue_timeout`` a connection that waits longer is closed.  Without reading from it nothing can be said to the
client (is it HTTP? TLS? has it asked yet?), and who answers before reading everything resets the answer away.  So
the client sees the connection end, and a proxy asks the next server.  There is no limit unless it is set, because the
promise without one is that nobody is lost; and the one connection that lies in a blocked worker's channel has none,
because it may be taking it in this moment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from ..base.log import Log
from ..base.records import Connection, ServedAddress

__all__ = ["SAMPLE_SECONDS", "QueueStatus", "QueueWatch", "WaitingTimes"]

SAMPLE_SECONDS: Final = 0.5
_DIGITS: Final = 1


class _Listener(Protocol):
    @property
    def served(self) -> ServedAddress: ...

    @property
    def waiting(self) -> tuple[Connection, ...]: ...

    def drop_those_that_left(self, waited: Iterable[Connection]) -> int: ...

    def drop(self, connections: Collection[Connection]) -> int: ...


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """The connections that wait in the primary.

    Attributes:
        waiting: how many do now.
        left: clients that left while they waited, so far.
        overdue: connections that were closed after ``queue_timeout``, so far.
        oldest_seconds: for how long the oldest of them waits, as of the last sample; 0 where none waits.
    """

    waiting: int
    left: int
    overdue: int
    oldest_seconds: float = 0.0


class WaitingTimes:
    """Since when each connection of one queue waits.  Pure."""

    def __init__(self) -> None:
        self._since: dict[Connection, float] = {}

    def note(self, now: float, queue: Iterable[Connection], limit: float) -> list[Connection]:
        """Note who waits; return those that have waited for ``limit`` seconds, 0 for nobody."""
        self._since = {connection: self._since.get(connection, now) for connection in queue}
        return [one for one, since in self._since.items() if limit and now - since >= limit]

    def oldest(self, now: float) -> float:
        """Return for how many seconds the oldest of them waits."""
        return now - min(self._since.values(), default=now)


class QueueWatch:
    """Looks at all queues.

    Args:
        listeners: those of the primary; iterated at each look.
        log: told once when connections begin to be closed, and once when nobody waits any more.
    """

    def __init__(self, listeners: Iterable[_Listener], log: Log) -> None:
        self._listeners = listeners
        self._log = log
        self._times: dict[int, WaitingTimes] = {}
        self._left = 0
        self._overdue = 0
        self._oldest_seconds = 0.0
        self._told_at: int | None = None  # how many were overdue before this episode

    @property
    def status(self) -> QueueStatus:
        """Return what the status says of the queues."""
        waiting = sum(len(one.waiting) for one in self._listeners)
        oldest = round(self._oldest_seconds, _DIGITS) if waiting else 0.0
        return QueueStatus(waiting, self._left, self._overdue, oldest)

    def sample(self, now: float, limit: float) -> None:
        """Look at every queue.

        Args:
            now: the time in seconds.
            limit: ``queue_timeout``; 0 for none.
        """
        before, self._times = self._times, {}
        for listener in self._listeners:
            number = listener.served.listener_id
            self._times[number] = before.get(number) or WaitingTimes()
            self._sample(listener, self._times[number], now, limit)
        self._oldest_seconds = max((times.oldest(now) for times in self._times.values()), default=0.0)
        if self._told_at is not None and not self.status.waiting:
            self._log.warning(
                "Nobody waits for a worker any more; %s connections were closed", self._overdue - self._told_at
            )
            self._told_at = None

    def _sample(self, listener: _Listener, times: WaitingTimes, now: float, limit: float) -> None:
        self._left += listener.drop_those_that_left(listener.waiting)
        overdue = times.note(now, listener.waiting, limit)
        if not overdue:
            return
        if self._told_at is None:
            self._told_at = self._overdue
            self._log.warning(
                "No worker takes the connections of %s: closing those that have waited for %g s (queue_timeout)",
                listener.served.name,
                limit,
            )
        self._overdue += listener.drop(overdue)
        times.note(now, listener.waiting, 0.0)
