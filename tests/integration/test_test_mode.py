"""The agents of the plugin exist under the plugin's token, and never in production."""

from __future__ import annotations

import os
import secrets
import signal
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from pytest_cluster import Cluster, ClusterFactory
from pytest_cluster.waiting import poll

TOKEN = "NODECLUSTER_TEST_TOKEN"
CONTROL = "NODECLUSTER_TEST_CONTROL"


def agents(cluster: Cluster) -> list[int]:
    """The processes that hold a connection to the test."""
    return sorted(cluster.server.control.pids())


def loaded(pid: int) -> bool:
    """Whether the agent is in the process: its signal has a handler."""
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
    from pytest_cluster.wire.files import STACK_SIGNAL

    return bool(int(caught.split()[1], 16) >> (STACK_SIGNAL - 1) & 1)


def pids_of(cluster: Cluster) -> list[int]:
    return [cluster.primary.pid, *(worker.pid for worker in cluster.workers)]


def test_with_the_token(cluster: Cluster) -> None:
    assert agents(cluster) == sorted(pids_of(cluster))
    assert all(map(loaded, pids_of(cluster)))
    assert "X-Cluster-Worker" in cluster.get("/").headers


@pytest.mark.table(
    quick=[
        "{'NODECLUSTER_TEST_TOKEN': None}",
        "{'NODECLUSTER_TEST_TOKEN': '1'}",
        "{'NODECLUSTER_TEST_CONTROL': '/nonexistent/control'}",
    ]
)
@pytest.mark.parametrize(
    "environment",
    [
        {TOKEN: None},
        {CONTROL: None},
        {TOKEN: ""},
        {TOKEN: "1"},
        {TOKEN: "x" * 64},
        {CONTROL: "/nonexistent/control"},
        {TOKEN: None, CONTROL: None},
    ],
    ids=str,
)
def test_without(cluster_factory: ClusterFactory, environment: dict[str, str | None]) -> None:
    """No connection, no handler, no header, no counter: nothing of it is there."""
    cluster = cluster_factory(env=environment)
    answer = cluster.get("/")
    assert answer.status == 200
    assert "X-Cluster-Worker" not in answer.headers
    assert agents(cluster) == []
    assert not any(map(loaded, pids_of(cluster)))
    assert [worker.requests_served for worker in cluster.workers] == [0, 0]
    assert "pytest_cluster" not in cluster.log


def test_with_a_token_of_somebody_else(cluster_factory: ClusterFactory) -> None:
    """The test believes nobody without its own token; the server serves on without an agent."""
    cluster = cluster_factory(env={TOKEN: secrets.token_hex(32)})
    assert agents(cluster) == []
    assert cluster.get("/").status == 200


def test_token_is_in_no_log_and_on_no_command_line(cluster: Cluster) -> None:
    token = cluster.server.control.token
    cluster.get("/")
    assert token not in cluster.log
    for pid in pids_of(cluster):
        assert token.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_socket_is_for_the_user_alone_and_a_stranger_is_hung_up_on(cluster: Cluster) -> None:
    path = cluster.server.control.path
    assert os.stat(os.path.dirname(path)).st_mode & 0o077 == 0
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(20)
        stranger.connect(path)
        from pytest_cluster.wire.records import Hello, pack

        stranger.sendall(pack(Hello("0" * 64, None, 1, False)))
        assert stranger.recv(1) == b""
    assert agents(cluster) == sorted(pids_of(cluster))


def test_child_of_a_worker_has_no_agent(cluster: Cluster) -> None:
    """Neither the connection nor the files of its parent."""
    worker = cluster.workers[0]
    child = worker.run(fork_a_child)
    try:
        assert has_stacks(worker.pid)
        assert poll(lambda: not has_stacks(child), 20)  # the parent may be back from fork() first
        assert not loaded(child)
    finally:
        os.kill(child, signal.SIGKILL)
    assert worker.run(os.getpid) == worker.pid


def has_stacks(pid: int) -> bool:
    targets = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # closed meanwhile
            targets.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return any("stacks-" in target for target in targets)


def fork_a_child() -> int:
    child = os.fork()
    if child == 0:
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
            signal.sigwait([signal.SIGUSR2])
        finally:
            os._exit(0)
    return child


def test_leash(cluster_factory: ClusterFactory) -> None:
    """When the test hangs up, the primary ends its server."""
    cluster = cluster_factory()
    cluster.server.control.close()
    assert poll(cluster.server.ended, 20)
    assert cluster.returncode == 0
