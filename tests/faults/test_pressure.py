"""More clients than workers can serve, clients that take their time, and a kernel that has no more to give."""

from __future__ import annotations

import errno
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest
from raw_http import make_certificate
from remote_control import CONF, REMOTE, Gate, ask, healthy, said, wait, wait_said

from pytest_cluster import Cluster, ClusterFactory

GET: Final = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
QUEUE: Final = CONF + (
    "\nimport dataclasses\n"
    "def report(before=None):\n"
    "    now = dataclasses.asdict(cluster.status.queue)\n"
    "    if now != before:\n"
    "        say(**now)\n"
    "    cluster.call_later(0.05, report, now)\n"
    "cluster.call_later(0.05, report)\n"
)
LIMITED: Final = QUEUE + "cluster.setup_primary(queue_timeout=0.4)\n"


def ending(client: socket.socket) -> bytes:
    """Everything up to the end of a connection; a reset is one."""
    data = b""
    try:
        while piece := client.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


@contextmanager
def blocked(cluster: Cluster, folder: Path) -> Iterator[Gate]:
    """A cluster of one worker that stands still, with the one connection that it has not taken."""
    gate = Gate(folder)
    body = gate.source.encode()
    with cluster.connect(timeout=30) as inside:
        inside.sendall(b"POST /here HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        gate.entered(cluster)
        with cluster.connect(timeout=30) as held:  # only now: before, the worker would have taken it
            held.sendall(GET)
            yield gate
            gate.open()
            assert ending(held).startswith(b"HTTP/1.1 200")


@pytest.mark.cluster(**{**REMOTE, "config": LIMITED}, workers=1)
def test_connection_that_nobody_takes_has_a_deadline(cluster: Cluster, tmp_path: Path) -> None:
    """It is closed, counted, and told once an episode; the one that the worker holds is served when it can be."""
    with ExitStack() as stack, blocked(cluster, tmp_path):
        clients = [stack.enter_context(cluster.connect(timeout=30)) for _ in range(5)]
        for client in clients:
            client.sendall(GET)
        assert [ending(client) for client in clients] == [b""] * 5
        wait_said(cluster, waiting=0, overdue=5, left=0)
        wait(lambda: "Nobody waits for a worker any more; 5 connections were closed" in cluster.log, "the end", cluster)
    assert cluster.log.count("No worker takes the connections of") == 1
    assert healthy(cluster)


@pytest.mark.cluster(**{**REMOTE, "config": QUEUE}, workers=1)
def test_clients_that_left_while_they_waited_are_served_by_nobody(cluster: Cluster, tmp_path: Path) -> None:
    """One that has asked and shut its writing side has not left; one that has asked and reset its connection has."""
    with ExitStack() as stack, blocked(cluster, tmp_path):
        half = stack.enter_context(cluster.connect(timeout=30))
        half.sendall(GET)
        half.shutdown(socket.SHUT_WR)
        for _ in range(5):
            cluster.connect().close()
        with cluster.connect() as hasty:
            hasty.sendall(GET)
            hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() resets
        wait_said(cluster, waiting=1, left=6, overdue=0)
        stack.enter_context(cluster.connect(timeout=30)).sendall(GET)
        wait_said(cluster, waiting=2, left=6)
    assert said(cluster, overdue=1) == []
    assert healthy(cluster)


FAILING: Final = """
from nodecluster_compat.connections.offers import OfferingEnd
original = OfferingEnd.offer
attempts = []
def offer(self, *_):
    attempts.append(1)
    raise OSError({number}, os.strerror({number}))
def mend():
    OfferingEnd.offer = original
    say(mended=True, attempts=len(attempts))
OfferingEnd.offer = offer
cluster.call_later(1.5, mend)
"""


@pytest.mark.table(quick=["109"])
@pytest.mark.cluster(**REMOTE)
@pytest.mark.parametrize("number", [errno.ETOOMANYREFS, errno.ENOBUFS, errno.EAGAIN])
def test_handoff_that_the_kernel_refuses(cluster: Cluster, number: int) -> None:
    """Too many descriptors under way, no memory, a full channel: a line for each worker, no spin, nobody is lost."""
    ask(cluster, "primary", FAILING.format(number=int(number)))
    with ExitStack() as stack:
        clients = [stack.enter_context(cluster.connect(timeout=30)) for _ in range(20)]
        for client in clients:
            client.sendall(GET)
        (told,) = wait_said(cluster, mended=True)
        assert told["attempts"] < 500  # a twentieth of a second between two
        assert all(ending(client).startswith(b"HTTP/1.1 200") for client in clients)
    wait(lambda: cluster.log.count("Connections go to worker") == 2, "the end of both episodes", cluster)
    assert cluster.log.count("Cannot hand connections to worker") == 2
    assert healthy(cluster)


NO_FORK: Final = """
original = os.fork
attempts = []
def fork():
    attempts.append(1)
    if len(attempts) > 3:
        os.fork = original
        say(mended=True)
        return original()
    raise OSError({number}, os.strerror({number}))
os.fork = fork
"""


@pytest.mark.table(quick=["11"])
@pytest.mark.cluster(**REMOTE)
@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
def test_worker_that_cannot_be_forked(cluster: Cluster, number: int) -> None:
    """The limit of processes, or no memory: the others serve, and it is tried again."""
    ask(cluster, "primary", NO_FORK.format(number=int(number)))
    cluster.workers[0].kill()
    wait(lambda: "Could not start worker" in cluster.log, "a line in the log", cluster)
    assert cluster.get("/").status == 200
    wait_said(cluster, mended=True)
    wait(lambda: {cluster.get("/").json()["worker"] for _ in range(2)} == {2, 6}, "two workers that serve", cluster)
    assert cluster.log.count("Could not start worker") == 3


SMALL: Final = {"worker_connections": 4, "keepalive": 1}


@pytest.mark.cluster(app="draining:app", config=CONF, workers=2, settings=SMALL)
def test_clients_that_never_finish_their_request_keep_nobody_out(cluster: Cluster) -> None:
    """More of them than there are places: each is ended after ``keepalive``, and whoever waits is served."""
    with ExitStack() as stack:
        slow = [stack.enter_context(cluster.connect(timeout=30)) for _ in range(16)]
        for client in slow:
            client.sendall(b"GET / HTTP/1.1\r\nHost: te")
        with cluster.connect(timeout=30) as other:
            other.sendall(GET)
            assert ending(other).startswith(b"HTTP/1.1 200")
        assert [ending(client) for client in slow] == [b""] * 16


@pytest.mark.cluster(**{**REMOTE, "config": CONF}, workers=2, settings=SMALL)
def test_clients_that_do_not_read_keep_their_places_only(cluster: Cluster) -> None:
    """A worker waits for them, and serves others meanwhile: with all its other places."""
    body = b"result = 'x' * 20_000_000"
    with ExitStack() as stack:
        for _ in range(6):
            client = stack.enter_context(cluster.connect(timeout=30))
            client.sendall(b"POST /here HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            assert client.recv(16).startswith(b"HTTP/1.1 200")
        assert [cluster.get("/").status for _ in range(8)] == [200] * 8


def test_clients_that_never_shake_hands_keep_nobody_out(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    """TLS: more of them than there are places."""
    certificate = make_certificate(tmp_path)
    settings = {**SMALL, "certfile": certificate.cert, "keyfile": certificate.key}
    config = CONF + "cluster.setup_primary(handshake_timeout=0.3)\n"
    with cluster_factory(**{**REMOTE, "config": config}, workers=1, settings=settings) as cluster, ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection((cluster.host, cluster.port), 30)) for _ in range(8)]
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(socket.create_connection((cluster.host, cluster.port), 30)) as late:
            late.sendall(GET)
            assert ending(late).startswith(b"HTTP/1.1 200")
        assert [ending(client) for client in silent] == [b""] * 8
