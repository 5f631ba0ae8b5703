"""Who gets which connection, and that none is lost: the primary accepts, deals, and takes back what is not taken."""

from __future__ import annotations

import json
import selectors
import socket
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from kinds import every_kind
from remote_control import REMOTE, Gate, freeze, healthy, here, open_fds, wait

from pytest_cluster import Cluster, ClusterFactory, ListeningAddress
from pytest_cluster.server.leaks import wait_cluster_empty

QUEUE_LIMIT = 128
GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


def post(path: str, source: str) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(source)}\r\n\r\n{source}".encode()


def answer(client: socket.socket) -> dict[str, Any]:
    """Read one whole response of ``remote:app``; the connection stays open."""
    data = b""
    while not data.endswith(b"}"):
        piece = client.recv(65536)
        assert piece, f"the connection was closed after {data!r}"
        data += piece
    answered: dict[str, Any] = json.loads(data.partition(b"\r\n\r\n")[2])
    return answered


def send_all(cluster: Cluster, count: int, stack: ExitStack) -> list[socket.socket]:
    """Open ``count`` connections with a request on each, before any answer is read."""
    clients = [stack.enter_context(cluster.connect(timeout=40)) for _ in range(count)]
    for client in clients:
        client.sendall(GET)
    return clients


def first_answers(clients: list[socket.socket], count: int) -> list[socket.socket]:
    """Wait until ``count`` of the clients have an answer; return those, in the order in which they came."""
    ready: list[socket.socket] = []
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        while len(ready) < count:
            events = selector.select(20)
            assert events, f"{len(ready)} of {count} were answered"
            for key, _ in events:
                selector.unregister(key.fileobj)
                ready.append(key.fileobj)  # type: ignore[arg-type]
    return ready


def block(cluster: Cluster, gate: Gate, stack: ExitStack) -> tuple[socket.socket, int]:
    """Send a worker to the gate; return the client that waits for it, and the worker's pid."""
    stack.callback(gate.open)
    client = stack.enter_context(cluster.connect(timeout=40))
    client.sendall(post("/here", gate.source))
    return client, gate.entered(cluster)


@pytest.mark.cluster(**REMOTE, workers=8, settings={"keepalive": 40})
def test_held_connections_are_dealt_evenly(cluster: Cluster) -> None:
    """Of 160 connections that stay open each of 8 workers has exactly 20."""
    with ExitStack() as stack:
        hits: Counter[int] = Counter()
        for _ in range(160):
            client = stack.enter_context(cluster.connect())
            client.sendall(GET)
            hits[answer(client)["worker"]] += 1

    assert hits == dict.fromkeys(range(1, 9), 20)


@pytest.mark.cluster(**REMOTE, workers=3)
def test_blocked_worker_holds_nobody(cluster: Cluster, tmp_path: Path) -> None:
    """Of 12 connections that come while one of three workers is blocked, 12 are answered meanwhile."""
    gate = Gate(tmp_path)
    with ExitStack() as stack:
        blocking, pid = block(cluster, gate, stack)
        clients = send_all(cluster, 12, stack)
        prompt = first_answers(clients, 12)

        assert {answer(one)["pid"] for one in prompt} == {one.pid for one in cluster.workers} - {pid}
        gate.open()
        assert answer(blocking)["pid"] == pid
    assert healthy(cluster)


@pytest.mark.table(quick=["stopped"])
@pytest.mark.cluster(**REMOTE)
@pytest.mark.parametrize("how", ["blocked", "stopped"])
def test_connection_that_was_not_taken_goes_to_another(cluster: Cluster, tmp_path: Path, how: str) -> None:
    """As soon as that is idle, also when the worker that left it lying is killed afterwards (D1, D15)."""
    gate = Gate(tmp_path)
    with ExitStack() as stack:
        if how == "blocked":
            pid = block(cluster, gate, stack)[1]
        else:
            pid = cluster.workers[0].pid
            freeze(cluster, pid)
        clients = send_all(cluster, 4, stack)
        assert pid not in {answer(one)["pid"] for one in clients}
        victim = next(one for one in cluster.workers if one.pid == pid)
        victim.kill()
        exit_ = cluster.journal.wait_for("exit", worker=victim.id)
        assert cluster.journal.wait_for("disconnect", worker=victim.id).seq < exit_.seq
        assert (exit_.code, exit_.signal) == (None, "SIGKILL")
    assert healthy(cluster)


@pytest.mark.cluster(**REMOTE)
def test_queue_is_bounded(cluster: Cluster, tmp_path: Path) -> None:
    """With every worker blocked the primary stops accepting at its bound; later all 400 clients are answered (D3)."""
    gates = [Gate(tmp_path, name) for name in ("first", "second")]
    pid = cluster.primary.pid
    before = open_fds(pid)
    with ExitStack() as stack:
        blocking = [block(cluster, gate, stack)[0] for gate in gates]
        clients = send_all(cluster, 400, stack)
        bound = before + QUEUE_LIMIT
        withdrawn = len(gates)  # at most: what a blocked worker was offered waits in the primary again

        wait(lambda: open_fds(pid) >= bound, f"{bound} descriptors in the primary, not {open_fds(pid)}", cluster)
        for turn in range(1, 4):  # the primary does other things, and still accepts no more
            cluster.primary.signal("SIGUSR1")
            wait(lambda: cluster.log.count("Handling signal: usr1") == turn, "the signal", cluster)  # noqa: B023
            assert bound <= open_fds(pid) <= bound + withdrawn
        for gate in gates:
            gate.open()
        assert len([answer(client) for client in clients + blocking]) == 402
    wait(lambda: open_fds(pid) == before, f"{before} descriptors in the primary again", cluster)


@pytest.mark.table(quick=["gevent"])
@every_kind
@pytest.mark.cluster(**REMOTE, settings={"bind": ["127.0.0.1:0", "unix:app.sock", "[::1]:0"]})
def test_every_listener_deals_its_own_round(cluster: Cluster) -> None:
    """Several sockets, TCP and unix: each has a round of its own."""
    assert [one.address_type for one in cluster.addresses] == [4, -1, 6]

    def hits(at: ListeningAddress) -> Counter[int]:
        served: Counter[int] = Counter()
        for _ in range(6):
            with socket.socket({4: socket.AF_INET, 6: socket.AF_INET6, -1: socket.AF_UNIX}[at.address_type]) as client:  # type: ignore[index]
                client.settimeout(10)
                client.connect(at.address if at.address_type == -1 else (at.address, at.port))  # type: ignore[arg-type]
                client.sendall(GET)
                served[answer(client)["worker"]] += 1
        return served

    for at in cluster.addresses:  # a worker that waits for a processor is left out of a round
        wait(lambda at=at: hits(at) == {1: 3, 2: 3}, "a round in which both have their turns", cluster)  # type: ignore[misc]


@pytest.mark.cluster(**REMOTE, workers=3)
def test_no_worker_survives_its_primary(cluster: Cluster, tmp_path: Path) -> None:
    """SIGKILL of the primary ends idle workers, one in a request, and one whose loop is blocked."""
    gate = Gate(tmp_path)
    with ExitStack() as stack:
        block(cluster, gate, stack)
        waiting = stack.enter_context(cluster.connect())
        waiting.sendall(post("/here", "say(at='rest'); import time; time.sleep(300)"))
        wait(lambda: '"at": "rest"' in cluster.log, "the request", cluster)
        session = cluster.primary.pid

        cluster.primary.kill()
        assert wait_cluster_empty(session, None, 20) == []


def test_socket_file_of_a_killed_primary_is_no_obstacle(cluster_factory: ClusterFactory) -> None:
    """The next server takes the path over."""
    with tempfile.TemporaryDirectory(prefix="nc-") as folder:
        first = cluster_factory(**REMOTE, workers=1, settings={"bind": "unix:app.sock"}, cwd=folder)
        first.primary.kill()
        assert (Path(folder) / "app.sock").is_socket()

        second = cluster_factory(**REMOTE, workers=1, settings={"bind": "unix:app.sock"}, cwd=folder)
        assert here(second, "result = os.getppid()")["result"] == second.primary.pid
        assert second.stop() == 0
        assert not (Path(folder) / "app.sock").exists()
