"""Topics between two clusters through a real Redis server, which is killed, stopped and started again amid it."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_server import RedisServer, needs_redis, running
from remote_control import REMOTE, ask, healthy, said, wait

from nodecluster_compat.sharing.bridge import Bridge
from pytest_cluster import Cluster, ClusterFactory
from pytest_cluster.waiting import poll

pytest.importorskip("redis")
pytestmark = needs_redis
PATIENCE = 20.0

HEAR = """
heard = []
cluster.bus.subscribe('news.*', lambda topic, message: heard.append(message))
"""
COUNTED = "result = [message for message in heard if message != 'before']"
BRIDGE = "from nodecluster_compat.sharing.this_process import sharing; bridge = sharing.remote.bridge; "


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A running server."""
    with running(tmp_path) as server:
        yield server


def leader_of(cluster: Cluster) -> str:
    """Where the bridge of a cluster is, once it hears other hosts."""

    def connected() -> str | None:
        for worker in cluster.workers:
            if ask(cluster, f"worker/{worker.id}", BRIDGE + "result = bridge and bridge.is_listening"):
                return f"worker/{worker.id}"
        return None

    return wait(connected, "a worker with the bridge", cluster)


def crosses(source: Cluster, target: Cluster, where: str, word: str) -> None:
    """Publish until it has arrived: at most once is what is promised, and a server that comes back is found soon."""

    def arrived() -> bool:
        ask(source, "primary", f"cluster.bus.publish('news.x', {word!r})")
        return bool(ask(target, where, f"result = {word!r} in heard"))

    wait(arrived, f"{word} in the other cluster", target)


def test_a_bridge_notices_that_the_server_stands_still(server: RedisServer) -> None:
    """Its connection stays open; as long as it hears nothing this host is not present, and is so again afterwards."""
    bridge = Bridge(server.url, "test", lambda _: None, logging.getLogger("test"))
    bridge.begin()
    try:
        assert poll(lambda: bridge.is_listening, PATIENCE)
        with server.paused():
            assert poll(lambda: not bridge.is_listening, PATIENCE)
        assert poll(lambda: bridge.is_listening, PATIENCE)
    finally:
        bridge.end()


ANSWER = "process.on('request', lambda message, reply: reply(message + cluster.worker.id))"
ALL = "replies = cluster.bus.request(cluster.bus.ALL, 10, timeout=20); "
TOLD = "result = [sorted(map(repr, replies)), sorted(replies.values()), [str(one) for one in replies.missing.values()]]"


def check_requests(first: Cluster, second: Cluster) -> None:
    """All workers of both hosts are asked, and those who subscribe to a topic; each is named."""
    for cluster in (first, second):
        for where in ("worker/1", "worker/2"):
            ask(cluster, where, ANSWER)
    keys: list[str] = []

    def both() -> bool:  # a host is expected from its first second on
        answer = first.request("POST", "/here", body=(ALL + TOLD).encode(), timeout=40).json()["result"]
        keys[:], values, missing = answer
        return (values, missing) == ([11, 11, 12, 12], [])

    wait(both, "the answers of both hosts", first)
    assert keys[:2] == ["1", "2"]
    assert [key.endswith(f"worker={number})") for number, key in enumerate(keys[2:], 1)] == [True, True]
    everywhere = (
        "import os; replies = cluster.everywhere(os.getppid, timeout=20); result = sorted(set(replies.values()))"
    )
    pids = sorted([first.primary.pid, second.primary.pid])
    asked = lambda: second.request("POST", "/here", body=everywhere.encode(), timeout=40).json()["result"]  # noqa: E731
    wait(lambda: asked() == pids, "both hosts", second)
    ask(second, "worker/1", "cluster.bus.subscribe('price', lambda topic, message: message * 2)")
    topic = "result = list(cluster.bus.request('price', 21, timeout=20).values())"
    wait(lambda: first.request("POST", "/here", body=topic.encode()).json()["result"] == [42], "a subscriber", first)


@pytest.mark.timeout(120)
def test_the_worker_that_reaches_other_hosts_stands_still(cluster_factory: ClusterFactory, server: RedisServer) -> None:
    """Whoever asks all hosts hears by its time-out who has answered, and that other hosts have not."""
    cluster = cluster_factory(**REMOTE, workers=2, env={"NODECLUSTER_BUS": server.url})
    bridge = leader_of(cluster)
    other = "worker/1" if bridge == "worker/2" else "worker/2"
    pid = cluster.worker(int(bridge[-1])).pid
    ask(cluster, other, "cluster.bus.subscribe('price', lambda topic, message: message * 2)")
    os.kill(pid, signal.SIGSTOP)
    try:
        for call in (
            "cluster.bus.request('price', 21, ended, timeout=0.5)",
            "cluster.bus.request('nobody', 1, ended, timeout=0.5)",
        ):
            ask(cluster, other, f"{ENDED}{call}")
        wait(lambda: len(ended_in(cluster)) == 2, "both requests to end", cluster)
    finally:
        os.kill(pid, signal.SIGCONT)
    late = {"": "RequestTimedOut"}
    assert sorted(ended_in(cluster), key=str) == [[[42], late], [[], late]]


ENDED = """
def ended(error, replies):
    missing = {far.host: type(why).__name__ for far, why in replies.missing.items()}
    say(ended=[list(replies.values()), missing])
"""


def ended_in(cluster: Cluster) -> list[object]:
    return [one["ended"] for one in said(cluster) if "ended" in one]


@pytest.mark.timeout(120)
def test_two_clusters(cluster_factory: ClusterFactory, server: RedisServer) -> None:
    """Each message once and in order; a death of the bridge, and of the server, are made up for, and nobody raises."""
    options = {**REMOTE, "workers": 2, "env": {"NODECLUSTER_BUS": server.url}}
    first, second = cluster_factory(**options), cluster_factory(**options)
    for cluster in (first, second):
        for where in ("primary", "worker/1", "worker/2"):
            ask(cluster, where, HEAR)
        leader_of(cluster)
    for cluster in (first, second):
        for where in ("primary", "worker/1", "worker/2"):
            crosses(first, cluster, where, "before")
    ask(first, "worker/1", "for number in range(500): cluster.bus.publish('news.n', number)")
    for cluster in (first, second):
        for where in ("primary", "worker/1", "worker/2"):
            wait(lambda where=where, cluster=cluster: len(ask(cluster, where, COUNTED)) == 500, "all", cluster)
            assert ask(cluster, where, COUNTED) == list(range(500))

    check_requests(first, second)
    bridge = leader_of(second)
    os.kill(second.worker(int(bridge[-1])).pid, signal.SIGKILL)
    second.journal.wait_for("exit", worker=int(bridge[-1]))
    second.wait_listening(2)
    other = "worker/1" if bridge == "worker/2" else "worker/2"
    wait(lambda: leader_of(second) != bridge, "another bridge", second)
    crosses(first, second, other, "after a death")

    server.kill()
    ask(first, "worker/1", "result = [cluster.bus.publish('news.x', 'y' * 1000) for _ in range(2000)].count(True)")
    server.start()
    crosses(first, second, other, "after a restart")
    server.signal(signal.SIGSTOP)
    ask(first, "worker/1", "cluster.bus.publish('news.x', 'while it stands still')")
    server.signal(signal.SIGCONT)
    crosses(first, second, other, "after a pause")
    crosses(second, first, "worker/2", "and back")
    server.kill()
    server.start("--requirepass", "secret")
    wait(lambda: "cannot be used" in first.log, "a word on the server that refuses", first)
    assert "Traceback" not in first.log
    assert healthy(first)
    assert healthy(second)
