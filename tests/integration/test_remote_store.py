"""The store, as several hosts share it, on a real Redis: its verbs, and whatever becomes of the server."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from redis_server import UNWILLING, RedisServer, needs_redis, running
from store_verbs import check_verbs

from nodecluster_compat.errors import (
    ArgumentError,
    ArgumentTypeError,
    StoreCorrupt,
    StoreFull,
    StoreUnavailable,
)
from nodecluster_compat.sharing.bridge import Bridge
from nodecluster_compat.sharing.rates import SlidingWindow, TokenBucket
from nodecluster_compat.sharing.redis_engine import RedisEngine
from nodecluster_compat.sharing.server import Server
from nodecluster_compat.sharing.store import Store
from pytest_cluster.waiting import poll

redis = pytest.importorskip("redis")
pytestmark = needs_redis


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@contextmanager
def opened(url: str, name: str = "test") -> Iterator[Store]:
    store = Store(lambda: RedisEngine(Server(url), name))
    try:
        yield store
    finally:
        store.leave()


@pytest.fixture
def store(server: RedisServer) -> Iterator[Store]:
    with opened(server.url) as store:
        store.clear()
        yield store


VALUES = [
    None,
    True,
    0,
    -5,
    2**63 - 1,
    -(2**63),
    2**64 - 1,
    1.5,
    "text",
    "12",
    b"\0\xff",
    b"-7",
    [1, [2]],
    {"a": {"b": None}},
]


@pytest.mark.parametrize("value", [*VALUES, "", "x" * 100_000], ids=lambda value: repr(value)[:20])
def test_values_come_back(store: Store, value: Any) -> None:
    """As on one host."""
    assert store.set("key", value)
    assert store["key"] == value
    assert type(store["key"]) is type(value)
    assert "key" in store


class Colour(IntEnum):
    RED = 48
    MINUS = 45
    LARGE = 300


class Plain(Enum):
    RED = 48


@pytest.mark.parametrize("value", [*Colour, *Plain, signal.SIGILL], ids=repr)
def test_members_of_enumerations_are_whole_numbers(store: Store, value: Any) -> None:
    """In MessagePack some of them are what Redis has for a digit."""
    number = value.value
    store.set("a", value)
    store.set_many({"b": value})
    store.update("c", lambda _: (value, None))
    assert [store.get("a"), store.get("b"), store.get("c")] == [number] * 3
    assert store.incr("a") == number + 1
    if isinstance(value, int):
        assert store.incr("a", value) == 2 * number + 1


def test_verbs(store: Store) -> None:
    """As on one host."""
    check_verbs(store)
    assert (len(store), store.bytes > 0, store.evicted) == (5, True, 0)
    store.set_many({"a*c": 1, "a*d": 1, "abc": 1, "[x]": 1})
    assert sorted(store.keys("a*")) == ["a*c", "a*d"]
    assert store.delete_prefix("a*") == 2
    assert sorted(store.keys()) == ["[x]", "a", "abc", "c", "log", "n", "new"]
    with opened(store.engine._server._address.url, "another") as other:  # type: ignore[attr-defined]
        assert (len(other), other.get("a")) == (0, None)
    store.clear()
    assert (len(store), store.bytes, store.get("c")) == (0, 0, None)


def test_time_to_live(store: Store) -> None:
    """The server counts the time."""
    store.set("a", 1, ttl=100)
    store.incr("n", ttl=100)
    store.incr("n", ttl=5000)
    for key in ("a", "n"):
        assert 90 < (store.ttl(key) or 0) <= 100
    assert (store.ttl("nothing"), store.expire("nothing", 5), store.expire("nothing", None)) == (0.0, False, False)
    assert store.expire("a", None)
    assert store.ttl("a") is None
    store.update("n", lambda n: (n + 1, None), keep_ttl=True)
    assert (store["n"], 90 < (store.ttl("n") or 0) <= 100) == (3, True)
    assert store.incr("large", 2**60 + 1, ttl=100) == 2**60 + 1
    store.set_many({"x": 1, "y": "z"}, ttl=100)
    assert 90 < (store.ttl("y") or 0) <= 100
    assert store.expire("n", 0.001)
    deadline = time.monotonic() + 10
    while "n" in store:
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda store: store.set("t", "text") and store.incr("t"), ArgumentTypeError, "whole number to be kept as 't'"),
        (lambda store: store.set("t", "text") and store.incr("t", ttl=5), ArgumentTypeError, "whole number to be"),
        (lambda store: store.set("m", 2**63 - 1) and store.incr("m"), ArgumentError, "64 bits"),
        (lambda store: store.set("m", 2**63 - 1) and store.incr("m", ttl=5), ArgumentError, "64 bits"),
        (lambda store: store.incr("none", 2**63, ttl=5), ArgumentError, "64 bits"),
        (lambda store: store.incr("none", -(2**63) - 1), ArgumentError, "64 bits"),
    ],
)
def test_bad_input(store: Store, call: Callable[[Store], Any], error: type[Exception], sentence: str) -> None:
    """The same errors as on one host."""
    with pytest.raises(error, match=sentence):
        call(store)
    assert "none" not in store


@pytest.mark.parametrize("ttl", [1e300, 10**400], ids=["float", "whole"])
def test_a_time_that_is_as_good_as_for_ever(store: Store, ttl: float) -> None:
    """As on one host."""
    store.set("a", 1, ttl=ttl)
    store.incr("n", ttl=ttl)
    assert store.expire("a", ttl)
    assert [(store.ttl(key) or 0) > 10**12 for key in ("a", "n")] == [True] * 2


def test_what_others_have_put_there(store: Store, server: RedisServer) -> None:
    """A number is a number; what this package did not write is told of."""
    with redis.Redis(port=server.port) as client:
        client.set("{nodecluster:test}:1:store:number", "5")
        client.set("{nodecluster:test}:1:store:broken", "5 apples")
        client.set("{nodecluster:test}:1:store:packed", b"\xc1")
        client.rpush("{nodecluster:test}:1:store:list", "x")
    assert store.incr("number") == 6
    for key in ("broken", "packed", "list"):
        with pytest.raises(StoreCorrupt):
            store.get(key)
    store.set("list", 1)
    assert store["list"] == 1


def test_counts_are_exact(server: RedisServer, store: Store) -> None:
    """Whichever host counts, and however: by one step of the server's, or by a function that is called again."""

    def count(_: int) -> None:
        with opened(server.url) as own:
            for _ in range(50):
                own.incr("n")
                own.update("u", lambda n: ((n or 0) + 1, None))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))
    assert store.get_many(["n", "u"]) == {"n": 200, "u": 200}


def test_rates(store: Store) -> None:
    """What one host has taken, another has not."""
    buckets = [TokenBucket(store, "b", rate=0.001, burst=2) for _ in range(2)]
    assert [bool(one.take()) for one in [*buckets, *buckets]] == [False, False, True, True]
    windows = [SlidingWindow(store, "w", 3, 1000) for _ in range(2)]
    assert [bool(one.take()) for one in [*windows, *windows]] == [False, False, False, True]


def test_time_is_the_servers(server: RedisServer) -> None:
    """Whatever the clocks of the hosts say, and wherever they began to count."""
    url = server.url
    with redis.Redis(port=server.port) as client:
        for ahead in (0.0, 0.05, -3600.0):
            engine = RedisEngine(Server(url), "test", clock=lambda ahead=ahead: time.monotonic() + ahead)
            engine.now()
            before, found, after = (_seconds(client.time()), engine.now(), _seconds(client.time()))
            assert before - engine.clock.within <= found <= after + engine.clock.within
            engine.leave()


def _seconds(told: tuple[int, int]) -> float:
    return told[0] + told[1] / 1_000_000


# --- what becomes of the server --------------------------------------------------------------------


def test_a_restart_is_not_noticed(tmp_path: Any) -> None:
    """Whoever asks while the server starts again waits for that, and no count is lost or made twice."""
    with running(tmp_path) as server, opened(server.url) as store:
        store.incr("n")
        server.kill()
        began = threading.Event()

        def count() -> int:
            began.set()
            return store.incr("n")

        with ThreadPoolExecutor(1) as pool:
            counting = pool.submit(count)
            began.wait()
            server.start()
            assert counting.result() == 1  # a server without a disk has forgotten
        store.set("a", 1)
        server.restart()
        assert store.get("a") is None


def test_a_server_that_is_away(tmp_path: Any) -> None:
    """Is waited for a moment, then all fail at once; when it is back, all is well."""
    with running(tmp_path) as server, opened(server.url) as store:
        store.set("a", 1)
        server.kill()
        with pytest.raises(StoreUnavailable, match="expected to reach the server of NODECLUSTER_BUS"):
            store.get("a")
        asked: Any = store.engine._server  # type: ignore[attr-defined]
        clock, moment = asked._clock, asked._clock()
        asked._clock = lambda: moment  # as long as that is, nobody tries
        for _ in range(30):
            with pytest.raises(StoreUnavailable, match="which nobody could a moment ago"):
                store.incr("n")
        asked._clock = clock
        server.start()
        deadline = time.monotonic() + 20
        while True:
            try:
                assert store.incr("n") == 1
                break
            except StoreUnavailable:
                assert time.monotonic() < deadline


def test_a_server_that_stands_still(tmp_path: Any) -> None:
    """Nobody waits for longer than a second or so, and answers that come late are nobody's."""
    with running(tmp_path) as server, opened(server.url) as store:
        store.set_many({"a": 1, "b": 2})
        with server.paused(), pytest.raises(StoreUnavailable):
            store.get("a")
        deadline = time.monotonic() + 20
        while True:
            try:
                assert store["b"] == 2
                break
            except StoreUnavailable:
                assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("unwilling", "error", "sentence"),
    [
        ("refuses", StoreUnavailable, "(?i)auth"),
        ("read-only", StoreUnavailable, "(?i)read only replica"),
        ("full", StoreFull, "expected room on the server"),
    ],
)
def test_a_server_that_will_not(tmp_path: Any, unwilling: str, error: type[Exception], sentence: str) -> None:
    """Says why, at once."""
    server = RedisServer(tmp_path)
    server.start(*UNWILLING[unwilling])
    try:
        with opened(server.url) as store:
            for call in (
                lambda: store.set("a", 1),
                lambda: store.incr("a"),
                lambda: store.compare_and_set("a", None, 1),
                lambda: store.set_many({"a": 1}),
            ):
                with pytest.raises(error, match=sentence):
                    call()
    finally:
        server.kill()


def test_a_server_at_a_path(tmp_path: Path) -> None:
    """All that reaches a server reaches it there: the store, what is kept in this process, topics, locks."""
    server = RedisServer(tmp_path)
    server.start("--unixsocket", "socket")
    url = f"unix://{tmp_path}/socket"
    heard: list[bytes] = []
    bridges = [Bridge(url, "test", heard.append, logging.getLogger("test")) for _ in range(2)]
    try:
        with opened(url) as store:
            store.cache_locally("a")
            assert store.incr("a") == 1

            def is_near() -> bool:
                hits = store.engine.near.hits  # type: ignore[attr-defined]
                return store.get("a") == 1 and bool(store.engine.near.hits > hits)  # type: ignore[attr-defined]

            assert poll(is_near, 20)
        for bridge in bridges:
            bridge.begin()
        assert poll(lambda: all(bridge.is_listening for bridge in bridges), 20)
        bridges[0].publish(b"news")
        assert poll(lambda: heard == [b"news"], 20)
    finally:
        for bridge in bridges:
            bridge.end()
        server.kill()


def test_a_cluster_of_servers(tmp_path: Any) -> None:
    """All keys are in one slot, so that several can be read and written in one step."""
    server = RedisServer(tmp_path)
    server.start("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    try:
        with redis.Redis(port=server.port) as client:
            client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            assert poll(lambda: client.cluster("INFO")["cluster_state"] == "ok", 20)
        with opened(f"redis+cluster://127.0.0.1:{server.port}") as store:
            store.set_many({"a": 1, "b": 2}, ttl=100)
            assert store.get_many(["a", "b"]) == {"a": 1, "b": 2}
            assert (store.incr("a"), store.incr("n", ttl=5), store.update("a", lambda a: (a + 1, a))) == (2, 1, 2)
            assert (sorted(store.keys()), store.delete("a", "b"), len(store)) == (["a", "b", "n"], 2, 1)
            assert SlidingWindow(store, "w", 1, 1000).take() == 0  # it asks for the time
            store.delete("w")
            store.clear()
            assert len(store) == 0
    finally:
        server.kill()


def test_a_server_that_sentinels_know(tmp_path: Any) -> None:
    """They are asked which one is the master."""
    sentinel = RedisServer(tmp_path)
    with running(tmp_path) as server:
        (tmp_path / "sentinel.conf").write_text(f"sentinel monitor main 127.0.0.1 {server.port} 1\n")
        sentinel.start("--sentinel", name="sentinel.conf")
        try:
            with opened(f"redis+sentinel://127.0.0.1:{sentinel.port}/main") as store:
                assert store.incr("n", 2) == 2
                assert (store["n"], store.get_many(["n"])) == (2, {"n": 2})
            with opened(f"redis+sentinel://127.0.0.1:{sentinel.port}/other") as store, pytest.raises(StoreUnavailable):
                store.get("n")
        finally:
            sentinel.kill()


def test_what_was_not_sent_to_a_master_is_sent_again(tmp_path: Any) -> None:
    """A count that met no connection was not made, so it waits for the master as any other verb does."""
    sentinel = RedisServer(tmp_path)
    with running(tmp_path) as server:
        (tmp_path / "sentinel.conf").write_text(f"sentinel monitor main 127.0.0.1 {server.port} 1\n")
        sentinel.start("--sentinel", name="sentinel.conf")
        pauses: list[float] = []

        def start(seconds: float) -> None:
            if not pauses:
                server.start()
            pauses.append(seconds)

        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/main"
        store = Store(lambda: RedisEngine(Server(url, 60.0, sleep=start), "test"))
        try:
            assert store.incr("n") == 1
            store.leave()
            server.kill()
            assert store.incr("n") == 1  # a server without a disk has forgotten
            assert pauses
        finally:
            store.leave()
            sentinel.kill()


def test_what_a_former_master_has_refused_is_sent_again(tmp_path: Any) -> None:
    """It is a replica now, and does nothing: a count waits for the master."""
    sentinel = RedisServer(tmp_path)
    with running(tmp_path) as server, redis.Redis(port=server.port) as client:
        (tmp_path / "sentinel.conf").write_text(f"sentinel monitor main 127.0.0.1 {server.port} 1\n")
        sentinel.start("--sentinel", name="sentinel.conf")
        pauses: list[float] = []

        def promote(seconds: float) -> None:
            client.replicaof("NO", "ONE")
            pauses.append(seconds)

        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/main"
        store = Store(lambda: RedisEngine(Server(url, 60.0, sleep=promote), "test"))
        try:
            assert store.incr("n") == 1
            client.replicaof("127.0.0.1", 1)
            assert store.incr("n") == 2
            assert pauses
        finally:
            store.leave()
            sentinel.kill()


def test_what_a_server_that_reads_its_disk_has_refused_is_sent_again() -> None:
    """It has done nothing yet, so a count waits, too; what may have been done is not asked again."""
    answers = [redis.BusyLoadingError("Redis is loading the dataset in memory"), 7, redis.ConnectionError("reset"), 8]

    def question(_: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    server = Server("redis://127.0.0.1:1", 60.0, sleep=lambda _: None)
    assert server.ask_once(question) == 7
    with pytest.raises(StoreUnavailable):
        server.ask_once(question)
    assert answers == [8]


def test_what_is_no_server() -> None:
    """Says so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        listener.close()
        with opened(f"redis://127.0.0.1:{port}") as store, pytest.raises(StoreUnavailable, match="expected to reach"):
            store.get("a")
