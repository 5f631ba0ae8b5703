"""Keep which process holds which lock, and which wait for it.  Pure: no sockets, no clock.

    take ──free──▶ held ──release, lapse, its holder ends──▶ the first that waits
      └──────────▶ waiting ──cancel, its owner ends──▶ gone

A lock has one place, a semaphore several.  Each hold has a token, larger than every token before.  A resource that must
be sure can refuse a smaller token: its holder has a successor (a *fencing token*).

Before a place is given, ``seize`` is asked, because another primary may hold it during an upgrade; if that says no,
:meth:`LockTable.retry` asks again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from msgspec import Struct

__all__ = ["Hold", "LockTable", "Waiter"]


class Hold(Struct, eq=False):
    """A place that somebody has."""

    name: str
    owner: int
    token: int
    place: int


class Waiter(Struct, eq=False):
    """Somebody who wants a place.

    Attributes:
        granted: called once, with the hold.
        is_over: whether it no longer waits.
    """

    name: str
    owner: int
    granted: Callable[[Hold], None]
    is_over: bool = False


class _Lock(Struct):
    places: int
    holds: dict[int, Hold]
    waiting: deque[Waiter]


class LockTable:
    """The locks of one primary.

    Args:
        first_token: the first one; larger than those of every primary before.
        seize: asks for a place of a lock, by name and number; returns whether it may be given.
        free: told of a place that is no longer held.
    """

    def __init__(self, first_token: int, seize: Callable[[str, int], bool], free: Callable[[str, int], None]) -> None:
        self._token = first_token
        self._seize = seize
        self._free = free
        self._locks: dict[str, _Lock] = {}

    def __len__(self) -> int:
        return len(self._locks)

    def take(self, name: str, places: int, owner: int, granted: Callable[[Hold], None]) -> Waiter:
        """Want a place; ``granted`` is called now or later.

        Args:
            name: of the lock.
            places: how many it has; the first one who takes it decides, until it is free again.
            owner: who wants it.
            granted: told of the hold.
        """
        lock = self._locks.setdefault(name, _Lock(places, {}, deque()))
        waiter = Waiter(name, owner, granted)
        lock.waiting.append(waiter)
        self._serve(name, lock)
        return waiter

    def cancel(self, waiter: Waiter) -> None:
        """Let it wait no longer."""
        lock = self._locks.get(waiter.name)
        if not waiter.is_over and lock is not None:
            waiter.is_over = True
            lock.waiting.remove(waiter)
            self._forget_unused(waiter.name, lock)

    def release(self, name: str, token: int, owner: int | None = None) -> bool:
        """A place is free again; return whether it was held by that token, and that owner if one is given."""
        lock = self._locks.get(name)
        hold = None if lock is None else lock.holds.get(token)
        if lock is None or hold is None or owner not in (None, hold.owner):
            return False
        del lock.holds[token]
        self._free(name, hold.place)
        self._serve(name, lock)
        return True

    def find(self, name: str, token: int, owner: int) -> Hold | None:
        """Return the hold of that token, if it is that owner's."""
        lock = self._locks.get(name)
        hold = None if lock is None else lock.holds.get(token)
        return hold if hold is not None and hold.owner == owner else None

    def ended(self, owner: int) -> None:
        """An owner has ended: it holds nothing and waits for nothing."""
        for name, lock in list(self._locks.items()):
            for waiter in [one for one in lock.waiting if one.owner == owner]:
                self.cancel(waiter)
            for hold in [one for one in lock.holds.values() if one.owner == owner]:
                self.release(name, hold.token)

    def retry(self) -> bool:
        """Ask again for what could not be seized; return whether somebody waits for a free place still."""
        for name, lock in list(self._locks.items()):
            self._serve(name, lock)
        return any(lock.waiting and len(lock.holds) < lock.places for lock in self._locks.values())

    def held(self) -> Iterator[Hold]:
        """Yield every hold."""
        for lock in self._locks.values():
            yield from lock.holds.values()

    def _serve(self, name: str, lock: _Lock) -> None:
        while lock.waiting:
            place = self._place(name, lock)
            if place is None:
                return
            waiter = lock.waiting.popleft()
            waiter.is_over = True
            self._token += 1
            hold = lock.holds[self._token] = Hold(name, waiter.owner, self._token, place)
            waiter.granted(hold)
        self._forget_unused(name, lock)

    def _place(self, name: str, lock: _Lock) -> int | None:
        taken = {hold.place for hold in lock.holds.values()}
        free = (place for place in range(lock.places) if place not in taken)
        return next((place for place in free if self._seize(name, place)), None)

    def _forget_unused(self, name: str, lock: _Lock) -> None:
        if not lock.holds and not lock.waiting:
            self._locks.pop(name, None)
