"""Durable messages on a real Redis: each is dealt with at least once, whatever becomes of workers and handlers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis_server import UNWILLING, RedisServer, needs_redis, running
from remote_control import REMOTE, ask, wait

from nodecluster_compat.errors import ArgumentError, SettingsError, StoreFull, StoreUnavailable
from nodecluster_compat.sharing.consumer import MOST_ATTEMPTS, Consumer, DurableSubscription
from nodecluster_compat.sharing.durable import Durables
from nodecluster_compat.sharing.server_address import address_of
from nodecluster_compat.sharing.streams import Streams
from nodecluster_compat.sharing.this_process import Sharing
from nodecluster_compat.sharing.wire import decode, encode
from pytest_cluster import ClusterFactory
from pytest_cluster.waiting import poll

redis = pytest.importorskip("redis")
pytestmark = needs_redis
LOG = logging.getLogger("durable")
LONG = 60_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def client(server: RedisServer) -> Iterator[Any]:
    with redis.Redis(port=server.port) as client:
        client.flushall()
        yield client


@pytest.fixture
def streams() -> Streams:
    return Streams("test")


class Worker:
    """A consumer, whose handler notes what it was told."""

    def __init__(
        self,
        server: RedisServer,
        name: str = "w",
        group: str = "g",
        pattern: str = "*",
        handler: Callable[[str, Any], Any] | None = None,
        lease: float = LONG / 1000,
    ) -> None:
        self.told: list[tuple[str, Any]] = []
        self.lost: list[str] = []
        self._handler = handler
        self.subscription = DurableSubscription(pattern, self._handle, group, lambda _: None)
        address = address_of(server.url)
        self.consumer = Consumer(
            self.subscription, Streams("test"), address, name, spawn, LOG, self.lost.append, lease=lease
        )

    def _handle(self, topic: str, message: Any) -> None:
        self.told.append((topic, message))
        if self._handler is not None:
            self._handler(topic, message)


def spawn(call: Callable[[], None], then: Callable[[], None]) -> None:
    def run() -> None:
        try:
            call()
        finally:
            then()

    threading.Thread(target=run, daemon=True).start()


@contextmanager
def at_work(*workers: Worker) -> Iterator[None]:
    for one in workers:
        one.consumer.begin()
    try:
        yield
    finally:
        for one in workers:
            one.consumer.end()
        for one in workers:
            one.consumer.end(20)


def pending(client: Any, streams: Streams, group: str = "g") -> int:
    return int(client.xpending(streams.key, group)["pending"])


def age(client: Any, streams: Streams, consumer: str, number: str) -> None:
    """As if nothing had been heard of a consumer for a long time."""
    client.xclaim(streams.key, "g", consumer, 0, [number], idle=2 * LONG, justid=True)


def test_each_group_has_each_message_and_one_worker_of_it(server: RedisServer, client: Any, streams: Streams) -> None:
    """What was published before the first has subscribed is kept for it."""
    for number in range(20):
        assert streams.publish(client, "orders.new" if number % 2 else "noise", encode(number)) is None
    two = [Worker(server, f"w{number}", pattern="orders.*") for number in range(2)]
    with at_work(*two):
        assert poll(lambda: sum(len(one.told) for one in two) == 10, 20)
        other = Worker(server, group="other")
        with at_work(other):
            assert poll(lambda: len(client.xinfo_groups(streams.key)) == 2, 20)
            streams.publish(client, "orders.new", encode("last"))
            assert poll(lambda: sum(len(one.told) for one in two) == 11 and len(other.told) == 1, 20)
    told = sorted((message for one in two for _, message in one.told), key=str)
    assert told == sorted([*range(1, 20, 2), "last"], key=str)
    assert other.told == [("orders.new", "last")]
    assert (pending(client, streams), pending(client, streams, "other")) == (0, 0)
    assert sum(one.subscription.delivered for one in two) == 11


def test_a_message_of_a_worker_that_is_gone_is_another_ones(server: RedisServer, client: Any, streams: Streams) -> None:
    """It is counted as a further attempt."""
    streams.join(client, "g")
    streams.publish(client, "t", encode("x"))
    entry = streams.read(client, "g", "dead", 1000)
    assert entry is not None
    assert (entry.topic, decode(entry.body), entry.attempts) == ("t", "x", 1)
    assert streams.claim(client, "g", "w", LONG) is None  # it may be at it still
    age(client, streams, "dead", entry.id)
    assert streams.renew(client, "g", "dead", entry)
    assert streams.claim(client, "g", "w", LONG) is None  # it says that it is
    age(client, streams, "dead", entry.id)
    worker = Worker(server)
    with at_work(worker):
        assert poll(lambda: worker.told == [("t", "x")] and pending(client, streams) == 0, 20)
    assert not streams.renew(client, "g", "dead", entry)


def test_a_message_that_comes_while_its_worker_leaves_is_anothers_at_once(
    server: RedisServer, client: Any, streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes none any more; that one counts as not delivered, and nobody waits for it to be given up."""
    leaving, other = Worker(server, "w1"), Worker(server, "w2")
    read = Streams.read

    def read_and_leave(of: Streams, *args: Any) -> Any:
        entry = read(of, *args)
        leaving.consumer.end()
        return entry

    streams.publish(client, "t", encode("late"))
    monkeypatch.setattr(Streams, "read", read_and_leave)
    with at_work(leaving):
        assert poll(lambda: not leaving.consumer._thread.is_alive(), 20)
    monkeypatch.undo()
    assert (leaving.told, pending(client, streams)) == ([], 1)
    [left] = client.xpending_range(streams.key, "g", "-", "+", 1)
    assert left["times_delivered"] == 0
    with at_work(other):
        assert poll(lambda: other.told == [("t", "late")], 20)
        assert poll(lambda: pending(client, streams) == 0, 20)


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_message_that_another_has_taken_over_is_not_taken_back(server: RedisServer, protocol: int) -> None:
    """By who was silent and goes on; in whichever version of the protocol."""
    streams = Streams("test")
    with redis.Redis(port=server.port, protocol=protocol) as client:
        client.flushall()
        streams.join(client, "g")
        assert streams.read(client, "g", "w", 1) is None
        streams.publish(client, "t", encode("x"))
        entry = streams.read(client, "g", "silent", 1000)
        assert entry is not None
        age(client, streams, "silent", entry.id)
        taken = streams.claim(client, "g", "w", LONG)
        assert taken is not None
        assert (taken.id, taken.body, taken.attempts) == (entry.id, entry.body, 2)
        assert not streams.renew(client, "g", "silent", entry)
        assert streams.renew(client, "g", "w", taken)


def test_a_handler_that_fails_once_is_called_again(server: RedisServer, client: Any, streams: Streams) -> None:
    """Other messages do not wait for that."""
    streams.publish(client, "t", encode("bad"))
    streams.publish(client, "t", encode("good"))

    def handle(_: str, message: Any) -> None:
        if message == "bad" and len(worker.told) == 1:
            raise ValueError("once")

    worker = Worker(server, handler=handle, lease=0.2)
    with at_work(worker):
        assert poll(lambda: len(worker.told) == 3 and pending(client, streams) == 0, 20)
    assert [message for _, message in worker.told] == ["bad", "good", "bad"]
    assert (worker.subscription.delivered, worker.subscription.failed, worker.lost) == (2, 1, [])


def test_a_message_that_always_fails_is_put_aside(
    server: RedisServer, client: Any, streams: Streams, caplog: pytest.LogCaptureFixture
) -> None:
    """After so many attempts, with the reason; the log says so each time."""
    streams.publish(client, "t", encode("bad"))

    def handle(_: str, message: Any) -> None:
        raise ValueError("always")

    worker = Worker(server, handler=handle, lease=0.05)
    with at_work(worker):
        assert poll(lambda: worker.subscription.buried == 1, 20)
    assert len(worker.told) == MOST_ATTEMPTS
    [(_, dead)] = client.xrange(streams.dead_key)
    assert (dead[b"name"], dead[b"topic"], decode(dead[b"body"])) == (b"g", b"t", "bad")
    assert b"ValueError('always')" in dead[b"reason"]
    assert (pending(client, streams), worker.lost) == (0, ["given_up"])
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [f"attempt {number} of 5" in one.getMessage() for number, one in enumerate(warnings, 1)] == [True] * 4
    assert "gives up message" in caplog.records[-1].getMessage()


def test_what_is_no_message_is_put_aside_at_once(server: RedisServer, client: Any, streams: Streams) -> None:
    """Whoever has put it there."""
    client.xadd(streams.key, {"what": "ever"})
    streams.publish(client, "t", b"\xc1")
    streams.publish(client, "t", encode("good"))
    worker = Worker(server, lease=0.05)
    with at_work(worker):
        assert poll(lambda: worker.told == [("t", "good")] and worker.subscription.buried == 2, 20)


def test_a_worker_that_kills_each_worker_ends_too(server: RedisServer, client: Any, streams: Streams) -> None:
    """A message over which workers die is delivered so often and no more."""
    streams.join(client, "g")
    streams.publish(client, "t", encode("deadly"))
    entry = streams.read(client, "g", "dead", 1000)
    assert entry is not None
    client.xclaim(streams.key, "g", "dead", 0, [entry.id], idle=2 * LONG, retrycount=MOST_ATTEMPTS)
    age(client, streams, "dead", entry.id)
    worker = Worker(server)
    with at_work(worker):
        assert poll(lambda: client.xlen(streams.dead_key) == 1, 20)
    assert worker.told == []


def test_a_stream_that_is_full_takes_no_more(client: Any) -> None:
    """Nothing that was taken is dropped, whoever subscribes or nobody; what all have dealt with makes room."""
    streams = Streams("test", most=3)
    kept = [streams.publish(client, "t", encode(number)) for number in range(5)]
    assert kept[:3] == [None] * 3
    assert [str(one) for one in kept[3:]] == ["3 of 198 bytes are kept, and nobody has subscribed to any"] * 2
    assert [decode(entry[b"body"]) for _, entry in client.xrange(streams.key)] == [0, 1, 2]
    streams.join(client, "g")
    entries = [streams.read(client, "g", "w", 1000) for _ in range(2)]
    full = streams.publish(client, "t", b"\x01")
    assert full is not None
    assert str(full).endswith("and the oldest waits for 'g'")
    streams.join(client, "late")
    for entry in entries:
        assert entry is not None
        streams.acknowledge(client, "g", entry)
    results = [streams.publish(client, "t", b"\x01") for _ in range(3)]
    assert [one is None for one in results] == [True, True, False]


@pytest.mark.parametrize("size", [64, 20_000])
def test_a_stream_is_bounded_by_bytes(client: Any, size: int) -> None:
    """As many as there is room for, and as many again when those have been dealt with; over a server that forgets."""
    streams = Streams("test", most_bytes=10 * (size + 65))
    for _ in range(2):
        published = [streams.publish(client, "t", bytes(size)) for _ in range(12)]
        assert [one is None for one in published] == [True] * 10 + [False] * 2
        assert client.memory_usage(streams.key) < 2 * 10 * (size + 65) + 8192
        streams.join(client, "g")
        for _ in range(10):
            entry = streams.read(client, "g", "w", 1000)
            assert entry is not None
            streams.acknowledge(client, "g", entry)
    streams.beat(client, "g")
    assert client.xlen(streams.key) == 0
    for _ in range(10):
        assert streams.publish(client, "t", bytes(size)) is None
    client.delete(streams.key)
    assert streams.publish(client, "t", bytes(size)) is None


def test_dead_messages_are_bounded_by_bytes(client: Any) -> None:
    """The oldest are forgotten; the last one is kept however large it is."""
    streams = Streams("test", most_bytes=1000)
    streams.join(client, "g")
    for number, size in enumerate([10, 300, 300, 300, 2000, 300]):
        assert Streams("test").publish(client, "t", bytes([number]) * size) is None
        entry = streams.read(client, "g", "w", 1000)
        assert entry is not None
        streams.bury(client, "g", entry, "bad")
        if number == 4:
            assert client.xlen(streams.dead_key) == 1
    assert [entry[b"body"][:1] for _, entry in client.xrange(streams.dead_key)] == [b"\5"]
    assert pending(client, streams) == 0


def test_who_is_not_heard_of_for_a_week_is_forgotten(client: Any, streams: Streams) -> None:
    """A name that a program no longer uses holds up nobody."""
    streams.join(client, "old")
    streams.join(client, "g")
    streams.publish(client, "t", b"\x01")
    entry = streams.read(client, "g", "w", 1000)
    assert entry is not None
    streams.acknowledge(client, "g", entry)
    streams.beat(client, "g")
    assert client.xlen(streams.key) == 1
    client.hset(f"{streams.key}:seen", "old", 1)
    streams.beat(client, "g")
    assert [group["name"] for group in client.xinfo_groups(streams.key)] == [b"g"]
    assert client.xlen(streams.key) == 0


def test_a_server_that_is_started_again(tmp_path: Any) -> None:
    """Consumers go on by themselves."""
    with running(tmp_path) as server:
        worker = Worker(server)
        with at_work(worker), redis.Redis(port=server.port) as client:
            streams = Streams("test")
            assert poll(lambda: client.exists(streams.key), 20)
            server.restart()
            streams.publish(redis.Redis(port=server.port), "t", encode("after"))
            assert poll(lambda: worker.told == [("t", "after")], 20)


# --- the bus ---------------------------------------------------------------------------------------


def test_publishing(server: RedisServer, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a server it is refused with a sentence; where one is full, too."""
    own = Sharing()
    monkeypatch.delenv("NODECLUSTER_BUS", raising=False)
    with pytest.raises(StoreUnavailable, match="expected NODECLUSTER_BUS to name a server"):
        own.bus.publish("t", 1, durable=True)
    monkeypatch.setenv("NODECLUSTER_BUS", server.url)
    monkeypatch.setenv("NODECLUSTER_NAME", "test")
    assert own.bus.publish("t", {"a": 1}, durable=True)
    assert client.xlen(Streams("test").key) == 1
    monkeypatch.setenv("NODECLUSTER_DURABLE_BYTES", str(2 * 1024 * 1024))
    for _ in range(2):
        assert own.bus.publish("t", "x" * 700_000, durable=True)
    with pytest.raises(StoreFull, match="room for a durable message: 3 of 1400209 bytes are kept, and nobody has"):
        own.bus.publish("t", "x" * 700_000, durable=True)
    for wrong in ("1", "much"):
        monkeypatch.setenv("NODECLUSTER_DURABLE_BYTES", wrong)
        with pytest.raises(SettingsError, match="NODECLUSTER_DURABLE_BYTES"):
            own.bus.publish("t", 1, durable=True)


@pytest.mark.parametrize(
    ("unwilling", "error"), [("refuses", StoreUnavailable), ("read-only", StoreUnavailable), ("full", StoreFull)]
)
def test_a_server_that_will_not(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, unwilling: str, error: type[Exception]
) -> None:
    """Keeps nothing, and whoever publishes hears that at once; so does whoever publishes when it has vanished."""
    own, server = Sharing(), RedisServer(tmp_path)
    monkeypatch.setenv("NODECLUSTER_BUS", server.url)
    server.start(*UNWILLING[unwilling])
    try:
        with pytest.raises(error):
            own.bus.publish("t", 1, durable=True)
    finally:
        server.kill()
    with pytest.raises(StoreUnavailable, match="expected to reach"):
        own.bus.publish("t", 1, durable=True)


def test_one_name_is_one_handler() -> None:
    """Or each would take the other's messages; the same function again replaces itself."""
    durables = Durables(Sharing(), lambda: "host")
    first = durables.subscribe("a.*", test_publishing, "name")
    assert durables.subscribe("a.*", test_publishing, "name") is not first
    for pattern, handler in (("b.*", test_publishing), ("a.*", test_one_name_is_one_handler)):
        with pytest.raises(ArgumentError, match="expected another name than 'name'"):
            durables.subscribe(pattern, handler, "name")


SUBSCRIBE = """
import os, time
begun = []

def handle(topic, message):
    begun.append(message)
    if message == 'deadly' and cluster.worker.id == 1:
        time.sleep(600)

cluster.bus.subscribe('orders.*', handle, durable='billing')
"""

REFUSED = """
try:
    cluster.bus.publish('orders.new', 1, durable=True)
except Exception as error:
    result = type(error).__name__
"""


def test_workers(cluster_factory: ClusterFactory, server: RedisServer, client: Any) -> None:
    """A worker is killed amid a message, and another one deals with it; the primary waits for no server."""
    env = {"NODECLUSTER_BUS": server.url, "NODECLUSTER_NAME": "workers"}
    cluster = cluster_factory(**REMOTE, workers=2, env=env)
    key = Streams("workers").key
    ask(cluster, "worker/1", SUBSCRIBE)
    ask(cluster, "worker/1", "result = cluster.bus.publish('orders.new', 'deadly', durable=True)")
    wait(lambda: ask(cluster, "worker/1", "result = begun") == ["deadly"], "the message", cluster)
    assert ask(cluster, "primary", REFUSED) == "WouldBlock"
    ask(cluster, "worker/2", SUBSCRIBE)
    cluster.worker(1).kill()
    cluster.journal.wait_for("exit", worker=1)
    [entry] = client.xpending_range(key, "billing", "-", "+", 1)
    client.xclaim(key, "billing", entry["consumer"], 0, [entry["message_id"]], idle=LONG, justid=True)
    wait(lambda: ask(cluster, "worker/2", "result = begun") == ["deadly"], "the other worker", cluster)
    wait(lambda: client.xpending(key, "billing")["pending"] == 0, "the acknowledgement", cluster)
