"""Keep Django's cache in the cluster: ``"BACKEND": "nodecluster_compat.adapters.django_cache.ClusterCache"``.

Values are pickled, as in Django's other caches; whole numbers are kept as such, so that ``incr()`` is one step.  The
store is bounded by itself, so ``MAX_ENTRIES`` and ``CULL_FREQUENCY`` mean nothing.  What is too large for it, 1 MiB, is
not kept, as Django's cache in memcached has it.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from math import inf
from typing import TYPE_CHECKING, Any, Final

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache

from ..errors import MessageTooLarge, StoreFull
from ..roles.cluster import cluster
from .keys import fitting, prefix_of

if TYPE_CHECKING:
    from ..sharing.store import Store

__all__ = ["ClusterCache"]

_MISSING: Final = object()
_MOST_WHOLE: Final = 2**63


class ClusterCache(BaseCache):  # type: ignore[misc]  # Django has no type hints
    """Django's cache in ``cluster.store``.

    Args:
        name: ``LOCATION``, so that several caches do not share keys.
        params: Django's, ``TIMEOUT`` and others.
    """

    def __init__(self, name: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._prefix = prefix_of("django", name)

    @property
    def _store(self) -> Store:
        return cluster.store

    def _name(self, key: str, version: int | None) -> str:
        return fitting(self._prefix, self.make_and_validate_key(key, version=version))

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:  # noqa: ANN401 - Django's
        """See Django's documentation of the cache."""
        kept = self._store.get(self._name(key, version), _MISSING)
        return default if kept is _MISSING else _loaded(kept)

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:  # noqa: ANN401
        """See Django's documentation of the cache."""
        name, kept, seconds = self._name(key, version), _dumped(value), self._seconds(timeout)
        if seconds == 0:
            self._store.delete(name)
        else:
            self._put(name, kept, seconds)

    def _put(self, name: str, kept: int | bytes, seconds: float | None) -> bool:
        """Keep it, or nothing: not an older value in its place."""
        try:
            return self._store.set(name, kept, ttl=seconds)
        except (MessageTooLarge, StoreFull):
            self._store.delete(name)
            return False

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:  # noqa: ANN401
        """See Django's documentation of the cache."""
        name, kept, seconds = self._name(key, version), _dumped(value), self._seconds(timeout)
        if seconds == 0:
            return name not in self._store
        try:
            return self._store.set(name, kept, ttl=seconds, nx=True)
        except (MessageTooLarge, StoreFull):
            return False

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:  # noqa: ANN401
        """See Django's documentation of the cache."""
        name, seconds = self._name(key, version), self._seconds(timeout)
        return bool(self._store.delete(name)) if seconds == 0 else self._store.expire(name, seconds)

    def delete(self, key: str, version: int | None = None) -> bool:
        """See Django's documentation of the cache."""
        return bool(self._store.delete(self._name(key, version)))

    def has_key(self, key: str, version: int | None = None) -> bool:
        """See Django's documentation of the cache."""
        return self._name(key, version) in self._store

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """See Django's documentation of the cache."""

        def step(kept: Any) -> tuple[Any, int]:  # noqa: ANN401 - of the store
            if kept is None:
                raise ValueError(f"Key '{key}' not found")
            total: int = _loaded(kept) + delta
            return _dumped(total), total

        total: int = self._store.update(self._name(key, version), step, keep_ttl=True)
        return total

    def get_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Any]:
        """See Django's documentation of the cache."""
        names = {self._name(key, version): key for key in keys}
        return {names[name]: _loaded(kept) for name, kept in self._store.get_many(names).items()}

    def set_many(
        self,
        data: Mapping[str, Any],
        timeout: Any = DEFAULT_TIMEOUT,  # noqa: ANN401 - Django's
        version: int | None = None,
    ) -> list[str]:
        """See Django's documentation of the cache."""
        names = {self._name(key, version): key for key in data}
        kept = {name: _dumped(data[key]) for name, key in names.items()}
        seconds = self._seconds(timeout)
        if seconds == 0:
            self._store.delete(*kept)
            return []
        try:
            self._store.set_many(kept, ttl=seconds)
        except (MessageTooLarge, StoreFull):
            return [key for name, key in names.items() if not self._put(name, kept[name], seconds)]
        return []

    def delete_many(self, keys: Iterable[str], version: int | None = None) -> None:
        """See Django's documentation of the cache."""
        self._store.delete(*[self._name(key, version) for key in keys])

    def clear(self) -> None:
        """See Django's documentation of the cache."""
        self._store.delete_prefix(self._prefix)

    def _seconds(self, timeout: Any) -> float | None:  # noqa: ANN401 - Django's
        """Return for how long: ``None`` for ever, 0 for not at all."""
        seconds = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        return None if seconds in (None, inf) else max(0.0, float(seconds))


def _dumped(value: Any) -> int | bytes:  # noqa: ANN401 - anything
    if type(value) is int and -_MOST_WHOLE <= value < _MOST_WHOLE:
        return value
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def _loaded(kept: Any) -> Any:  # noqa: ANN401 - anything
    return pickle.loads(kept) if isinstance(kept, bytes) else kept  # noqa: S301 - of this cluster's own processes
