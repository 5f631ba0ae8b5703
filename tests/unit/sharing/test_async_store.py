"""The store's verbs for tasks: none holds up the loop, and each is the verb."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from nodecluster_compat.errors import ArgumentTypeError, WouldBlock
from nodecluster_compat.sharing.async_store import AsyncStore
from nodecluster_compat.sharing.lmdb_engine import LmdbEngine
from nodecluster_compat.sharing.rates import SlidingWindow, TokenBucket
from nodecluster_compat.sharing.store import Store

VERBS = [name for name in dir(AsyncStore) if name.endswith("_async")]


@pytest.fixture
def store(tmp_path: Path) -> Any:
    store = AsyncStore(lambda: LmdbEngine(lambda: str(tmp_path)))
    yield store
    store.leave()


def test_each_verb_has_a_twin() -> None:
    verbs = {name for name in vars(Store) if not name.startswith("_") and callable(vars(Store)[name])}
    assert {name.removesuffix("_async") for name in VERBS} == verbs - {"apart", "cache_locally", "leave"}


def test_twins_do_what_the_verbs_do(store: AsyncStore) -> None:
    async def main() -> None:
        assert await store.get_async("a", "nothing") == "nothing"
        assert await store.set_async("a", 1, nx=True)
        assert not await store.set_async("a", 2, nx=True)
        await store.set_many_async({"b": "two", "c": None})
        assert await store.get_async("c", "nothing") is None
        assert await store.get_many_async(["a", "b", "missing"]) == {"a": 1, "b": "two"}
        assert await asyncio.gather(*[store.incr_async("n") for _ in range(20)])
        assert await store.get_async("n") == 20
        assert await store.compare_and_set_async("a", 1, 5)
        assert await store.update_async("a", lambda value: (value + 1, value)) == 5
        assert (await store.expire_async("a", 50), 0 < (await store.ttl_async("a") or 0) <= 50) == (True, True)
        assert sorted(await store.keys_async("b")) == ["b"]
        assert (await store.delete_async("b"), await store.delete_prefix_async("n")) == (1, 1)
        await store.clear_async()
        assert await store.apart(len, store) == 0
        assert store.now() <= await store.now_async() <= store.now()
        bucket, window = TokenBucket(store, "t", rate=0.001, burst=1), SlidingWindow(store, "w", 1, 1000)
        assert [bool(await one.take_async()) for one in (bucket, window, bucket, window)] == [False, False, True, True]
        assert await window.hits_async() == window.hits()
        assert (await window.stand_async())[0] == 1
        with pytest.raises(ArgumentTypeError):
            await store.incr_async("a", "one")  # type: ignore[arg-type]

    asyncio.run(main())


class Waits:
    """An engine that answers when it is told to."""

    def __init__(self) -> None:
        self.may = threading.Event()

    def cache_locally(self, prefixes: Any) -> None:
        """Nothing is kept."""

    def at_hand(self, key: bytes) -> None:
        """Nothing is known at once."""

    def get(self, key: bytes) -> int:
        assert self.may.wait(30)
        return 7


def test_the_loop_goes_on_while_a_verb_waits() -> None:
    engine: Any = Waits()
    store = AsyncStore(lambda: engine)

    async def main() -> int:
        waiting = asyncio.create_task(store.get_async("a"))
        await asyncio.sleep(0)  # the loop turns, and the one that waits has begun
        assert not waiting.done()
        engine.may.set()
        return await waiting

    assert asyncio.run(main()) == 7


def test_where_no_loop_is_nothing_is_begun() -> None:
    def refuse(_: Any) -> Any:
        raise WouldBlock("no loop")

    engine: Any = Waits()
    store = AsyncStore(lambda: engine, lambda: refuse)
    with pytest.raises(WouldBlock):
        store.get_async("a").send(None)
