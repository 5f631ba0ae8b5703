"""Count the hits of ``limits`` in the whole cluster: ``storage_uri="cluster://"`` of Flask-Limiter and slowapi.

``limits`` knows the scheme once this module was imported::

    import nodecluster_compat.adapters.limits_storage

All of its strategies are exact over all workers, whichever of them is killed.
"""

from __future__ import annotations

import time
from math import floor
from typing import Any, Final

from limits.storage.base import MovingWindowSupport, SlidingWindowCounterSupport, Storage, TimestampedSlidingWindow

from ..errors import ClusterError
from ..roles.cluster import cluster
from ..sharing.rates import SlidingWindow
from .keys import fitting

__all__ = ["ClusterStorage"]

_PREFIX: Final = "limits:"
_WINDOW: Final = "limits:window:"


class ClusterStorage(Storage, MovingWindowSupport, SlidingWindowCounterSupport, TimestampedSlidingWindow):
    """A storage of ``limits`` in ``cluster.store``.

    Args:
        uri: ``cluster://``.
        wrap_exceptions: whether errors of the store are ``limits.errors.StorageError``.
        options: none are known.
    """

    STORAGE_SCHEME = ["cluster"]  # noqa: RUF012 - as the base class has it

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: Any) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions, **options)
        self._store = cluster.store

    @property
    def base_exceptions(self) -> type[Exception]:
        """What the store raises."""
        return ClusterError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count hits; the first one of a window says when that ends."""
        return self._store.incr(fitting(_PREFIX, key), amount, ttl=max(expiry, 0.001))

    def get(self, key: str) -> int:
        """Return how many hits there were."""
        return int(self._store.get(fitting(_PREFIX, key), 0))

    def get_expiry(self, key: str) -> float:
        """Return when the window ends, in seconds since 1970."""
        return time.time() + (self._store.ttl(fitting(_PREFIX, key)) or 0.0)

    def check(self) -> bool:
        """Whether the store can be used."""
        try:
            self._store.get(_PREFIX)
        except ClusterError:
            return False
        return True

    def reset(self) -> int:
        """Forget all hits; return of how many limits."""
        return self._store.delete_prefix(_PREFIX)

    def clear(self, key: str) -> None:
        """Forget the hits of one limit."""
        self._store.delete(fitting(_PREFIX, key), fitting(_WINDOW, key))

    # --- moving window -------------------------------------------------------------------------

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Hit, if no more than ``limit`` hits are within the last ``expiry`` seconds then."""
        return amount <= limit and not self._window(key, limit, expiry).take(amount)

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Return when the first hit of the window was, and how many there are."""
        hits = self._window(key, limit, expiry).hits()
        return (hits[0] if hits else time.time()), len(hits)

    def _window(self, key: str, limit: int, expiry: int) -> SlidingWindow:
        return SlidingWindow(self._store, fitting(_WINDOW, key), limit, expiry, time.time)

    # --- sliding window counter ----------------------------------------------------------------

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Hit, if the weighted count of this window and the one before allows that."""
        now = time.time()
        previous, previous_ttl, _, _ = self._counts(key, expiry, now)
        weighted = previous * previous_ttl / expiry
        _, current_key = self.sliding_window_keys(key, expiry, now)

        def step(count: Any) -> tuple[int, bool]:  # noqa: ANN401 - of the store
            current = count if isinstance(count, int) else 0
            is_allowed = floor(weighted + current) + amount <= limit
            return current + amount * is_allowed, is_allowed

        return bool(self._store.update(fitting(_PREFIX, current_key), step, ttl=2 * expiry))

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return count and remaining time of the window before, and of this one."""
        return self._counts(key, expiry, time.time())

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget both windows."""
        for one in self.sliding_window_keys(key, expiry, time.time()):
            self.clear(one)

    def _counts(self, key: str, expiry: int, now: float) -> tuple[int, float, int, float]:
        previous_key, current_key = self.sliding_window_keys(key, expiry, now)
        previous, current = self.get(previous_key), self.get(current_key)
        previous_ttl = (1 - (((now - expiry) / expiry) % 1)) * expiry if previous else 0.0
        return previous, previous_ttl, current, (1 - ((now / expiry) % 1)) * expiry + expiry
