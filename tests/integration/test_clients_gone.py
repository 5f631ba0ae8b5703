"""Clients that leave: who notices, what ends, and who gets an answer all the same."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from itertools import product
from typing import Any, Final

import pytest
from raw_http import GET, Certificate, folder_of, rest_of
from remote_control import REMOTE, ask, said, wait, wait_said

from pytest_cluster import Cluster, ClusterFactory

SETTINGS: Final = {"graceful_timeout": 100}
LEAVING: Final[dict[str, Any]] = {"app": "leaving:app", "workers": 1, "settings": SETTINGS, "fresh": True}
KERNEL: Final = {"NODE_CLUSTER_SCHED_POLICY": "none"}


def request(cluster: Cluster, path: bytes) -> socket.socket:
    """One that the application has begun to answer."""
    before = len(said(cluster, told="begun"))
    client = cluster.connect(timeout=30)
    client.sendall(GET % (path, b""))
    wait_said(cluster, before + 1, told="begun")
    return client


@pytest.mark.table(quick=["dealt"])
@pytest.mark.parametrize("env", [{}, KERNEL], ids=["dealt", "accepted"])
def test_silent_stream_ends_with_its_client(cluster_factory: ClusterFactory, env: dict[str, str]) -> None:
    """Its generator is closed, whether it has sent anything or not, and it holds no drain."""
    cluster = cluster_factory(**LEAVING, env=env)
    with request(cluster, b"/silent") as client:
        assert b"first" in client.recv(65536)
    wait_said(cluster, 1, told="closed")
    with request(cluster, b"/mute") as client:
        client.settimeout(0.6)
        with pytest.raises(TimeoutError):  # it is known by now that this client has not half-closed
            client.recv(1)
    wait_said(cluster, 2, told="closed")
    with request(cluster, b"/silent") as client:
        assert b"first" in client.recv(65536)
        cluster.primary.signal("SIGTERM")
        wait_said(cluster, 2, told="closed")
    wait_said(cluster, 3, told="closed")
    cluster.journal.wait_for("exit", worker=1)
    assert "graceful timeout" not in cluster.log
    assert "Traceback" not in cluster.log


@pytest.mark.cluster(**LEAVING)
def test_client_that_has_only_shut_its_sending_side_is_served(cluster: Cluster) -> None:
    """As ``nc`` does: what comes late comes, also after a while."""
    with request(cluster, b"/silent") as other, cluster.connect(timeout=30) as client:
        client.sendall(GET % (b"/slow", b""))
        client.shutdown(socket.SHUT_WR)
        wait_said(cluster, 2, told="begun")
        assert b"first" in other.recv(65536)
        other.close()
        wait_said(cluster, told="closed")  # so the sweeps that would have ended it are over
        (folder_of(cluster) / "release").touch()
        received = rest_of(client)
    assert received.endswith(b"4\r\nlate\r\n0\r\n\r\n")


@pytest.mark.cluster(**LEAVING)
def test_application_asks(cluster: Cluster) -> None:
    """It waits, or is called back; a request that has ended hears of nothing, even if its connection goes on."""
    request(cluster, b"/ask").close()
    assert wait_said(cluster, told="gone") == [{"told": "gone", "gone": True, "still": True}]
    assert said(cluster, told="begun") == [{"told": "begun", "gone": False}]
    with cluster.connect(timeout=30) as client:
        client.sendall(GET % (b"/briefly", b""))
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        assert said(cluster, told="waited") == [{"told": "waited", "gone": False}]
    request(cluster, b"/told").close()
    wait_said(cluster, told="called back")
    assert len(said(cluster, told="called back")) == 1


def test_over_tls(cluster_factory: ClusterFactory, certificate: Certificate) -> None:
    """The same."""
    tls = {"keyfile": str(certificate.key), "certfile": str(certificate.cert)}
    cluster = cluster_factory(**{**LEAVING, "settings": tls})
    with cluster.connect(timeout=30) as client:
        client.sendall(GET % (b"/silent", b""))
        assert b"HTTP/1.1 200" in client.recv(65536)
    wait_said(cluster, told="closed")


CHUNK: Final = b"2000\r\n" + b"x" * 0x2000 + b"\r\n"


@pytest.mark.cluster(**LEAVING)
def test_body_that_nobody_reads_resets_no_answer(cluster: Cluster) -> None:
    """The client sends all of it before it reads, as most do; whether its connection is closed behind it or not."""
    for kind, fields, count in product(("chunked", "length", "broken"), (b"Connection: close\r\n", b""), (16, 1024)):
        size = (
            b"Content-Length: %d\r\n" % (count * len(CHUNK)) if kind == "length" else b"Transfer-Encoding: chunked\r\n"
        )
        with cluster.connect(timeout=30) as client:
            client.sendall(b"POST /unread HTTP/1.1\r\nHost: x\r\n" + fields + size + b"\r\n")
            client.sendall(b"no length\r\n" if kind == "broken" else b"")
            for _ in range(count):
                client.sendall(CHUNK)
            client.sendall(b"" if kind == "length" else b"0\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200")


WAITING: Final = """
import gc
from nodecluster_compat.gevent_runtime.idle_limit import IdleLimit
gc.unfreeze()  # or it is out of sight
(limit,) = (one for one in gc.get_objects() if type(one) is IdleLimit)
result = len(limit.waiting)
"""


@pytest.mark.cluster(**REMOTE, workers=1)
def test_client_that_leaves_its_idle_connection_is_waited_for_no_longer(cluster: Cluster) -> None:
    """Or the greenlet that served it would be ended ``keepalive`` later, amid whatever it serves by then."""
    with ExitStack() as stack:
        for client in [stack.enter_context(cluster.connect(timeout=30)) for _ in range(3)]:
            client.sendall(GET % (b"/", b""))
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
    wait(lambda: ask(cluster, "worker/1", WAITING) == 0, "nobody who waits", cluster)
    assert "failed with Timeout" not in cluster.log
