"""Limit how often something happens in the whole cluster: a token bucket, a sliding window.

Each asks the shared store in one step, so that what is allowed is exact, whichever workers ask.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from sys import float_info
from typing import TYPE_CHECKING, Any, Final

from ..base.arguments import MOST_SECONDS
from ..errors import ArgumentError, ArgumentTypeError
from .store import UNCHANGED

if TYPE_CHECKING:
    from .store import Store

__all__ = ["SlidingWindow", "TokenBucket"]

_MOST_HITS: Final = 1_000_000_000
_MOST_MOMENTS: Final = 10_000


class TokenBucket:
    """So many tokens at most, refilled at a steady rate: bursts are allowed, a higher rate is not.

    Args:
        store: ``cluster.store``.
        name: of the bucket, a key of the store.
        rate: tokens a second, above 0.
        burst: how many it holds, above 0.
        clock: seconds, the same in all processes; ``None`` for the store's.
    """

    def __init__(
        self, store: Store, name: str, rate: float, burst: float, clock: Callable[[], float] | None = None
    ) -> None:
        self._store = store
        self._name = name
        self._rate = _positive(rate, "a rate")
        self._burst = _positive(burst, "a burst")
        self._clock = clock or store.now

    def take(self, amount: float = 1) -> float:
        """Take tokens, if there are enough.

        Args:
            amount: how many, above 0 and no more than the bucket holds.

        Returns:
            0.0 if they were taken; otherwise in how many seconds there will be enough.

        Raises:
            ArgumentError: there can never be so many.
            ArgumentTypeError: something else is kept under its name.
            StoreUnavailable, StoreFull, StoreCorrupt: as ``store.set``.
        """
        wanted = _positive(amount, "an amount")
        if wanted > self._burst:
            raise ArgumentError(
                f"expected no more than the {self._burst:g} tokens that the bucket holds, got {wanted:g}"
            )

        def step(kept: Any) -> tuple[Any, float]:  # noqa: ANN401 - of the store
            now = self._clock()
            tokens, at = (self._burst, now) if kept is None else _bucket_of(kept, self._name)
            now = max(now, at)  # no span is refilled twice, once for each of two clocks that do not agree
            tokens = min(self._burst, tokens + (now - at) * self._rate)
            if tokens < wanted:
                return UNCHANGED, (wanted - tokens) / self._rate
            return [tokens - wanted, now], 0.0

        seconds: float = self._store.update(self._name, step, ttl=min(self._burst / self._rate + 1, MOST_SECONDS))
        return seconds

    async def take_async(self, amount: float = 1) -> float:
        """Await :meth:`take`."""
        return float(await self._store.apart(self.take, amount))


class SlidingWindow:
    """So many hits within the last seconds, at any moment.

    Up to 10 000 moments are remembered.  Where one window has more, neighbours are joined and count from the later
    one on, so it never allows more than the limit.

    Args:
        store: ``cluster.store``.
        name: of the window, a key of the store.
        limit: how many, 1 to 1 000 000 000.
        seconds: above 0.
        clock: seconds, the same in all processes; ``None`` for the store's.
    """

    def __init__(
        self, store: Store, name: str, limit: int, seconds: float, clock: Callable[[], float] | None = None
    ) -> None:
        self._store = store
        self._name = name
        self._limit = _whole(limit, _MOST_HITS, "a limit")
        self._seconds = _positive(seconds, "a window")
        self._clock = clock or store.now

    def take(self, amount: int = 1) -> float:
        """Hit, if the limit allows that.

        Args:
            amount: how many hits, above 0 and no more than the limit.

        Returns:
            0.0 if it was allowed; otherwise in how many seconds it would be.

        Raises:
            ArgumentError: it never would.
            ArgumentTypeError: something else is kept under its name.
            StoreUnavailable, StoreFull, StoreCorrupt: as ``store.set``.
        """
        count = _whole(amount, self._limit, "a number of hits")

        def step(kept: Any) -> tuple[Any, float]:  # noqa: ANN401 - of the store
            now = self._clock()
            hits = self._within(kept, now)
            now = max([now, *hits.times[-1:]])  # hits are in order, whatever another process' clock says
            excess = hits.count + count - self._limit
            if excess > 0:
                return UNCHANGED, hits.time_of(excess) + self._seconds - now
            return hits.with_more(now, count).kept, 0.0

        seconds: float = self._store.update(self._name, step, ttl=self._seconds)
        return seconds

    async def take_async(self, amount: int = 1) -> float:
        """Await :meth:`take`."""
        return float(await self._store.apart(self.take, amount))

    def hits(self) -> list[float]:
        """Return when each hit within the window was, oldest first: a number for each; :meth:`stand` counts them."""
        found = self._found(self._clock())
        return [at for at, count in zip(found.times, found.counts, strict=True) for _ in range(count)]

    async def hits_async(self) -> list[float]:
        """Await :meth:`hits`."""
        found: list[float] = await self._store.apart(self.hits)
        return found

    def stand(self) -> tuple[int, float]:
        """Return how many hits are within the window, and how many seconds ago the first of them was, 0.0 for none."""
        now = self._clock()
        found = self._found(now)
        return found.count, now - found.times[0] if found.times else 0.0

    async def stand_async(self) -> tuple[int, float]:
        """Await :meth:`stand`."""
        found: tuple[int, float] = await self._store.apart(self.stand)
        return found

    def _found(self, now: float) -> _Hits:
        return self._within(self._store.get(self._name), now)

    def _within(self, kept: Any, now: float) -> _Hits:  # noqa: ANN401 - of the store
        if kept is None:
            return _Hits([], [])
        try:
            times, counts = _window_of(kept)
            begin = bisect_right(times, now - self._seconds)
            return _Hits(times[begin:], counts[begin:])
        except TypeError as error:  # each of them is looked at only where that is worth its time
            raise ArgumentTypeError(
                f"expected a sliding window to be kept as {self._name!r}, found something else"
            ) from error


class _Hits:
    """Moments, in order, and how many hits there were at each."""

    def __init__(self, times: list[float], counts: list[int]) -> None:
        self.times = times
        self.counts = counts
        self.count = sum(counts)

    @property
    def kept(self) -> list[Any]:
        """As it is in the store."""
        return [self.times, self.counts]

    def with_more(self, at: float, count: int) -> _Hits:
        """Return these and so many more, which are the last."""
        times, counts = [*self.times, at], [*self.counts, count]
        if len(times) > _MOST_MOMENTS:
            counts = [sum(counts[one : one + 2]) for one in range(0, len(counts), 2)]
            times = [*times[1::2], *times[len(times) // 2 * 2 :]]
        return _Hits(times, counts)

    def time_of(self, number: int) -> float:
        """Return when a hit was, 1 for the first."""
        return next(at for at, count in zip(self.times, accumulate(self.counts), strict=True) if count >= number)


def _bucket_of(kept: Any, name: str) -> list[float]:  # noqa: ANN401 - of the store
    """Return the tokens of a bucket, and when there were so many."""
    if not isinstance(kept, list) or len(kept) != 2 or not {int, float}.issuperset(map(type, kept)):
        raise ArgumentTypeError(f"expected a token bucket to be kept as {name!r}, found something else")
    return kept


def _window_of(kept: Any) -> list[list[Any]]:  # noqa: ANN401 - of the store
    """Return the moments of a window, and the hits at each."""
    is_window = isinstance(kept, list) and len(kept) == 2 and all(isinstance(one, list) for one in kept)
    if not is_window or len(kept[0]) != len(kept[1]):
        raise TypeError("no window")
    return list(kept)


def _whole(value: object, most: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
        raise ArgumentError(f"expected a whole number from 1 to {most} as {what}, got {value!r}")
    return value


def _positive(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ArgumentTypeError(f"expected a number above 0 as {what}, got {value!r}")
    return float(min(value, float_info.max))
