"""Limit how often something happens in the whole cluster: a token bucket, a sliding window.

Each asks the shared store in one step, so that what is allowed is exact, whichever workers ask.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ..errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from .store import Store

__all__ = ["SlidingWindow", "TokenBucket"]

_TIME: Final = struct.Struct("<d")
_MOST_HITS: Final = 100_000


class TokenBucket:
    """So many tokens at most, refilled at a steady rate: bursts are allowed, a higher rate is not.

    Args:
        store: ``cluster.store``.
        name: of the bucket, a key of the store.
        rate: tokens a second, above 0.
        burst: how many it holds, above 0.
        clock: seconds that only go on, the same in all processes; ``None`` for the store's.
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
            StoreUnavailable, StoreFull, StoreCorrupt: as ``store.set``.
        """
        wanted = _positive(amount, "an amount")
        if wanted > self._burst:
            raise ArgumentError(
                f"expected no more than the {self._burst:g} tokens that the bucket holds, got {wanted:g}"
            )

        def step(kept: Any) -> tuple[Any, float]:  # noqa: ANN401 - of the store
            now = self._clock()
            tokens, at = kept if isinstance(kept, list) else (self._burst, now)
            now = max(now, at)  # no span is refilled twice, once for each of two clocks that do not agree
            tokens = min(self._burst, tokens + (now - at) * self._rate)
            if tokens < wanted:
                return [tokens, now], (wanted - tokens) / self._rate
            return [tokens - wanted, now], 0.0

        seconds: float = self._store.update(self._name, step, ttl=self._burst / self._rate + 1)
        return seconds

    async def take_async(self, amount: float = 1) -> float:
        """Await :meth:`take`."""
        return float(await self._store.apart(self.take, amount))


class SlidingWindow:
    """So many hits within the last seconds, at any moment: each is remembered.

    Args:
        store: ``cluster.store``.
        name: of the window, a key of the store.
        limit: how many, 1 to 100 000.
        seconds: above 0.
        clock: seconds that only go on, the same in all processes; ``None`` for the store's.
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
            StoreUnavailable, StoreFull, StoreCorrupt: as ``store.set``.
        """
        count = _whole(amount, self._limit, "a number of hits")

        def step(kept: Any) -> tuple[bytes, float]:  # noqa: ANN401 - of the store
            now = self._clock()
            hits = self._within(kept, now)
            now = max([now, *hits[-1:]])  # hits are in order, whatever another process' clock says
            if len(hits) + count > self._limit:
                frees = hits[len(hits) + count - self._limit - 1]
                return _packed(hits), frees + self._seconds - now
            return _packed([*hits, *[now] * count]), 0.0

        seconds: float = self._store.update(self._name, step, ttl=self._seconds)
        return seconds

    async def take_async(self, amount: int = 1) -> float:
        """Await :meth:`take`."""
        return float(await self._store.apart(self.take, amount))

    def hits(self) -> list[float]:
        """Return when each hit within the window was, oldest first."""
        return self._within(self._store.get(self._name), self._clock())

    def _within(self, kept: Any, now: float) -> list[float]:  # noqa: ANN401 - of the store
        if not isinstance(kept, bytes):
            return []
        times = [at for (at,) in _TIME.iter_unpack(kept[: len(kept) // _TIME.size * _TIME.size])]
        return [at for at in times if at > now - self._seconds]


def _packed(times: list[float]) -> bytes:
    return b"".join(map(_TIME.pack, times))


def _whole(value: object, most: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
        raise ArgumentError(f"expected a whole number from 1 to {most} as {what}, got {value!r}")
    return value


def _positive(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ArgumentTypeError(f"expected a number above 0 as {what}, got {value!r}")
    return float(value)
