"""Give out locks in the primary: by ``lock``, until ``unlock``, the end of a lease, or that of its holder's process."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from msgspec import Struct

from ..errors import FrameError, StoreUnavailable
from .asked_processes import Cancellable
from .exchange import Exchange
from .lock_table import Hold, LockTable, Waiter
from .outcomes import Failure
from .verbs import PRIMARY, Caller, Moment, Returning
from .wire import encode

__all__ = [
    "MOST_NAME_BYTES",
    "MOST_PLACES",
    "Abandoned",
    "Lease",
    "LockDesk",
    "LockWish",
    "Names",
    "Unlock",
    "first_token",
]

MOST_NAME_BYTES: Final = 255
MOST_PLACES: Final = 1024
_MOST_LOCKS: Final = 65536
_RETRY_SECONDS: Final = 0.05


def first_token() -> int:
    """Return a fencing token that is larger than those of every primary which began a millisecond earlier."""
    return int(time.time() * 1000) << 12


class Names(Protocol):
    """Names that two primaries hold only one after the other."""

    def take(self, name: str) -> bool:
        """Take a name; return whether it is this primary's now."""

    def give_back(self, name: str) -> None:
        """Give it back."""


class LockWish(Struct, array_like=True, frozen=True):
    """What ``lock`` asks for: how many places the lock has, how long to hold at most, how long to wait at most.

    The answer is the token; with a lease also when that ends, by the monotonic clock, which all processes of a host
    share.  With ``is_remote`` the place is held on a server, too, and the answer is the token and the place.
    """

    name: str
    places: int
    lease: float | None
    timeout: float | None
    is_remote: bool = False


class Unlock(Struct, array_like=True, frozen=True):
    """What ``unlock`` gives back, and ``lapsed`` tells of."""

    name: str
    token: int


class Lease(Struct, array_like=True, frozen=True):
    """What ``lease`` limits, from now on: a hold, to so many seconds."""

    name: str
    token: int
    seconds: float


class Abandoned(Struct, array_like=True, frozen=True):
    """A place that a process had on a server, too, and has left by its end."""

    name: str
    places: int
    place: int
    token: int


class _Claim(Struct):
    """A wish on its way to a hold."""

    returning: Returning
    wish: LockWish
    timer: Cancellable | None = None
    waiter: Waiter | None = None


class LockDesk:
    """The locks of one exchange.

    Args:
        exchange: where the verbs are registered.
        first_token: larger than those of every primary before.
        names: shared with another primary during an upgrade.
        clock: seconds that only go on.

    Attributes:
        when_abandoned: told of places on a server whose holder has ended; a door.
    """

    def __init__(
        self, exchange: Exchange, first_token: int, names: Names, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.when_abandoned: list[Callable[[Abandoned], None]] = []
        self._remote: dict[int, int] = {}  # token → places
        self.table = LockTable(first_token, self._seize, self._free)
        self._exchange = exchange
        self._names = names
        self._clock = clock
        self._leases: dict[int, Cancellable] = {}
        self._retries = False
        exchange.verbs.on("lock", LockWish, self._lock)
        exchange.verbs.on("unlock", Unlock, self._unlock)
        exchange.verbs.on("lease", Lease, self._limit)
        exchange.when_told.append(self._told)

    def _lock(self, caller: Caller, wish: LockWish, returning: Returning) -> None:
        if not _is_wish(wish):
            raise FrameError("a worker asks for a lock that cannot be")
        if len(self.table) >= _MOST_LOCKS:
            returning.failure(Failure("failed", f"{_MOST_LOCKS} locks are held already"))
            return
        claim = _Claim(returning, wish)
        claim.waiter = self.table.take(wish.name, wish.places, caller.id, partial(self._granted, claim))
        if not claim.waiter.is_over:
            self._wait(claim)

    def _wait(self, claim: _Claim) -> None:
        if claim.wish.timeout is not None:
            claim.timer = self._exchange.timers.call_later(claim.wish.timeout, partial(self._late, claim))
        self._retry_later()

    def _late(self, claim: _Claim) -> None:
        if claim.waiter is not None and not claim.waiter.is_over:
            self.table.cancel(claim.waiter)
            claim.returning.failure(Failure("held", f"{claim.wish.name!r} did not become free in time"))

    def _granted(self, claim: _Claim, hold: Hold) -> None:
        if claim.timer is not None:
            claim.timer.cancel()
        answer: object = hold.token
        if claim.wish.lease is not None:
            answer = hold.token, self._clock() + claim.wish.lease  # for its holder no later than here
            self._end_in(hold, claim.wish.lease)
        if claim.wish.is_remote:
            self._remote[hold.token] = claim.wish.places
            answer = hold.token, hold.place
        claim.returning.value(answer)

    def _end_in(self, hold: Hold, seconds: float) -> None:
        self._leases[hold.token] = self._exchange.timers.call_later(seconds, partial(self._lapse, hold))

    def _limit(self, caller: Caller, lease: Lease, _: Returning) -> None:
        if not 0 < lease.seconds < float("inf"):
            raise FrameError("a worker limits a lock to a time that is none")
        hold = self.table.find(lease.name, lease.token, caller.id)
        if hold is not None and hold.token not in self._leases:
            self._end_in(hold, lease.seconds)

    def _lapse(self, hold: Hold) -> None:
        self._forget(hold.token)
        if self.table.release(hold.name, hold.token):
            self._exchange.send([hold.owner], "lapsed", encode(Unlock(hold.name, hold.token)))

    def _unlock(self, caller: Caller, unlock: Unlock, returning: Returning) -> None:
        if self.table.find(unlock.name, unlock.token, caller.id) is not None:
            self._forget(unlock.token)
        if self.table.release(unlock.name, unlock.token, caller.id):
            returning.value(None)
        else:
            returning.failure(Failure("lost", f"{unlock.name!r} is no longer held: its lease has ended"))

    def _told(self, moment: Moment, worker: int) -> None:
        if moment != "ended" or worker == PRIMARY:
            return
        held = [hold for hold in self.table.held() if hold.owner == worker]
        self.table.ended(worker)
        for hold in held:
            places = self._remote.get(hold.token)
            self._forget(hold.token)
            if places is not None:
                for told in self.when_abandoned:
                    told(Abandoned(hold.name, places, hold.place, hold.token))

    def _forget(self, token: int) -> None:
        self._remote.pop(token, None)
        timer = self._leases.pop(token, None)
        if timer is not None:
            timer.cancel()

    # --- places, which another primary may have ------------------------------------------------

    def _seize(self, name: str, place: int) -> bool:
        try:
            return self._names.take(_place(name, place))
        except StoreUnavailable:
            return True  # nowhere to meet another primary: this one alone must do

    def _free(self, name: str, place: int) -> None:
        self._names.give_back(_place(name, place))

    def _retry_later(self) -> None:
        if not self._retries:
            self._retries = True
            self._exchange.timers.call_later(_RETRY_SECONDS, self._retry)

    def _retry(self) -> None:
        self._retries = False
        if self.table.retry():
            self._retry_later()


def _place(name: str, place: int) -> str:
    return f"lock:{place}:{name}"


def _is_wish(wish: LockWish) -> bool:
    return (
        0 < len(wish.name.encode()) <= MOST_NAME_BYTES
        and 0 < wish.places <= MOST_PLACES
        and all(seconds is None or 0 <= seconds < float("inf") for seconds in (wish.lease, wish.timeout))
    )
