"""Reserve a session for the first who claims it, until it is there, or its time is over.  Pure but for a lock.

Who decides is one worker: that which has the client, or the oldest where nobody has it.  The others note what they hear
of, in case that they are to decide next.

free ──first claim──▶ reserved ──given up, its worker is gone, its time is over, or its client left again──▶ free
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Final

from msgspec import Struct

__all__ = ["Claim", "Reservations"]

_MOST: Final = 10_000


class Claim(Struct, frozen=True):
    """One attempt of a client to come back.

    Attributes:
        pid: the name of the session.
        namespace: in which.
        by: names the attempt: no other has it.
        to: the id of the worker that the client has come to.
    """

    pid: str
    namespace: str
    by: str
    to: int


class _Reservation(Struct, frozen=True):
    claim: Claim
    until: int


class Reservations:
    """The sessions that somebody has claimed.  Several threads may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_pid: dict[str, _Reservation] = {}

    def __len__(self) -> int:
        return len(self._by_pid)

    def take(self, claim: Claim, now: int, until: int) -> bool:
        """Reserve a session, unless it is for another claim; say whether it is for this one.

        Args:
            claim: it may ask again.
            now: in milliseconds.
            until: when it is free again, whatever happens.
        """
        with self._lock:
            held = self._by_pid.get(claim.pid)
            if held is not None and held.until > now and held.claim.by != claim.by:
                return False
            self._by_pid.pop(claim.pid, None)
            self._by_pid[claim.pid] = _Reservation(claim, until)
            self._forget_old(now)
            return True

    def release(self, pid: str, by: str) -> None:
        """An attempt has been given up; a no-op where it had not got the session."""
        with self._lock:
            held = self._by_pid.get(pid)
            if held is not None and held.claim.by == by:
                del self._by_pid[pid]

    def left(self, pid: str, home: int) -> None:
        """A client has left a worker: if it was reserved for that one, whoever claims it next may have it."""
        with self._lock:
            held = self._by_pid.get(pid)
            if held is not None and held.claim.to == home:
                del self._by_pid[pid]

    def members_changed(self, alive: Collection[int]) -> None:
        """Only these workers still want what is reserved for them."""
        with self._lock:
            self._by_pid = {pid: held for pid, held in self._by_pid.items() if held.claim.to in alive}

    def _forget_old(self, now: int) -> None:
        while self._by_pid:
            pid = next(iter(self._by_pid))
            if self._by_pid[pid].until > now and len(self._by_pid) <= _MOST:
                return
            del self._by_pid[pid]
