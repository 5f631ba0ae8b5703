"""What a worker relays through TLS to others, when that worker leaves: sessions move, requests are answered."""

from __future__ import annotations

import signal
import ssl
from contextlib import ExitStack
from typing import Any, Final

import pytest
from kinds import ASGI, GEVENT, THREADS
from raw_http import Certificate, folder_of
from remote_control import wait, wait_logged, wait_said
from routed_client import RoutedClient, head

from pytest_cluster import Cluster, ClusterFactory

CONF: Final = """
from nodecluster_compat import cluster

def named(head):
    return int(head.query("to") or 0) or None

cluster.setup_primary(routing=["socketio", named])
"""
RAW_ASGI: Final = {"app": "routed_asgi:app", "worker_class": "nodecluster_compat.ASGIWorker"}
NOTHING_ENDS_BY_TIME: Final = {"graceful_timeout": 1000, "keepalive": 1000}


def of_worker(cluster: Cluster, certificate: Certificate, worker: int, stack: ExitStack) -> RoutedClient:
    """Return a connection that this worker has."""
    while True:
        client = stack.enter_context(RoutedClient(cluster, certificate))
        if client.ask("/")["worker"] == worker:
            return client


@pytest.mark.table(quick=["threads"])
@pytest.mark.parametrize("kind", [GEVENT, THREADS, ASGI], ids=["gevent", "threads", "asgi"])
def test_relays_of_a_worker_that_leaves(
    cluster_factory: ClusterFactory, certificate: Certificate, kind: dict[str, Any]
) -> None:
    """Its drain waits for no session, and loses no other request; a session that comes meanwhile is sent away."""
    settings = {**NOTHING_ENDS_BY_TIME, "keyfile": certificate.key, "certfile": certificate.cert}
    options = {**kind, "settings": {**kind.get("settings", {}), **settings}}
    cluster = cluster_factory(app="routed:app", workers=3, config=CONF, **options)
    leaving, other = 1, 2
    with ExitStack() as stack:
        session, page, both = (of_worker(cluster, certificate, leaving, stack) for _ in range(3))
        assert session.ask(session.session(other))["worker"] == other
        assert both.ask(f"/?to={other}")["worker"] == other
        page.sock.sendall(head(f"/held?to={other}"))
        wait_said(cluster, told="held")
        cluster.worker(leaving).kill(signal.SIGTERM)
        assert session.sock.recv(1) == b""
        both.sock.sendall(head(both.session(other)))
        while both.sock.recv(65536):
            pass
        (folder_of(cluster) / "release").touch()
        assert page.answer()["worker"] == other
    cluster.journal.wait_for("exit", worker=leaving)


def has_ended(client: RoutedClient) -> bool:
    """Whether the server has closed it; what comes behind a handshake is TLS's own."""
    client.sock.settimeout(0)
    try:
        return client.sock.recv(1) == b""
    except ssl.SSLWantReadError:
        return False


def test_first_requests_that_are_relayed_outlast_the_wait_for_others(
    cluster_factory: ClusterFactory, certificate: Certificate
) -> None:
    """A worker that leaves ends the connections on which nothing has come, and none whose request it relays."""
    settings = {"graceful_timeout": 1000, "keepalive": 1, "keyfile": certificate.key, "certfile": certificate.cert}
    cluster = cluster_factory(**RAW_ASGI, workers=2, config=CONF, settings=settings)
    leaving, other = 1, 2
    with ExitStack() as stack:
        pages, silent = ([stack.enter_context(RoutedClient(cluster, certificate)) for _ in range(4)] for _ in range(2))
        for page in pages:
            page.sock.sendall(head(f"/held?to={other}"))
        wait_said(cluster, times=4, told="held")
        cluster.worker(leaving).kill(signal.SIGTERM)
        wait(lambda: any(map(has_ended, silent)), "the end of a silent connection", cluster)
        (folder_of(cluster) / "release").touch()
        assert [page.answer()["worker"] for page in pages] == [other] * 4
    cluster.journal.wait_for("exit", worker=leaving)


@pytest.mark.table(quick=["threads"])
@pytest.mark.parametrize("kind", [GEVENT, THREADS, ASGI], ids=["gevent", "threads", "asgi"])
def test_relay_whose_client_reads_no_more_holds_a_drain_up_to_its_limit(
    cluster_factory: ClusterFactory, certificate: Certificate, kind: dict[str, Any]
) -> None:
    """And is counted among what was cut."""
    settings = {"graceful_timeout": 1, "keepalive": 1000, "keyfile": certificate.key, "certfile": certificate.cert}
    options = {**kind, "settings": {**kind.get("settings", {}), **settings}}
    cluster = cluster_factory(app="routed:app", workers=3, config=CONF, **options)
    leaving = cluster.workers[0]
    with ExitStack() as stack:
        client = of_worker(cluster, certificate, leaving.id, stack)
        client.sock.sendall(head("/large?to=2"))
        assert client.sock.recv(1) == b"H"
        leaving.kill(signal.SIGTERM)
        cluster.journal.wait_for("exit", worker=leaving.id)
    wait_logged(cluster, "cut 1 connections that had not ended within 1 s")
