"""Count the hits of ``limits`` in the whole cluster, for tasks: ``async+cluster://`` of ``limits.aio``.

``limits`` knows the scheme once this module was imported::

    import nodecluster_compat.adapters.limits_async_storage

It counts what :mod:`nodecluster_compat.adapters.limits_storage` counts, and holds up no event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from limits.aio.storage.base import MovingWindowSupport, SlidingWindowCounterSupport, Storage

from ..errors import ClusterError
from ..roles.cluster import cluster
from .limits_storage import ClusterStorage

__all__ = ["AsyncClusterStorage"]


class AsyncClusterStorage(Storage, MovingWindowSupport, SlidingWindowCounterSupport):
    """A storage of ``limits.aio`` in ``cluster.store``.

    Args:
        uri: ``async+cluster://``.
        wrap_exceptions: whether errors of the store are ``limits.errors.StorageError``.
        options: none are known.
    """

    STORAGE_SCHEME = ["async+cluster"]  # noqa: RUF012 - as the base class has it

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: Any) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions, **options)
        self._storage = ClusterStorage(uri)

    @property
    def base_exceptions(self) -> type[Exception]:
        """What the store raises."""
        return ClusterError

    async def _apart(self, verb: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401 - the verb's
        return await cluster.store.apart(verb, *args)

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count hits; the first one of a window says when that ends."""
        return int(await self._apart(self._storage.incr, key, expiry, amount))

    async def get(self, key: str) -> int:
        """Return how many hits there were."""
        return int(await self._apart(self._storage.get, key))

    async def get_expiry(self, key: str) -> float:
        """Return when the window ends, in seconds since 1970."""
        return float(await self._apart(self._storage.get_expiry, key))

    async def check(self) -> bool:
        """Whether the store can be used."""
        return bool(await self._apart(self._storage.check))

    async def reset(self) -> int:
        """Forget all hits; return of how many limits."""
        return int(await self._apart(self._storage.reset))

    async def clear(self, key: str) -> None:
        """Forget the hits of one limit."""
        await self._apart(self._storage.clear, key)

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Hit, if no more than ``limit`` hits are within the last ``expiry`` seconds then."""
        return bool(await self._apart(self._storage.acquire_entry, key, limit, expiry, amount))

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Return when the first hit of the window was, by this host's clock, and how many there are."""
        found: tuple[float, int] = await self._apart(self._storage.get_moving_window, key, limit, expiry)
        return found

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Hit, if the weighted count of this window and the one before allows that."""
        return bool(await self._apart(self._storage.acquire_sliding_window_entry, key, limit, expiry, amount))

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return count and remaining time of the window before, and of this one."""
        found: tuple[int, float, int, float] = await self._apart(self._storage.get_sliding_window, key, expiry)
        return found

    async def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget both windows."""
        await self._apart(self._storage.clear_sliding_window, key, expiry)
