"""Put the cluster's storage in the place of the one in memory, for ``limits``' own tests; loaded by ``-p``.

On this host whoever waits moves the time, because the tests measure it to some milliseconds, which a busy machine does
not keep.  With ``NODECLUSTER_BUS`` the server has its own, and they wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import limits._storage_scheme
import limits.aio.storage
import limits.storage
import pytest

from nodecluster_compat.adapters.limits_async_storage import AsyncClusterStorage
from nodecluster_compat.adapters.limits_storage import ClusterStorage
from nodecluster_compat.sharing.async_store import AsyncStore
from nodecluster_compat.sharing.lmdb_engine import LmdbEngine
from nodecluster_compat.sharing.redis_engine import RedisEngine
from nodecluster_compat.sharing.server import Server
from nodecluster_compat.sharing.server_address import asked_url
from nodecluster_compat.sharing.this_process import sharing

limits._storage_scheme.SCHEMES["memory"] = ClusterStorage
limits.storage.MemoryStorage = ClusterStorage  # type: ignore[misc,assignment]
limits._storage_scheme.SCHEMES["async+memory"] = AsyncClusterStorage
limits.aio.storage.MemoryStorage = AsyncClusterStorage  # type: ignore[misc,assignment]


@pytest.fixture(autouse=True)
def _in_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store of each test's own."""
    url = asked_url()
    store = AsyncStore(
        lambda: RedisEngine(Server(url), tmp_path.name[-60:]) if url else LmdbEngine(lambda: str(tmp_path))
    )
    monkeypatch.setattr(sharing, "store", store)
    if not url:
        _move_time(monkeypatch)
    yield
    store.clear()
    store.leave()


def _move_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_800_000_000.25]

    def sleep(seconds: float) -> None:
        now[0] += max(seconds, 0.0)

    for clock in ("time", "monotonic"):
        monkeypatch.setattr(time, clock, lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    turn = asyncio.sleep

    async def sleep_async(seconds: float) -> None:
        sleep(seconds)
        await turn(0)

    monkeypatch.setattr(asyncio, "sleep", sleep_async)
