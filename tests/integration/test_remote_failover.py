"""Servers of which one takes over for another: by Sentinels, and in a Redis Cluster, both real."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from redis_server import RedisCluster, Sentinels, needs_redis

from nodecluster_compat.errors import StoreUnavailable
from nodecluster_compat.sharing.bridge import Bridge
from nodecluster_compat.sharing.holds import Places
from nodecluster_compat.sharing.keeper import Claim, Keeper
from nodecluster_compat.sharing.redis_engine import RedisEngine, space_of
from nodecluster_compat.sharing.server import Server
from nodecluster_compat.sharing.store import Store
from nodecluster_compat.sharing.streams import Streams
from nodecluster_compat.sharing.wire import decode, encode
from pytest_cluster.waiting import poll

pytest.importorskip("redis")
pytestmark = [needs_redis, pytest.mark.slow, pytest.mark.timeout(180)]
LOG = logging.getLogger("test")
PATIENCE = 60.0


class Host:
    """What a worker that leads its host has of the server."""

    def __init__(self, url: str) -> None:
        self.heard: list[bytes] = []
        self.tokens: list[int] = []
        self.store = Store(lambda: RedisEngine(Server(url), "test"))
        self.store.cache_locally("hot:")
        self.bridge = Bridge(url, "test", self.heard.append, LOG)
        self.server = Server(url, 0.0)
        self.keeper = Keeper(self.server, LOG)
        self.bridge.begin()

    def hold(self, name: str) -> Claim:
        """Hold a lock for as long as it takes, and wait until that is so."""
        places = Places((f"{space_of('test')}lock:0:{name}",), f"{space_of('test')}tokens")
        claim = Claim(name, places, f"{id(self)}:1:1", 2.0, True, self._got, lambda: None)
        self.keeper.claim(claim)
        assert poll(lambda: self.keeper.holds(claim), PATIENCE)
        return claim

    def _got(self, error: Exception | None, token: int | None) -> None:
        if token is not None:
            self.tokens.append(token)

    def end(self) -> None:
        self.bridge.end()
        self.store.leave()


@contextmanager
def two_hosts(url: str) -> Iterator[tuple[Host, Host]]:
    two = Host(url), Host(url)
    try:
        yield two
    finally:
        for one in two:
            one.end()


def done(call: Callable[[], Any]) -> bool:
    """Whether a verb is done; what cannot be reached is tried again by the caller."""
    with suppress(StoreUnavailable):
        call()
        return True
    return False


def all_works(one: Host, other: Host, url: str, word: str) -> None:
    """Every verb, as soon as a server has taken over."""
    assert poll(lambda: done(lambda: one.store.set(word, {"a": word})), PATIENCE)
    assert poll(lambda: done(lambda: other.store.get(word)), PATIENCE)
    assert other.store.get(word) == {"a": word}
    assert (other.store.incr(f"{word}:n", 3), one.store.incr(f"{word}:n")) == (3, 4)
    assert one.store.get_many([word, f"{word}:n"]) == {word: {"a": word}, f"{word}:n": 4}
    assert one.store.update(word, lambda value: ([value], "done")) == "done"

    def crosses() -> bool:
        one.bridge.publish(word.encode())
        return word.encode() in other.heard

    assert poll(crosses, PATIENCE)
    claim = one.hold(word)
    released: list[bool] = []
    one.keeper.release(claim, lambda: released.append(True))
    assert poll(lambda: bool(released), PATIENCE)
    other.keeper.release(other.hold(word))
    assert other.tokens[-1] > one.tokens[-1]
    streams, server = Streams("test"), Server(url)
    server.ask(lambda client: streams.join(client, word))
    assert server.ask(lambda client: streams.publish(client, "t", encode(word))) is None
    entry = server.ask(lambda client: streams.read(client, word, "w", 500))
    assert entry is not None
    assert decode(entry.body) == word
    server.ask(lambda client: streams.acknowledge(client, word, entry))
    server.leave()

    def reads_from_memory() -> bool:
        before = one.store.engine.near.hits  # type: ignore[attr-defined]
        one.store.get(f"hot:{word}")
        return bool(one.store.engine.near.hits > before)  # type: ignore[attr-defined]

    assert poll(reads_from_memory, PATIENCE)
    other.store.set(f"hot:{word}", word)
    assert poll(lambda: one.store.get(f"hot:{word}") == word, PATIENCE)


def test_sentinels_name_another_master(tmp_path: Path) -> None:
    """When the master dies its replica takes over, and all goes on with that."""
    with Sentinels(tmp_path) as sentinels, two_hosts(sentinels.url) as (one, other):
        all_works(one, other, sentinels.url, "before")
        first = sentinels.master()
        one.store.set("kept", "in both")
        sentinels.wait_replicated()
        sentinels.kill(first)
        assert poll(lambda: sentinels.master() not in (None, first), PATIENCE)
        all_works(one, other, sentinels.url, "after")
        assert one.store.get("kept") == "in both"


def test_a_replica_takes_over_in_a_cluster(tmp_path: Path) -> None:
    """Three masters, of which the one dies that has our slot."""
    with RedisCluster(tmp_path) as cluster, two_hosts(cluster.url) as (one, other):
        all_works(one, other, cluster.url, "before")
        owner = cluster.owner_of(space_of("test"))
        cluster.kill(owner)
        assert poll(lambda: cluster.owner_of(space_of("test")) not in (None, owner), PATIENCE)
        all_works(one, other, cluster.url, "after")
