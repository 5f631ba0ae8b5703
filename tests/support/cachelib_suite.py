"""``cachelib``'s own tests of a cache, for the cluster's: copied into ``tests`` of its sources to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from clear import ClearTests  # type: ignore[import-not-found]
from common import CommonTests  # type: ignore[import-not-found]
from delete_many_with_prefix import DeleteManyWithPrefixTests  # type: ignore[import-not-found]
from has import HasTests  # type: ignore[import-not-found]
from serializer import SerializerTests  # type: ignore[import-not-found]

from nodecluster_compat.adapters.cachelib_cache import ClusterCache
from nodecluster_compat.sharing.lmdb_engine import LmdbEngine
from nodecluster_compat.sharing.redis_engine import RedisEngine
from nodecluster_compat.sharing.server import Server
from nodecluster_compat.sharing.server_address import asked_url
from nodecluster_compat.sharing.store import Store
from nodecluster_compat.sharing.this_process import sharing


class SillySerializer:
    """As in its tests of other caches."""

    def dumps(self, value: object) -> bytes:
        return repr(value).encode()

    def loads(self, bvalue: bytes) -> object:
        return eval(bvalue.decode())


class CustomCache(ClusterCache):
    """As in its tests of other caches."""

    serializer = SillySerializer()


@pytest.fixture(autouse=True, params=[ClusterCache, CustomCache])
def cache_factory(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    url = asked_url()
    name = tmp_path.name[-60:].replace("[", "_").replace("]", "_")
    store = Store(lambda: RedisEngine(Server(url), name) if url else LmdbEngine(lambda: str(tmp_path)))
    monkeypatch.setattr(sharing, "store", store)

    def factory(self: object, *args: Any, **options: Any) -> ClusterCache:
        cache: ClusterCache = request.param(*args, **options)
        return cache

    request.cls.cache_factory = factory
    yield
    store.clear()
    store.leave()


class TestClusterCache(CommonTests, HasTests, ClearTests, SerializerTests, DeleteManyWithPrefixTests):  # type: ignore[misc]
    """Every test that all caches have in common."""
