"""What a process keeps of the store of several hosts, on a real Redis: no older than the server's word."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis_server import RedisServer, needs_redis, running

from nodecluster_compat.errors import StoreUnavailable
from nodecluster_compat.sharing import near_cache
from nodecluster_compat.sharing.near_cache import MOST_ENTRIES, NearCache
from nodecluster_compat.sharing.redis_engine import RedisEngine
from nodecluster_compat.sharing.server import Server
from nodecluster_compat.sharing.server_address import address_of
from nodecluster_compat.sharing.store import Store
from pytest_cluster.waiting import poll

redis = pytest.importorskip("redis")
pytestmark = needs_redis


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


class Host:
    """The store of one process."""

    def __init__(self, url: str) -> None:
        self.engine = RedisEngine(Server(url), "test")
        self.store = Store(lambda: self.engine)
        self.store.cache_locally("hot:")

    @property
    def near(self) -> NearCache:
        return self.engine.near

    def reads_from_memory(self, key: str) -> bool:
        """Read; return whether nobody was asked."""
        before = self.near.hits
        self.store.get(key)
        return self.near.hits > before


def listeners_of(client: Any) -> list[Any]:
    """Return the connections to which the server tells of changes."""
    return [line for line in client.client_list() if "t" in line["flags"]]


@contextmanager
def hosts(url: str) -> Iterator[tuple[Host, Host]]:
    two = Host(url), Host(url)
    two[0].store.clear()
    try:
        yield two
    finally:
        for one in two:
            one.store.leave()


def is_refused(store: Any) -> bool:
    try:
        store.get("hot:a")
    except StoreUnavailable:
        return True
    return False


def test_a_key_is_read_from_memory_until_another_host_changes_it(server: RedisServer) -> None:
    """Whatever changes it, also what creates it; what this process writes it sees at once."""
    with hosts(server.url) as (one, other):
        assert one.store.get("hot:a") is None
        assert poll(lambda: one.reads_from_memory("hot:a"), 20)  # that there is nothing is known, too
        for write, value in (
            (lambda: other.store.set("hot:a", 1), 1),
            (lambda: other.store.incr("hot:a", 4), 5),
            (lambda: other.store.compare_and_set("hot:a", 5, "text"), "text"),
            (lambda: other.store.set_many({"hot:a": [1], "cold": 2}), [1]),
            (lambda: other.store.update("hot:a", lambda _: (7, None)), 7),
            (lambda: other.store.delete("hot:a"), None),
        ):
            write()
            assert poll(lambda value=value: one.store.get("hot:a") == value, 20)
            assert poll(lambda: one.reads_from_memory("hot:a"), 20)
            assert one.store.get("hot:a") == value
        for number in range(50):
            one.store.set("hot:own", number)
            assert one.store.get("hot:own") == number
        one.store.clear()
        assert one.store.get("hot:own") is None


def test_a_prefix_that_begins_another_one(server: RedisServer) -> None:
    """Two libraries name theirs; the server would refuse both."""
    with hosts(server.url) as (one, other):
        one.store.cache_locally("h", "hot:a", "hot:")
        assert poll(lambda: one.store.get("hot:a") is None and one.reads_from_memory("hot:a"), 20)
        other.store.set("hot:a", 1)
        assert poll(lambda: one.store.get("hot:a") == 1, 20)


def test_options_of_the_url_do_not_matter(server: RedisServer) -> None:
    """The connection that hears of changes speaks what it speaks."""
    with hosts(f"{server.url}?protocol=3") as (one, other):
        assert poll(lambda: one.store.get("hot:a") is None and one.reads_from_memory("hot:a"), 20)
        other.store.set("hot:a", 1)
        assert poll(lambda: one.store.get("hot:a") == 1, 20)


def test_what_is_not_hot_is_always_asked_for(server: RedisServer) -> None:
    """And so are verbs that promise one moment, or one step."""
    with hosts(server.url) as (one, other):
        one.store.set("cold", 0)
        for number in range(20):
            other.store.set("cold", number)
            other.store.set("hot:n", number)
            one.store.get("hot:n")
            other.store.set("hot:n", number + 1)
            assert one.store.get("cold") == number
            assert one.store.get_many(["hot:n"]) == {"hot:n": number + 1}
            assert one.store.compare_and_set("hot:n", number + 1, number)
        assert one.near.misses > 0


def test_the_server_says_how_long_a_key_lives(server: RedisServer) -> None:
    """It forgets what is over when it likes, and says so then: this process counts by itself."""
    with hosts(server.url) as (one, _):
        one.store.set_many({"hot:a": 1}, ttl=100)
        one.store.set("hot:b", 1)
        for key in ("hot:a", "hot:b"):
            assert poll(lambda key=key: one.reads_from_memory(key), 20)
        until = {name.rsplit(b":")[-1]: entry.until - time.monotonic() for name, entry in one.near._entries.items()}
        assert (50 < until[b"a"] <= 100, until[b"b"]) == (True, float("inf"))


def test_one_connection_hears_of_changes(server: RedisServer) -> None:
    """Of each process, and none of one that keeps nothing."""
    with hosts(server.url) as (one, other), redis.Redis(port=server.port) as client:
        one.store.get("hot:a")
        other.store.get("cold")
        assert poll(lambda: one.reads_from_memory("hot:a"), 20)
        assert poll(lambda: len(listeners_of(client)) == 1, 20)  # a former one's end may not have come there yet
        one.store.leave()
        assert poll(lambda: not listeners_of(client), 20)


def test_without_the_servers_word_nothing_is_kept(tmp_path: Any) -> None:
    """A server that is killed has forgotten all by the time it is back, and nobody believes otherwise."""
    with running(tmp_path) as server, hosts(server.url) as (one, other):
        other.store.set("hot:a", "before")
        assert poll(lambda: one.reads_from_memory("hot:a"), 20)
        assert one.store.get("hot:a") == "before"
        server.kill()
        assert poll(lambda: is_refused(one.store), 20)
        server.start()
        assert poll(lambda: not is_refused(one.store), 20)
        assert one.store.get("hot:a") is None
        assert poll(lambda: one.reads_from_memory("hot:a"), 20)


def test_a_server_that_stands_still_is_trusted_for_a_moment_only(tmp_path: Any) -> None:
    """The connection is there, and says nothing: reading ends in an error, not in what is old."""
    with running(tmp_path) as server, hosts(server.url) as (one, _):
        one.store.set("hot:a", 1)
        assert poll(lambda: one.reads_from_memory("hot:a"), 20)
        with server.paused():
            assert one.store.get("hot:a") == 1
            assert poll(lambda: is_refused(one.store), 20)


# --- without a server ------------------------------------------------------------------------------


class Kept(NearCache):
    """One that trusts what it reads, and hears nothing."""

    def _begin(self) -> None:
        self._pid, self._is_told = os.getpid(), True


def kept(clock: Callable[[], float] = time.monotonic) -> Kept:
    cache = Kept(address_of("redis://127.0.0.1:1"), b"s:", logging.getLogger("test"), clock)
    cache.cover([b"s:hot:"])
    return cache


def test_silence_is_noticed_in_the_time_that_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time until it asks, and the time for the answer, together."""
    waits: list[float] = []

    def refuse(_: object, timeout: float, **__: object) -> None:
        waits.append(timeout)
        raise StoreUnavailable("on purpose")

    monkeypatch.setattr(near_cache, "client_of", refuse)
    with pytest.raises(StoreUnavailable):
        kept()._listen(object())
    assert waits[0] + near_cache._PING <= near_cache.SILENCE_SECONDS


def test_an_answer_that_a_change_has_overtaken_is_not_kept() -> None:
    """It may be from before the change."""
    cache = kept()

    def fetch() -> Any:
        cache.forget([b"s:hot:a"])  # while the answer was on its way
        return 1, None

    assert cache.read(b"s:hot:a", fetch) == 1
    assert cache.found(b"s:hot:a") is None
    assert cache.read(b"s:hot:a", lambda: (2, None)) == 2
    assert cache.found(b"s:hot:a") == (2,)

    def fetch_all() -> Any:
        cache.forget_all()
        return 1, None

    cache.read(b"s:hot:b", fetch_all)
    assert cache.found(b"s:hot:b") is None


def test_memory_is_bounded() -> None:
    """What was read first goes first."""
    cache = kept()
    for number in range(MOST_ENTRIES + 10):
        cache.read(b"s:hot:%d" % number, lambda number=number: (number, None))
    assert (cache.found(b"s:hot:9"), cache.found(b"s:hot:10")) == (None, (10,))
    for number in range(40):
        cache.read(b"s:hot:large%d" % number, lambda: (b"x" * 1024 * 1024, None))
    assert cache._bytes <= 16 * 1024 * 1024
    assert len(cache._entries) <= 16


def test_what_is_over_is_read_again() -> None:
    """Also where the server has not said so."""
    now = [100.0]
    cache = kept(lambda: now[0])
    assert cache.read(b"s:hot:a", lambda: (1, 5.0)) == 1
    now[0] += 4.9
    assert cache.found(b"s:hot:a") == (1,)
    now[0] += 0.2
    assert cache.found(b"s:hot:a") is None
    assert cache.read(b"s:hot:gone", lambda: (1, 0)) == 1  # it ended on the way
    assert cache.found(b"s:hot:gone") is None
