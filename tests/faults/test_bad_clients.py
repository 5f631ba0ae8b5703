"""Clients that are slow, half gone, gone or mad, and a machine without descriptors: the cluster goes on serving."""

from __future__ import annotations

import os
import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from kinds import every_kind
from raw_http import rest_of
from remote_control import REMOTE, Gate, ask, cpu_ticks, healthy, here, open_fds, said, wait, wait_ended, wait_said
from routed_client import RoutedClient, head

from pytest_cluster import Cluster

ESTABLISHED = "01"  # of /proc/net/tcp
GET = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
GARBAGE = [os.urandom(4096), b"\0" * 4096, b"\r\n" * 2048, b"\x16\x03\x01\x02\x00\x01\x00", b"GET " + b"a" * 65536]


def reset(client: socket.socket) -> None:
    """Close with a reset instead of an orderly end."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@contextmanager
def descriptor_limit(pid: int, number: int) -> Iterator[None]:
    """Let a process have no descriptor from ``number`` on."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (number, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def fill_descriptors(pid: int) -> int:
    """Return a limit under which a process can have no more descriptors than it has."""
    taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def has_clients(pid: int) -> bool:
    """Whether a process has a descriptor of a connection of TCP that is open on both sides."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()]
    open_ones = {f"socket:[{inode}]" for _, _, _, state, _, _, _, _, _, inode, *_ in rows[1:] if state == ESTABLISHED}
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # closed since
            if os.readlink(f"/proc/{pid}/fd/{name}") in open_ones:
                return True
    return False


@pytest.mark.cluster(**REMOTE)
def test_slow_and_half_open_clients(cluster: Cluster) -> None:
    """A client that sends byte after byte, and one that only listens, are served and delay nobody."""
    with cluster.connect() as slow, cluster.connect() as half:
        half.sendall(GET)
        half.shutdown(socket.SHUT_WR)
        for byte in GET:
            slow.sendall(bytes([byte]))
            assert cluster.get("/").status == 200
        assert rest_of(half).startswith(b"HTTP/1.1 200")
        assert rest_of(slow).startswith(b"HTTP/1.1 200")
    with cluster.connect() as silent:
        silent.shutdown(socket.SHUT_WR)
        assert rest_of(silent) == b""
    assert healthy(cluster)


@pytest.mark.cluster(**REMOTE)
def test_clients_that_reset(cluster: Cluster, tmp_path: Path) -> None:
    """Resets before, while and after a connection waits in the primary leave nothing behind, there or in a worker."""
    assert healthy(cluster)
    pids = [cluster.primary.pid, *(one.pid for one in cluster.workers)]
    before = [open_fds(pid) for pid in pids]
    gates = [Gate(tmp_path, name) for name in ("first", "second")]
    with ExitStack() as stack:
        for gate in gates:
            stack.callback(gate.open)
            blocked = stack.enter_context(cluster.connect())
            source = gate.source.encode()
            blocked.sendall(b"POST /here HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(source), source))
            gate.entered(cluster)
            reset(blocked)
        for sent in (b"", GET[:9], GET) * 20:
            client = cluster.connect()
            client.sendall(sent)
            reset(client)
        for gate in gates:
            gate.open()
        for sent in (b"", GET[:9], GET, GET * 3) * 5:
            client = cluster.connect()
            client.sendall(sent)
            reset(client)

    assert healthy(cluster)
    most = dict(zip(pids, before, strict=True))
    wait(lambda: all(open_fds(pid) <= most[pid] for pid in pids), f"at most {most} descriptors", cluster)
    assert [one.pid for one in cluster.workers] == pids[1:]


@pytest.mark.cluster(**REMOTE)
def test_clients_that_send_garbage(cluster: Cluster) -> None:
    """What is no HTTP gets an error or an end, and the workers live."""
    pids = [one.pid for one in cluster.workers]
    for garbage in GARBAGE:
        for _ in pids:
            with cluster.connect() as client:
                try:
                    client.sendall(garbage)
                    client.shutdown(socket.SHUT_WR)
                    answered = rest_of(client)
                except ConnectionError:
                    continue  # ended before all was sent
                assert answered == b"" or answered.startswith(b"HTTP/1.1 4"), (garbage[:20], answered)
    assert healthy(cluster)
    assert [one.pid for one in cluster.workers] == pids


@pytest.mark.cluster(**REMOTE, settings={"keepalive": 60})
def test_primary_without_descriptors(cluster: Cluster) -> None:
    """``EMFILE`` while accepting: one line in the log, no spin, and those who waited are served afterwards."""
    pid = cluster.primary.pid
    before = open_fds(pid)
    listen = "cluster.call_later(1.0, lambda: say(later=True))"
    with ExitStack() as stack:
        ask(cluster, "primary", listen.replace("1.0", "0.0"))
        wait_said(cluster, later=True)
        held = stack.enter_context(cluster.connect())
        held.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert held.recv(65536).startswith(b"HTTP/1.1 200")
        wait(lambda: open_fds(pid) == before, "no connection in the primary", cluster)
        with descriptor_limit(pid, fill_descriptors(pid)):
            clients = [stack.enter_context(cluster.connect(timeout=30)) for _ in range(20)]
            for client in clients:
                client.sendall(GET)
            wait(lambda: "Cannot accept on" in cluster.log, "a line in the log", cluster)
            ticks = cpu_ticks(pid)
            body = listen.encode()
            held.sendall(b"POST /primary HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            wait_said(cluster, 2, later=True)  # a timer of the primary's: a second in which a spin would show
            used = cpu_ticks(pid) - ticks
        for client in clients:
            assert rest_of(client).startswith(b"HTTP/1.1 200")

    assert used < 50, f"{used} hundredths of a second in one second without descriptors"
    wait(lambda: "Accepting on" in cluster.log, "a line in the log", cluster)
    assert cluster.log.count("Cannot accept on") == cluster.log.count("Accepting on") == 1
    assert "Traceback" not in cluster.log
    assert healthy(cluster)


@pytest.mark.cluster(**REMOTE)
def test_primary_with_one_descriptor_left(cluster: Cluster) -> None:
    """At the edge, where one connection can be accepted and the next cannot, all are served and the log stays short."""
    pid = cluster.primary.pid
    with ExitStack() as stack, descriptor_limit(pid, fill_descriptors(pid) + 1):
        clients = [stack.enter_context(cluster.connect(timeout=40)) for _ in range(40)]
        for client in clients:
            client.sendall(GET)
        for client in clients:
            assert rest_of(client).startswith(b"HTTP/1.1 200")

    assert cluster.log.count("Cannot accept on") < 5
    assert healthy(cluster)


@pytest.mark.cluster(**REMOTE)
def test_primary_without_descriptors_for_a_worker(cluster: Cluster) -> None:
    """A worker that cannot be started for want of descriptors is started when there are some again."""
    pid = cluster.primary.pid
    with descriptor_limit(pid, 8):
        cluster.workers[0].kill()
        wait_ended(cluster)
        wait(lambda: "Could not start a worker" in cluster.log, "a line in the log", cluster)
    cluster.wait_listening()
    assert healthy(cluster)


@pytest.mark.cluster(**REMOTE)
def test_worker_without_descriptors(cluster: Cluster) -> None:
    """``EMFILE`` in a worker: its connections go elsewhere, and it serves again when it can."""
    poor, rich = cluster.workers
    with descriptor_limit(poor.pid, fill_descriptors(poor.pid)):
        assert {cluster.get("/").json()["worker"] for _ in range(8)} == {rich.id}
    wait(lambda: cluster.get("/").json()["worker"] == poor.id, "an answer of the worker", cluster)
    assert healthy(cluster)


ROUTED = "from nodecluster_compat import cluster\ncluster.setup_primary(routing='socketio')\n"


@every_kind
@pytest.mark.cluster(app="routed:app", workers=2, config=ROUTED)
def test_worker_with_a_descriptor_too_few_for_what_is_handed_on_to_it(cluster: Cluster) -> None:
    """The kernel closes what there is no room for: one line in the log, and the worker goes on."""
    poor, rich = cluster.workers
    with ExitStack() as stack:
        clients = [stack.enter_context(RoutedClient(cluster)) for _ in range(3)]
        for client in clients:
            assert client.ask(client.session(rich.id))["worker"] == rich.id
        wait(lambda: not has_clients(poor.pid), "nothing in the worker of what it has handed on", cluster)
        with descriptor_limit(poor.pid, fill_descriptors(poor.pid) + 1):
            for client in clients:
                client.sock.sendall(head(client.session(poor.id)))
                assert rest_of(client.sock) == b""
        client = stack.enter_context(RoutedClient(cluster))
        for worker in (rich, poor, rich, poor):
            assert client.ask(client.session(worker.id))["worker"] == worker.id
    assert cluster.log.count("has no descriptor left") == 1
    assert [one.pid for one in cluster.workers] == [poor.pid, rich.pid]


@pytest.mark.cluster(**REMOTE)
def test_all_workers_without_descriptors(cluster: Cluster) -> None:
    """With nobody to take them connections wait in the primary, without a spin (D2), and are served later."""
    pid = cluster.primary.pid
    with ExitStack() as stack:
        with ExitStack() as limits:
            ask(cluster, "primary", "cluster.call_later(1.5, lambda: say(later=True))")
            for worker in cluster.workers:
                limits.enter_context(descriptor_limit(worker.pid, fill_descriptors(worker.pid)))
            clients = [stack.enter_context(cluster.connect(timeout=30)) for _ in range(20)]
            for client in clients:
                client.sendall(GET)
            ticks = [cpu_ticks(one) for one in (pid, *(one.pid for one in cluster.workers))]
            wait_said(cluster, later=True)
            used = [cpu_ticks(one) for one in (pid, *(one.pid for one in cluster.workers))]
        for client in clients:
            assert rest_of(client).startswith(b"HTTP/1.1 200")
    assert all(now - then < 50 for then, now in zip(ticks, used, strict=True)), (ticks, used)
    assert healthy(cluster)


@pytest.mark.cluster(**REMOTE, settings={"worker_connections": 2, "keepalive": 60})
def test_full_workers_refuse(cluster: Cluster) -> None:
    """Beyond ``worker_connections`` clients wait in the primary, without a spin (D2); who goes makes room."""
    pid = cluster.primary.pid
    with ExitStack() as stack:
        ask(cluster, "primary", "cluster.call_later(1.5, lambda: say(later=True))")
        held = [stack.enter_context(cluster.connect()) for _ in range(4)]
        for client in held:
            client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
        late = stack.enter_context(cluster.connect(timeout=30))
        late.sendall(GET)
        ticks = cpu_ticks(pid)
        wait_said(cluster, later=True)
        assert cpu_ticks(pid) - ticks < 50
        held[0].close()
        assert rest_of(late).startswith(b"HTTP/1.1 200")
    assert healthy(cluster)
    assert here(cluster, "result = cluster.worker.id")["worker"] in (1, 2)
    assert said(cluster, saw="cluster", event="exit") == []
