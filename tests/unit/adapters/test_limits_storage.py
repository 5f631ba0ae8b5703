"""``limits`` with its own strategies on the cluster's storage, and beside its own storage in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.aio import strategies as strategies_of_tasks
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, SlidingWindowCounterRateLimiter

import nodecluster_compat.adapters.limits_async_storage as async_adapter
import nodecluster_compat.adapters.limits_storage as adapter
from nodecluster_compat.errors import StoreUnavailable
from nodecluster_compat.sharing.store import Store

STRATEGIES: list[Any] = [FixedWindowRateLimiter, MovingWindowRateLimiter]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_as_in_memory(strategy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Allows what the storage in memory allows, hit by hit, and tells the same of the window."""
    now = [1_000_000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    ours, theirs = (strategy(storage_from_string(uri)) for uri in ("cluster://", "memory://"))
    limit = RateLimitItemPerMinute(5)
    for step in range(60):
        now[0] += step % 7 * 3.1  # never a whole minute: at the very end of one a hit counts there, and not here
        key = ("user", "x" * (600 if step % 2 else 1))
        cost = 1 + step % 3 // 2
        assert ours.test(limit, *key, cost=cost) == theirs.test(limit, *key, cost=cost)
        assert ours.hit(limit, *key, cost=cost) == theirs.hit(limit, *key, cost=cost)
        mine, other = ours.get_window_stats(limit, *key), theirs.get_window_stats(limit, *key)
        assert (mine.remaining, mine.reset_time) == (other.remaining, pytest.approx(other.reset_time))
    ours.clear(limit, "user", "x")
    assert ours.get_window_stats(limit, "user", "x").remaining == 5


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_costs_nothing(strategy: Any) -> None:
    """Passes, also where the limit is reached, as in memory: ``cost=lambda: 0 if cached else 1``."""
    for limiter in (strategy(storage_from_string(uri)) for uri in ("cluster://", "memory://")):
        limit = RateLimitItemPerMinute(1)
        assert [limiter.hit(limit, "a", cost=cost) for cost in (0, 1, 0, 1)] == [True, True, True, False]


def test_sliding_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first begins with a hit, the next one behind it; of the one before so much counts as is within a minute."""
    now = [1_000_000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    monkeypatch.setattr("time.monotonic", lambda: now[0] - 999_000)
    limiter, limit = SlidingWindowCounterRateLimiter(storage_from_string("cluster://")), RateLimitItemPerMinute(6)
    assert limiter.get_window_stats(limit, "a") == (now[0], 6)
    assert [limiter.hit(limit, "a") for _ in range(7)] == [True] * 6 + [False]
    now[0] += 10
    assert limiter.get_window_stats(limit, "a") == (pytest.approx(now[0] + 50), 0)
    hits = []
    for now[0] in range(1_000_020, 1_000_121, 10):
        hits.append([limiter.test(limit, "a"), limiter.hit(limit, "a")])
    assert hits == [[False] * 2] * 5 + [[True] * 2] * 6  # in the second minute each ten seconds free a hit of the first
    now[0] += 120
    assert limiter.get_window_stats(limit, "a").remaining == 6
    assert limiter.hit(limit, "a")
    limiter.clear(limit, "a")
    assert limiter.get_window_stats(limit, "a").remaining == 6


@pytest.mark.parametrize("strategy", [MovingWindowRateLimiter, SlidingWindowCounterRateLimiter])
def test_hosts_whose_clocks_differ(strategy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By 50 ms: what is allowed, and how long to wait, is by the time of the store, which both have."""
    now, skew = [1000.0], [0.0]
    monkeypatch.setattr("time.time", lambda: now[0] + 1_000_000 + skew[0])
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    limiter, limit = strategy(storage_from_string("cluster://")), RateLimitItemPerSecond(10)

    def seen_by(key: str, skews: tuple[float, float]) -> list[Any]:
        seen = []
        for step in range(600):
            now[0] = 1000 + step * 0.005
            for skew[0] in skews:
                waits = limiter.get_window_stats(limit, key).reset_time - adapter.time.time()
                seen.append((limiter.hit(limit, key), pytest.approx(waits, abs=1e-6)))
        return seen

    assert seen_by("apart", (0.05, 0.0)) == seen_by("together", (0.0, 0.0))


def test_reset_and_check(store: Store) -> None:
    """Only what is of limits goes."""
    storage: Any = storage_from_string("cluster://")
    limiter = FixedWindowRateLimiter(storage)
    store.set("mine", 1)
    assert limiter.hit(RateLimitItemPerSecond(1), "a")
    assert not limiter.hit(RateLimitItemPerSecond(1), "a")
    assert storage.check()
    assert storage.reset() == 1
    assert limiter.hit(RateLimitItemPerSecond(1), "a")
    assert store.get("mine") == 1


def test_a_store_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is unhealthy, and raises what ``limits`` says if it is to."""
    storage: Any = storage_from_string("cluster://", wrap_exceptions=True)
    assert isinstance(storage, adapter.ClusterStorage)

    def broken(*_: object, **__: object) -> None:
        raise StoreUnavailable("no place")

    monkeypatch.setattr(Store, "engine", property(broken))
    assert not storage.check()
    with pytest.raises(StorageError):
        storage.incr("a", 5)


def test_tasks() -> None:
    """``limits.aio`` counts with the others, and what many tasks hit is exact."""
    ours: Any = storage_from_string("async+cluster://")
    assert isinstance(ours, async_adapter.AsyncClusterStorage)
    limiter, others = (
        strategies_of_tasks.MovingWindowRateLimiter(ours),
        MovingWindowRateLimiter(storage_from_string("cluster://")),
    )
    limit = RateLimitItemPerMinute(10)

    async def main() -> list[bool]:
        assert await ours.check()
        return list(await asyncio.gather(*[limiter.hit(limit, "a") for _ in range(20)]))

    assert others.hit(limit, "a")
    assert sorted(asyncio.run(main())) == [False] * 11 + [True] * 9
    assert not others.hit(limit, "a")
