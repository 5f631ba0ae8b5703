"""Hold a named lock, or a place of a semaphore, that is the whole cluster's: ``with cluster.lock("report"):``."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, ArgumentTypeError, ClusterError, LockLost
from ..roles.requests import awaited, waited
from .lock_desk import MOST_PLACES, LockWish, Unlock
from .topics import checked_topic
from .wire import decode, encode

if TYPE_CHECKING:
    from .sides import Side

__all__ = ["Lock"]


class Lock:
    """A lock that one holder in the cluster has at a time, or so many of a semaphore.

    It ends with the process of its holder, whatever ends that.  An object holds it once; each greenlet, thread or task
    makes its own by ``cluster.lock(name)``.

    Args:
        side: where this process stands.
        name: 1 to 255 bytes as UTF-8.
        places: how many may hold it.
        lease: seconds above 0 after which it is taken away from a holder that has not released it; ``None`` for never.
        timeout: seconds, 0 or more, that ``with`` waits for it; ``None``: as long as it takes.

    Attributes:
        name: of the lock.
        token: of the hold, larger than every token before it, for those who must refuse a holder that lost its lease;
            ``None`` while it is not held.
    """

    def __init__(
        self, side: Callable[[], Side], name: str, places: int = 1, lease: float | None = None, timeout: object = None
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
        self._until = 0.0

    @property
    def is_held(self) -> bool:
        """Whether this object holds it, as far as this process can know: a lease may end while it stands still."""
        return self.token is not None and (self._lease is None or time.monotonic() < self._until)

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
        token, is_lost = self.token, not self.is_held
        if token is None:
            raise ArgumentError(f"expected to hold the lock {self.name!r}, which this object does not")
        self.token = None
        _unlock(self._side(), self.name, token)
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
        if self.token is not None:
            raise ArgumentError(f"this object holds the lock {self.name!r} already: make another one to wait for it")
        wish = LockWish(self.name, self._places, self._lease, _checked(timeout, "a time-out"))
        return _Attempt(self._side(), wish)

    def _held(self, attempt: _Attempt) -> int:
        assert attempt.token is not None
        self.token = attempt.token
        self._until = attempt.asked_at + (self._lease or 0.0)
        return self.token


class _Attempt:
    """A wish under way; one that is given up meanwhile is released as soon as it is met."""

    def __init__(self, side: Side, wish: LockWish) -> None:
        self.token: int | None = None
        self.asked_at = time.monotonic()
        self._side = side
        self._wish = wish
        self._is_given_up = False

    def begin(self, done: Callable[[Exception | None, Any], None]) -> None:
        self._side.call("lock", encode(self._wish), partial(self._ended, done))

    def _ended(self, done: Callable[[Exception | None, Any], None], error: Exception | None, value: Any) -> None:  # noqa: ANN401
        if error is None:
            self.token = decode(value, int)
            if self._is_given_up:
                _unlock(self._side, self._wish.name, self.token)
        done(error, self.token)

    def give_up(self) -> None:
        self._is_given_up = True
        if self.token is not None:
            _unlock(self._side, self._wish.name, self.token)


def _unlock(side: Side, name: str, token: int) -> None:
    side.call("unlock", encode(Unlock(name, token)), None)


def _checked(seconds: object, what: str) -> float | None:
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise ArgumentTypeError(f"expected a number of seconds, 0 or more, or None as {what}, got {seconds!r}")
    return float(seconds)
