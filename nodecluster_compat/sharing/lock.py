"""Hold a named lock, or a place of a semaphore, that is the whole cluster's: ``with cluster.lock("report"):``."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

from ..base.arguments import MOST_SECONDS
from ..errors import ArgumentError, ArgumentTypeError, ClusterError, LockLost
from ..roles.answers import awaited, waited
from .lock_desk import MOST_PLACES, Lease, LockWish, Unlock
from .topics import checked_topic
from .wire import decode, encode

if TYPE_CHECKING:
    from .keeper import Claim
    from .remote_locks import RemoteLocks
    from .sides import Side

__all__ = ["Lock"]

_Done: TypeAlias = Callable[[Exception | None, Any], None]


class Lock:
    """A lock that one holder in the cluster has at a time, or so many of a semaphore.

    It ends with the process of its holder, whatever ends that.  Where it is the lock of several hosts it is also lost
    when the holder's process stands still, or cannot reach the server, for ten seconds.  An object holds it once; each
    greenlet, thread or task makes its own by ``cluster.lock(name)``.

    Args:
        side: where this process stands.
        name: 1 to 255 bytes as UTF-8.
        places: how many may hold it.
        lease: seconds above 0 after which it is taken away from a holder that has not released it; ``None`` for never.
        timeout: seconds, 0 or more, that ``with`` waits for it; ``None``: as long as it takes.
        remote: returns where it is held for other hosts, too; ``None`` for nowhere.

    Attributes:
        name: of the lock.
        token: of the hold, larger than every token before it, for those who must refuse a holder that lost its lease;
            ``None`` while it is not held.
    """

    def __init__(
        self,
        side: Callable[[], Side],
        name: str,
        places: int = 1,
        lease: float | None = None,
        timeout: object = None,
        remote: Callable[[], RemoteLocks | None] = lambda: None,
    ) -> None:
        if isinstance(places, bool) or not isinstance(places, int):
            raise ArgumentTypeError(f"expected a whole number of places, got {places!r}")
        if not 0 < places <= MOST_PLACES:
            raise ArgumentError(f"expected 1 to {MOST_PLACES} places, got {places}")
        self.name = checked_topic(name, "the name of a lock")
        self.token: int | None = None
        self._places = places
        self._lease = _checked(lease, "a lease")
        if self._lease == 0:
            raise ArgumentError("expected a lease above 0 seconds, or None for one that does not end")
        self._timeout = _checked(timeout, "a time-out")
        self._side = side
        self._remote = remote
        self._hold: _Attempt | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object holds it, as far as this process can know: a lease may end while it stands still."""
        return self._hold is not None and self._hold.lasts()

    def acquire(self, timeout: float | None = None) -> int:
        """Hold it; wait until it is free.

        Args:
            timeout: seconds, 0 or more; ``None``: as long as it takes.

        Returns:
            The token of the hold.

        Raises:
            LockNotAcquired: it did not become free in time.
            ArgumentError: this object holds it, or the time-out is none.
            ChannelClosed: the primary has gone.
            WouldBlock: this code must not wait.
        """
        attempt = self._attempt(timeout)
        try:
            waited(self._side().wait, attempt.begin)
        except BaseException:
            attempt.give_up()
            raise
        return self._held(attempt)

    async def acquire_async(self, timeout: float | None = None) -> int:
        """Hold it; await that it is free: :meth:`acquire` for tasks.

        Raises:
            WouldBlock: this worker has no event loop (only ``ASGIWorker`` has one).
            ClusterError: as :meth:`acquire`.
        """
        attempt = self._attempt(timeout)
        try:
            await awaited(self._side().waiting, attempt.begin)
        except BaseException:
            attempt.give_up()
            raise
        return self._held(attempt)

    def release(self) -> None:
        """Let the next one have it; waits for nobody.

        Raises:
            LockLost: the lease had ended, so somebody else may have held it meanwhile.
            ArgumentError: this object does not hold it.
        """
        hold, is_lost = self._hold, not self.is_held
        if hold is None:
            raise ArgumentError(f"expected to hold the lock {self.name!r}, which this object does not")
        self._hold = self.token = None
        hold.end()
        if is_lost:
            raise LockLost(f"the lease of {self.name!r} had ended before it was released")

    def __enter__(self) -> Lock:
        self.acquire(self._timeout)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._leave(kind is not None)

    async def __aenter__(self) -> Lock:
        await self.acquire_async(self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._leave(kind is not None)

    def _leave(self, has_failed: bool) -> None:
        try:
            self.release()
        except ClusterError:
            if not has_failed:
                raise

    def _attempt(self, timeout: object) -> _Attempt:
        if self._hold is not None:
            raise ArgumentError(f"this object holds the lock {self.name!r} already: make another one to wait for it")
        wish = LockWish(self.name, self._places, self._lease, _checked(timeout, "a time-out"))
        return _Attempt(self._side(), wish, self._remote())

    def _held(self, attempt: _Attempt) -> int:
        assert attempt.token is not None
        self._hold, self.token = attempt, attempt.token
        return self.token


class _Attempt:
    """A wish under way, and the hold that comes of it; what is given up meanwhile is released as soon as it is met.

    asks the primary ──place──▶ asks the server of other hosts, if there is one ──token──▶ held ──▶ ended
    """

    def __init__(self, side: Side, wish: LockWish, remote: RemoteLocks | None) -> None:
        self.token: int | None = None
        self._asked_at = time.monotonic()
        self._side = side
        self._wish = wish
        self._remote = remote
        self._place: int | None = None  # the primary's token
        self._until: float | None = None  # by the primary's word
        self._claim: Claim | None = None
        self._is_over = False

    def lasts(self) -> bool:
        """Whether it is held, as far as this process can know."""
        if self._remote is not None:
            return self._claim is not None and self._remote.holds(self._claim)
        return self._until is None or time.monotonic() < self._until

    def begin(self, done: _Done) -> None:
        wish = self._wish
        if self._remote is not None:  # its lease begins when the server says so
            wish = LockWish(wish.name, wish.places, None, wish.timeout, True)
        self._side.call("lock", encode(wish), partial(self._given, done))

    def _given(self, done: _Done, error: Exception | None, value: Any) -> None:  # noqa: ANN401
        if error is not None:
            done(error, None)
        elif self._remote is None:
            granted: int | tuple[int, float] = decode(value, int | tuple[int, float])
            self._place, self._until = (granted, None) if isinstance(granted, int) else granted
            self.token = self._place
            self._settle(done, None)
        else:
            self._place, place = decode(value, tuple[int, int])
            if self._is_over:
                self._unlock()
            else:
                self._claim_remote(self._remote, place, self._place, done)

    def _claim_remote(self, remote: RemoteLocks, place: int, token: int, done: _Done) -> None:
        timeout = self._wish.timeout
        until = None if timeout is None else self._asked_at + timeout
        self._claim = remote.claim(self._wish, place, token, until, partial(self._had, done), self._unlock)

    def _had(self, done: _Done, error: Exception | None, token: int | None) -> None:
        self.token = token
        if error is not None:
            self._unlock()
        elif self._wish.lease is not None and self._place is not None:
            self._side.call("lease", encode(Lease(self._wish.name, self._place, self._wish.lease)), None)
        self._settle(done, error)

    def _settle(self, done: _Done, error: Exception | None) -> None:
        if self._is_over:
            self.end()
        done(error, self.token)

    def give_up(self) -> None:
        self._is_over = True
        self.end()

    def end(self) -> None:
        if self._remote is not None and self._claim is not None:
            self._remote.release(self._claim)
        self._unlock()

    def _unlock(self) -> None:
        token, self._place = self._place, None
        if token is not None:
            self._side.call("unlock", encode(Unlock(self._wish.name, token)), None)


def _checked(seconds: object, what: str) -> float | None:
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise ArgumentTypeError(f"expected a number of seconds, 0 or more, or None as {what}, got {seconds!r}")
    return float(min(seconds, MOST_SECONDS))
