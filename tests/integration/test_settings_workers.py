"""Settings of the workers: how many, how long, how much each; and the class itself."""

from __future__ import annotations

import os
import re
import selectors
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from raw_http import CHANGE, CLOSE, GET, folder_of, rest_of
from remote_control import CONF, REMOTE, ask, here, opened_by, wait

from pytest_cluster import Cluster, ClusterFactory

ANSWER = b"HTTP/1.1 200 OK"
HELD = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"


def hold(cluster: Cluster, stack: ExitStack, times: int) -> list[socket.socket]:
    """Open connections whose requests stay in their workers, which wait for one byte of body each."""
    clients = [stack.enter_context(cluster.connect(timeout=30)) for _ in range(times)]
    for client in clients:
        client.sendall(HELD)
        assert client.recv(65536).startswith(b"HTTP/1.1 100 Continue")
    return clients


def readable(clients: list[socket.socket], timeout: float = 0) -> list[socket.socket]:
    """Those of the clients that have something to read."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        return [key.fileobj for key, _ in selector.select(timeout)]  # type: ignore[misc]


def has_turned(cluster: Cluster) -> None:
    """Wait until the primary has turned its loop."""
    handled = cluster.log.count("Handling signal: usr1")
    cluster.primary.signal("SIGUSR1")
    wait(lambda: cluster.log.count("Handling signal: usr1") > handled, "the signal", cluster)


@pytest.mark.cluster(workers=2, app="echo:app", settings={"worker_connections": 3})
def test_full_workers_are_passed_over_and_asked_again(cluster: Cluster) -> None:
    """Two workers of three places: the seventh client waits, is not lost, and is served when there is room."""
    with ExitStack() as stack:
        held = hold(cluster, stack, 6)
        late = [stack.enter_context(cluster.connect(timeout=30)) for _ in range(3)]
        for client in late:
            client.sendall(GET % (b"/", CLOSE))
        has_turned(cluster)
        assert readable(held + late) == []
        held[0].sendall(b"x")
        for client in (held[0], *late):  # one place is enough for all of them, one after another
            assert client.recv(65536).startswith(ANSWER)
        for client in held[1:]:
            client.sendall(b"x")
            assert client.recv(65536).startswith(ANSWER)


@pytest.mark.cluster(workers=2, app="echo:app", settings={"worker_connections": 2})
def test_one_full_worker_leaves_the_rest_to_the_other(cluster: Cluster) -> None:
    """Of two workers one is full: whoever comes is served by the other at once."""
    with ExitStack() as stack:
        held = hold(cluster, stack, 4)
        for client in (held[0], held[2]):  # every second one: the same worker's
            client.sendall(b"x")
            assert client.recv(65536).startswith(ANSWER)
        assert {cluster.get("/").status for _ in range(6)} == {200}
        assert readable(held[1::2]) == []


@pytest.mark.cluster(workers=2, app="echo:app", settings={"worker_connections": 1})
def test_worker_forked_while_clients_wait_does_not_keep_their_connections(cluster: Cluster) -> None:
    """Clients wait in the primary, a worker is forked: the copies it inherits must not keep a connection open."""
    with ExitStack() as stack:
        held = hold(cluster, stack, 2)
        late = [stack.enter_context(cluster.connect(timeout=10)) for _ in range(3)]
        for client in late:
            client.sendall(GET % (b"/", CLOSE))
        has_turned(cluster)
        cluster.primary.signal("SIGTTIN")
        for client in late:
            answer = rest_of(client)  # to the end, which is the worker's close
            assert answer.startswith(ANSWER)
        for client in held:
            client.sendall(b"x")
            assert client.recv(65536).startswith(ANSWER)


@pytest.mark.cluster(workers=2, settings={"worker_connections": 2, "keepalive": 30})
def test_idle_kept_alive_connections_fill_a_worker(cluster: Cluster) -> None:
    """A connection that waits for its next request counts, as in gunicorn; its end makes room for the next."""
    with ExitStack() as stack:
        idle = [stack.enter_context(cluster.connect(timeout=30)) for _ in range(4)]
        for client in idle:
            client.sendall(GET % (b"/", b""))
            assert client.recv(65536).startswith(ANSWER)
        late = stack.enter_context(cluster.connect(timeout=30))
        late.sendall(GET % (b"/", CLOSE))
        has_turned(cluster)
        assert readable([late]) == []
        idle[1].close()
        assert late.recv(65536).startswith(ANSWER)


@pytest.mark.cluster(workers=1, settings={"max_requests": 3})
def test_last_request_of_a_worker_closes_its_connection(cluster: Cluster) -> None:
    """A kept-alive client learns by ``Connection: close`` that it has to connect again."""
    answers = b""
    with cluster.connect(timeout=30) as client:
        client.sendall(GET % (b"/", b"") * 3)
        while data := client.recv(65536):
            answers += data
    assert answers.count(b"Connection: keep-alive") == 2
    assert answers.count(b"Connection: close") == 1
    assert cluster.journal.wait_for("exit").exited_after_disconnect is True


@pytest.mark.cluster(**{**REMOTE, "config": CONF + CHANGE}, workers=2)
def test_reload_may_change_the_number(cluster: Cluster) -> None:
    """Two, four, one: as many listen, and ``nworkers`` is the setting's again."""
    for number in (4, 1):
        (folder_of(cluster) / "second").write_text(f"workers = {number}\n")
        seen = cluster.journal.last_seq
        old = [one.id for one in cluster.workers]
        cluster.primary.signal("SIGHUP")
        for worker in old:
            cluster.journal.wait_for("exit", worker=worker, after=seen)
        assert len(cluster.wait_listening(number)) == number
        assert ask(cluster, "primary", "result = server.num_workers") == number


@pytest.mark.slow
def test_reload_into_our_class_serves_and_says_what_is_missing(cluster_factory: ClusterFactory) -> None:
    """From another class to ours there is no cluster until a restart; the worker accepts for itself and says so."""
    server = cluster_factory(workers=2, worker_class="sync", config=CHANGE, settings={"graceful_timeout": 3})
    (folder_of(server) / "second").write_text("worker_class = 'nodecluster_compat.Worker'\n")
    server.primary.signal("SIGHUP")
    wait(lambda: server.log.count("This arbiter is not a cluster arbiter") == 2, "two warnings", server)
    wait(lambda: server.log.count("Worker exiting") == 2, "the end of the old ones", server)
    assert {server.get("/").json()["worker"] for _ in range(4)} == {None}
    assert server.stop() == 0


@pytest.mark.cluster(workers=1, app="pid_echo:app")
def test_extra_file_reloads_and_calls_worker_int(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    """``reload_extra_files``: a change of any file of the user's choice; the hook is told, the successor serves."""
    watched = tmp_path / "templates.html"
    watched.write_text("one")
    server = cluster_factory(
        settings={"reload": True, "reload_engine": "poll", "reload_extra_files": [str(watched)]},
        config="def worker_int(worker): worker.log.info('worker_int was called')\n",
    )
    watched.write_text("two")
    os.utime(watched, (1, 4_000_000_000))
    assert server.journal.wait_for("exit", timeout=20).exited_after_disconnect is True
    server.wait_listening(1)
    assert server.get("/").json()["worker"] == 2
    assert server.log.count("worker_int was called") == 1


@pytest.mark.cluster(**REMOTE, workers=2, settings={"timeout": 2, "graceful_timeout": 1})
def test_busy_but_living_worker_is_not_timed_out(cluster: Cluster) -> None:
    """Requests that only wait do not stop the heartbeat: no worker is aborted for them."""
    answer = here(cluster, "import gevent; gevent.sleep(2.5); result = 7")
    assert answer["result"] == 7
    assert "WORKER TIMEOUT" not in cluster.log


@pytest.mark.cluster(workers=2, app="dirty_math:app")
def test_dirty_workers_answer_ours(cluster_factory: ClusterFactory) -> None:
    """Requests ask the dirty workers; a dirty arbiter that ends comes back, and holds no channel of ours."""
    pytest.importorskip("gunicorn.dirty", reason="gunicorn has dirty workers from 25.0 on")
    settings = {"dirty_apps": ["dirty_math:Adder"], "dirty_workers": 1, "dirty_timeout": 20}
    server = cluster_factory(settings=settings)
    wait(lambda: "Booting dirty worker" in server.log or "Dirty worker" in server.log, "the dirty worker", server)
    answer = wait(lambda: server.get("/").status == 200 and server.get("/").json(), "a sum", server)
    assert answer["sum"] == 42
    arbiter = wait(lambda: re.findall(r"Spawned dirty arbiter \(pid: (\d+)\)", server.log), "its pid", server)
    spawned = r"Spawned dirty worker \(pid: (\d+)\)"
    first = wait(lambda: re.findall(spawned, server.log), "its worker's pid", server)
    for pid in (arbiter[0], first[0]):  # TERM waits for the connections of clients, where Python is 3.12
        os.kill(int(pid), signal.SIGKILL)
    wait(lambda: server.log.count("Initialized dirty app") == 2, "another dirty worker", server)
    successor = int(wait(lambda: re.findall(spawned, server.log)[1:2], "the pid of the other", server)[0])
    shared = set(opened_by(server.primary.pid)) & set(opened_by(successor))
    assert len([one for one in shared if one.startswith("socket:")]) == 1  # the listener, as with stock gunicorn
    assert server.stop() == 0
