"""Faults of messages, of the machine and of the network, on real clusters; without one: ``test_fault_places``."""

from __future__ import annotations

import errno
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

import gunicorn
import pytest

from pytest_cluster import Client, Cluster, ClusterError, ClusterFactory, FaultError, Faults, OptionError

pytestmark = pytest.mark.cluster(app="shop:app", fresh=True)


NOTED: list[int] = []


def take_note() -> None:
    """In a worker: keep the messages that come."""
    from nodecluster_compat import process

    process.on("message", lambda message, _: NOTED.append(message["n"]))


def came() -> list[int]:
    return list(NOTED)


def say(*numbers: int) -> None:
    """In a worker: send messages."""
    from nodecluster_compat import process

    for number in numbers:
        process.send({"n": number})


def heard(cluster: Cluster) -> list[int]:
    """What the primary has received."""
    entries = [entry for entry in cluster.journal if entry.event == "message" and not entry.sent]
    return [entry.message["n"] for entry in entries]  # type: ignore[index, call-overload]


APPS = str(Path(__file__).parents[1] / "apps")
KINDS = [
    pytest.param({}, id="gevent"),
    pytest.param({"worker_class": "nodecluster_compat.ThreadWorker"}, id="threads"),
    pytest.param(
        {"worker_class": "asgi_kind.Worker", "env": {"PYTHONPATH": APPS}},
        id="asgi",
        marks=pytest.mark.skipif(gunicorn.version_info < (27, 0, 1), reason="ASGIWorker needs gunicorn 27.0.1"),
    ),
]


@pytest.mark.table(quick=["gevent"])
@pytest.mark.parametrize("kind", KINDS)
def test_messages(cluster_factory: ClusterFactory, kind: dict[str, Any]) -> None:
    """Lost, out of order, held, late, in both directions; every other worker has its own."""
    cluster = cluster_factory(**kind)
    first, second = cluster.workers
    faults = cluster.faults
    for worker in (first, second):
        worker.run(take_note)

    faults.drop_messages(1, direction="receive", worker=first)
    cluster.broadcast({"n": 1})
    cluster.broadcast({"n": 2})
    cluster.wait_for(lambda _: first.run(came) == [2] and second.run(came) == [1, 2], reason="what was not lost")
    faults.undo()

    faults.reorder_messages(3, direction="send", worker=first)
    first.run(say, 1, 2, 3)
    cluster.wait_for(lambda _: len(heard(cluster)) == 3, reason="all three")
    assert heard(cluster) != [1, 2, 3]
    faults.undo()

    with faults.hold("receive", worker=second) as gate:
        second.send({"n": 3})
        gate.wait_reached()
        assert second.run(came) == [1, 2]
        gate.release()
        cluster.wait_for(lambda _: second.run(came) == [1, 2, 3], reason="what was held")

    faults.delay_messages(0.05, worker=first)
    before = time.monotonic()
    first.run(say, 4)
    cluster.wait_for(lambda _: 4 in heard(cluster), reason="what was late")
    assert time.monotonic() - before >= 0.05
    told = next(entry.detail for entry in cluster.journal if entry.injected)
    assert told == "loss of 1 message (receive) in worker 1"


def test_cut_of_a_channel(cluster: Cluster, cluster_faults: Faults) -> None:
    """For the worker its primary is gone: it ends, and another takes its place."""
    first = cluster.workers[0]
    with cluster.expect("exit", worker=first):
        cluster_faults.cut_channel(first)
    assert first.describe_end() == "exit code 0 (injected: cut of the channel of worker 1)"
    cluster.wait_listening()
    with pytest.raises(FaultError, match=r"expected a worker \(cluster\.worker\(1\)\), whose channel"):
        cluster_faults.cut_channel(cluster.primary)  # type: ignore[arg-type]


def allocate(size: int) -> int:
    return len(b"x" * size)


def write(path: str, size: int) -> int:
    with open(path, "wb") as file:
        return file.write(b"x" * size)


def fill(path: str) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE a (b)")
    database.close()


@pytest.mark.cluster(workers=1)
def test_memory_and_disk(cluster: Cluster, cluster_faults: Faults, tmp_path: Path) -> None:
    """Each is what the worker sees in its block, and over behind it."""
    (worker,) = cluster.workers
    size = 1 << 28
    path = str(tmp_path / "file")
    with cluster_faults.memory_limit(worker, 1 << 24):
        with pytest.raises(MemoryError):
            worker.run(allocate, size)
        assert worker.run(allocate, 1000) == 1000
    assert worker.run(allocate, size) == size
    with cluster_faults.file_limit(worker, 10):
        assert worker.run(write, path, 10) == 10
        with pytest.raises(OSError, match="File too large"):
            worker.run(write, path, 11)
        with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
            worker.run(fill, str(tmp_path / "database"))
    with cluster_faults.full_disk(tmp_path, worker=worker):
        with pytest.raises(OSError, match=r"No space left on device \(injected by the test\)") as failed:
            worker.run(write, path, 1)
        assert failed.value.errno == errno.ENOSPC
    cluster_faults.slow_disk(0.05, tmp_path)
    before = time.monotonic()
    assert worker.run(write, path, 11) == 11
    assert time.monotonic() - before >= 0.1
    with pytest.raises(OptionError, match="expected the path of a folder that exists, got '/nowhere'"):
        cluster_faults.slow_disk(1, "/nowhere")
    assert cluster.get("/").ok


@pytest.mark.cluster(workers=1)
def test_clock(cluster: Cluster, cluster_faults: Faults) -> None:
    """It jumps in the worker, before and after; workers that come later have it, too."""
    pytest.importorskip("time_machine")
    (worker,) = cluster.workers
    for seconds in (86400.0, -86400.0):
        with cluster_faults.clock_jump(seconds):
            assert abs(worker.run(time.time) - time.time() - seconds) < 60
            assert abs(worker.run(time.monotonic) - time.monotonic()) < 60
    assert abs(worker.run(time.time) - time.time()) < 60
    with cluster_faults.clock_jump(3600):
        later = cluster.restart_worker(worker)
        assert abs(later.run(time.time) - time.time() - 3600) < 60
        assert cluster.get("/").ok


def test_group_of_memory(cluster: Cluster, cluster_faults: Faults) -> None:
    """The kernel ends who uses more; where no group can be made, a sentence says so."""
    first = cluster.workers[0]
    try:
        with (
            cluster_faults.memory_group(first, 64 << 20),
            cluster.expect("exit", worker=first, timeout=20),
            pytest.raises(ClusterError),  # it ends before it answers
        ):
            first.run(allocate, 1 << 29)
    except FaultError as problem:
        pytest.skip(str(problem))
    assert first.describe_end() == f"SIGKILL (injected: memory_group({64 << 20}) of worker 1)"


def test_network_without_a_port(
    cluster: Cluster, cluster_faults: Faults, cluster_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is noted, and everybody goes on by the way there was."""

    def create_server(*_: object) -> socket.socket:
        raise OSError(errno.EADDRINUSE, "Address already in use")

    with monkeypatch.context() as patched:
        patched.setattr(socket, "create_server", create_server)
        with pytest.raises(FaultError, match=r"network: there is no place for it to listen: .*Address already in use"):
            cluster_faults.network().__enter__()
    assert not [entry for entry in cluster.journal if entry.event == "fault"]
    assert cluster_client.get("/").ok
    with cluster_faults.network() as network:
        assert cluster_client.get("/").ok
    assert network.connections == 1


def test_network(cluster: Cluster, cluster_faults: Faults, cluster_client: Client) -> None:
    """The cluster's clients go by it without a change, and directly again behind it."""
    with cluster_faults.network(delay=0.02, seed=1) as network:
        before = time.monotonic()
        assert cluster_client.get("/").ok
        assert time.monotonic() - before >= 0.04
        network.change(delay=0, cut_after=20)
        with pytest.raises(OSError):
            cluster_client.get("/")
        network.change(cut_after=None, refuse=1)
        with pytest.raises(OSError), cluster.connect() as connection:
            connection.recv(1)
        assert network.connections == 3
        with pytest.raises(FaultError, match="the cluster goes by a network already"), cluster_faults.network():
            pass
        with pytest.raises(OptionError, match=r"network\(loss\): expected a number from 0 to 1, got 2"):
            network.change(loss=2)
        with pytest.raises(OptionError, match="unknown keyword 'latency'; valid are delay, jitter"):
            network.change(latency=2)  # type: ignore[call-arg]
    assert cluster_client.get("/").ok
    assert [entry.detail for entry in cluster.journal if entry.injected] == [
        "network: delay 0.02 s",
        "network: cut after 20 bytes",
        "network: refuse 1",
        "end of network: delay 0.02 s",
    ]


def test_what_cannot_be(cluster_factory: ClusterFactory) -> None:
    """Before the first boot there is no way to it; wrong values are refused by a sentence."""
    prepared = cluster_factory(start=False)
    with pytest.raises(FaultError, match="the cluster has not been started yet"), prepared.faults.network():
        pass
    for wrong, sentence in (
        (lambda: prepared.faults.drop_messages(0), r"drop_messages\(times\): expected a whole number"),
        (lambda: prepared.faults.drop_messages(share=2), r"drop_messages\(share\): expected a number from 0 to 1"),
        (lambda: prepared.faults.delay_messages(-1), r"delay_messages\(seconds\): expected a number of seconds"),
        (lambda: prepared.faults.reorder_messages(1), r"reorder_messages\(window\): expected a whole number, 2 to"),
        (
            lambda: prepared.faults.delay_messages(1, direction="in"),
            "direction: expected one of 'both', 'receive', 'send'",
        ),
        (lambda: prepared.faults.clock_jump("x").__enter__(), r"clock_jump\(seconds\): expected a number"),
        (lambda: prepared.faults.full_disk(3).__enter__(), "expected the path of a folder"),
        (lambda: prepared.faults.hold(3).__enter__(), "expected the name of a step, got 3"),
    ):
        with pytest.raises(OptionError, match=sentence):
            wrong()
