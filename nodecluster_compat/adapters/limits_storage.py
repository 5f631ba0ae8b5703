"""Count the hits of ``limits`` in the whole cluster: ``storage_uri="cluster://"`` of Flask-Limiter and slowapi.

``limits`` knows the scheme once this module was imported::

    import nodecluster_compat.adapters.limits_storage

All of its strategies are exact over all workers, whichever of them is killed.  Time is the store's: where several hosts
share a server, whose clocks may differ, it is that of the server.
"""

from __future__ import annotations

import time
from math import floor
from typing import TYPE_CHECKING, Any, Final

from limits.storage.base import MovingWindowSupport, SlidingWindowCounterSupport, Storage

from ..errors import ClusterError
from ..roles.cluster import cluster
from ..sharing.rates import SlidingWindow
from ..sharing.store import UNCHANGED
from .keys import fitting

if TYPE_CHECKING:
    from ..sharing.store import Store

__all__ = ["ClusterStorage"]

_PREFIX: Final = "limits:"
_WINDOW: Final = "limits:window:"
_COUNTER: Final = "limits:counter:"


class ClusterStorage(Storage, MovingWindowSupport, SlidingWindowCounterSupport):
    """A storage of ``limits`` in ``cluster.store``.

    Args:
        uri: ``cluster://``.
        wrap_exceptions: whether errors of the store are ``limits.errors.StorageError``.
        options: none are known.
    """

    STORAGE_SCHEME = ["cluster"]  # noqa: RUF012 - as the base class has it

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: Any) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions, **options)

    @property
    def _store(self) -> Store:
        return cluster.store

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
        """Hit, if no more than ``limit`` hits are within the last ``expiry`` seconds then; a cost of 0 always may."""
        return not amount or (amount <= limit and not self._window(key, limit, expiry).take(amount))

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Return when the first hit of the window was, by this host's clock, and how many there are."""
        count, age = self._window(key, limit, expiry).stand()
        return time.time() - age, count

    def _window(self, key: str, limit: int, expiry: int) -> SlidingWindow:
        return SlidingWindow(self._store, fitting(_WINDOW, key), limit, expiry)

    # --- sliding window counter ----------------------------------------------------------------

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Hit, if the weighted count of this window and the one before allows that."""

        def step(kept: Any) -> tuple[Any, bool]:  # noqa: ANN401 - of the store
            now = self._store.now()
            began, previous, current = _windows(kept, expiry, now)
            weighted = previous * (began + expiry - now) / expiry + current
            is_allowed = floor(weighted) + amount <= limit
            return [began, previous, current + amount] if is_allowed else UNCHANGED, is_allowed

        return bool(self._store.update(fitting(_COUNTER, key), step, ttl=2 * expiry))

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return count and remaining time of the window before, and of this one."""
        now = self._store.now()
        began, previous, current = _windows(self._store.get(fitting(_COUNTER, key)), expiry, now)
        left = began + expiry - now
        return previous, left if previous else 0.0, current, left + expiry if current or previous else 0.0

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget both windows."""
        self._store.delete(fitting(_COUNTER, key))


def _windows(kept: Any, expiry: float, now: float) -> tuple[float, int, int]:  # noqa: ANN401 - of the store
    """Return when this window began, which is at its first hit or after the one before, and the hits of both."""
    if not isinstance(kept, list):
        return now, 0, 0
    began, previous, current = kept
    if now < began + expiry:
        return began, previous, current
    return (began + expiry, current, 0) if now < began + 2 * expiry else (now, 0, 0)
