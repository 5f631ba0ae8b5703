"""Keep what goes through ``cachelib`` in the cluster: Flask-Caching and Flask-Session take any such cache.

CACHE_TYPE = "nodecluster_compat.adapters.cachelib_cache.ClusterCache"
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, Final, Protocol

from cachelib.base import BaseCache

from ..errors import MessageTooLarge, StoreFull
from ..roles.cluster import cluster
from .keys import fitting, prefix_of

if TYPE_CHECKING:
    from ..sharing.store import Store

__all__ = ["ClusterCache"]

_MOST_WHOLE: Final = 2**63


class _Serializer(Protocol):
    """What ``cachelib`` has in ``cachelib.serializers``."""

    def dumps(self, value: Any) -> bytes | None:  # noqa: ANN401 - anything
        """Return bytes; ``None``: it cannot."""

    def loads(self, bvalue: bytes) -> Any:  # noqa: ANN401 - anything
        """Undo that."""


class _Pickle:
    """As ``cachelib``'s, but that what cannot be pickled is told, as its documentation of ``set`` says."""

    def dumps(self, value: Any) -> bytes:  # noqa: ANN401 - anything
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    def loads(self, bvalue: bytes) -> Any:  # noqa: ANN401 - anything
        return pickle.loads(bvalue)  # noqa: S301 - of this cluster's own processes


class ClusterCache(BaseCache):
    """A cache of ``cachelib`` in ``cluster.store``.

    Whole numbers are kept as such, so that counting is one step.

    Args:
        default_timeout: seconds that a value is kept; 0 for ever.
        key_prefix: before every key, so that several caches do not share keys.
        options: of ``BaseCache``.

    Attributes:
        serializer: of all other values; may be replaced, in a class of your own, too.
    """

    serializer: _Serializer = _Pickle()

    def __init__(self, default_timeout: int = 300, key_prefix: str = "", **options: Any) -> None:
        super().__init__(default_timeout, **options)
        self._prefix = prefix_of("cachelib", key_prefix)

    @classmethod
    def factory(cls, app: Any, config: dict[str, Any], args: list[Any], kwargs: dict[str, Any]) -> ClusterCache:  # noqa: ANN401
        """Return the cache that Flask-Caching's settings describe."""
        kwargs.setdefault("key_prefix", config.get("CACHE_KEY_PREFIX", ""))
        return cls(*args, **kwargs)

    @property
    def _store(self) -> Store:
        return cluster.store

    def _seconds(self, timeout: Any) -> float | None:  # noqa: ANN401 - cachelib's
        return self._normalize_timeout(timeout) or None

    def get(self, key: str) -> Any:  # noqa: ANN401 - whatever was put there
        """See the documentation of ``cachelib``."""
        return self._loaded(self._store.get(fitting(self._prefix, key)))

    def get_many(self, *keys: str) -> list[Any]:
        """See the documentation of ``cachelib``."""
        names = [fitting(self._prefix, key) for key in keys]
        found = self._store.get_many(names)
        return [self._loaded(found.get(name)) for name in names]

    def set(self, key: str, value: Any, timeout: Any = None) -> bool:  # noqa: ANN401 - cachelib's
        """See the documentation of ``cachelib``."""
        return self._put(key, value, timeout, nx=False)

    def add(self, key: str, value: Any, timeout: Any = None) -> bool:  # noqa: ANN401 - cachelib's
        """See the documentation of ``cachelib``."""
        return self._put(key, value, timeout, nx=True)

    def _put(self, key: str, value: Any, timeout: Any, *, nx: bool) -> bool:  # noqa: ANN401
        kept, seconds = self._dumped(value), self._seconds(timeout)
        if kept is None:
            return False
        if seconds is not None and seconds < 0:
            self._store.delete(fitting(self._prefix, key))
            return True
        try:
            return self._store.set(fitting(self._prefix, key), kept, ttl=seconds, nx=nx)
        except (MessageTooLarge, StoreFull):
            if not nx:
                self._store.delete(fitting(self._prefix, key))
            return False

    def delete(self, key: str) -> bool:
        """See the documentation of ``cachelib``."""
        return bool(self._store.delete(fitting(self._prefix, key)))

    def has(self, key: str) -> bool:
        """See the documentation of ``cachelib``."""
        return fitting(self._prefix, key) in self._store

    def clear(self) -> bool:
        """See the documentation of ``cachelib``."""
        self._store.delete_prefix(self._prefix)
        return True

    def inc(self, key: str, delta: int = 1) -> int | None:
        """See the documentation of ``cachelib``."""

        def step(kept: Any) -> tuple[Any, int]:  # noqa: ANN401 - of the store
            total: int = (self._loaded(kept) or 0) + delta
            return self._dumped(total), total

        total: int = self._store.update(fitting(self._prefix, key), step, ttl=self._seconds(None), keep_ttl=True)
        return total

    def dec(self, key: str, delta: int = 1) -> int | None:
        """See the documentation of ``cachelib``."""
        return self.inc(key, -delta)

    def _dumped(self, value: Any) -> int | bytes | None:  # noqa: ANN401 - anything
        if type(value) is int and -_MOST_WHOLE <= value < _MOST_WHOLE:
            return value
        return self.serializer.dumps(value)

    def _loaded(self, kept: Any) -> Any:  # noqa: ANN401 - anything
        return self.serializer.loads(kept) if isinstance(kept, bytes) else kept
