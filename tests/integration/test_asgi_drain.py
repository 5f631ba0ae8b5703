"""How an ASGI worker leaves: who keeps its time, who may finish, who is told, and what happens to the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from drain_ways import (
    ANSWER,
    ENDS,
    LIMIT,
    LONG,
    PARTS,
    TO_THE_POLICY,
    WAYS,
    check_begun_request_is_answered,
    check_idle_ends_with_keepalive,
    check_idle_goes_at_once,
    check_idle_keeps_its_time,
    check_idle_over_tls,
    get_kept_alive,
    get_last_answer,
    primary,
    release,
)
from raw_http import GET, Certificate, rest_of
from remote_control import CONF, said, wait, wait_said
from simple_websocket import ConnectionClosed
from websocket_client import WebSocketClient

from pytest_cluster import Cluster, ClusterFactory

ASGI: Final[dict[str, Any]] = {"app": "asgi_app:app", "config": LONG, "worker_class": "nodecluster_compat.ASGIWorker"}


@pytest.mark.table(quick=["cluster.worker.disconnect", "HUP"])
@pytest.mark.cluster(**ASGI, workers=1)
@pytest.mark.parametrize("way", WAYS)
def test_idle_keeps_its_time_when_a_worker_leaves(cluster: Cluster, way: Callable[[Cluster], object]) -> None:
    """Where the server goes on, each connection has one more answer, and nobody waits for that."""
    check_idle_keeps_its_time(cluster, way)
    assert said(cluster, told="shutdown")


@pytest.mark.table(quick=["TERM"])
@pytest.mark.cluster(**ASGI, workers=1)
@pytest.mark.parametrize("end", ENDS)
def test_idle_goes_at_once_when_the_server_ends(cluster: Cluster, end: Callable[[Cluster], object]) -> None:
    """No time-out is near, and a request that began before is the last of its connection."""
    check_idle_goes_at_once(cluster, end)


@pytest.mark.table(quick=["fed"])
@pytest.mark.parametrize("policy", TO_THE_POLICY)
def test_max_requests_keeps_what_was_promised(cluster_factory: ClusterFactory, policy: dict[str, Any]) -> None:
    """An idle connection, and one whose answer had begun: each has one more answer."""
    cluster = cluster_factory(**ASGI, workers=1, settings={"max_requests": 2}, **policy)
    with cluster.connect(timeout=30) as idle, cluster.connect(timeout=30) as streaming:
        get_kept_alive(streaming, b"/stream")
        get_kept_alive(idle)
        with cluster.connect(timeout=30) as last:
            get_last_answer(last)
        wait_said(cluster, told="process")
        release(cluster)
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += streaming.recv(65536)
        get_last_answer(streaming)
        get_last_answer(idle)
    assert cluster.journal.wait_for("exit", worker=1).exited_after_disconnect is True


@pytest.mark.table(quick=["new-a part", "kept alive-nothing"])
@pytest.mark.cluster(**ASGI, workers=1)
@pytest.mark.parametrize("sent", [b"", PARTS[0]], ids=["nothing", "a part"])
@pytest.mark.parametrize("asked", [False, True], ids=["new", "kept alive"])
def test_request_that_has_only_begun_is_answered(cluster: Cluster, sent: bytes, asked: bool) -> None:
    """A connection whose request has not come, or not whole."""
    check_begun_request_is_answered(cluster, sent, asked=asked)


@pytest.mark.cluster(**ASGI, workers=1)
def test_part_of_a_second_request_is_answered_when_the_server_ends(cluster: Cluster) -> None:
    """Its connection is not idle."""
    with cluster.connect(timeout=30) as idle, cluster.connect(timeout=30) as client:
        get_kept_alive(idle)
        get_kept_alive(client)
        client.sendall(PARTS[0])
        assert cluster.get("/").status == 200
        cluster.primary.signal("SIGTERM")
        assert idle.recv(65536) == b""
        client.sendall(PARTS[1])
        assert rest_of(client).startswith(ANSWER)


QUICK: Final = {**ASGI, "config": CONF.replace(LIMIT, "graceful_timeout = 120\nkeepalive = 1\n")}


@pytest.mark.table(quick=["new"])
@pytest.mark.cluster(**QUICK, workers=1)
@pytest.mark.parametrize("asks", [True, False], ids=["kept alive", "new"])
def test_idle_connection_ends_with_keepalive_and_not_before(cluster: Cluster, asks: bool) -> None:
    """The drain is over then; a client that has not asked yet has as long."""
    check_idle_ends_with_keepalive(cluster, asks=asks)


@pytest.mark.table(quick=["accepting"])
@pytest.mark.parametrize("policy", TO_THE_POLICY)
def test_what_has_not_ended_at_the_limit_is_cut_and_counted(
    cluster_factory: ClusterFactory, policy: dict[str, Any]
) -> None:
    """Websockets are told to come back, streams are cancelled (their ``finally`` runs), idle ones do not count."""
    cluster = cluster_factory(**ASGI, workers=1, **policy)
    deaf = WebSocketClient.connect(f"ws://{cluster.host}:{cluster.port}/socket")
    deaf.send("hello")
    assert deaf.receive(timeout=20) == "hello"
    with cluster.connect(timeout=30) as idle, cluster.connect(timeout=30) as stream:
        get_kept_alive(idle)
        get_kept_alive(stream, b"/stream")
        primary("cluster.workers[1].disconnect(timeout=0.3)")(cluster)
        with pytest.raises(ConnectionClosed) as closed:
            deaf.receive(timeout=30)
        assert closed.value.reason == 1012
        assert not rest_of(stream).endswith(b"0\r\n\r\n")
        assert idle.recv(65536) == b""
        ended = cluster.journal.wait_for("exit", worker=1)
    assert (ended.code, ended.exited_after_disconnect) == (0, True)
    wait_said(cluster, told="process", seconds=0.3)
    assert said(cluster, told="closed", code=1012)
    assert len(said(cluster, told="cut")) == 1
    (line,) = [line for line in cluster.log.splitlines() if "graceful timeout" in line]
    assert line.endswith("cut 2 connections that had not ended within 0.3 s")
    assert said(cluster, told="shutdown")
    assert "Traceback" not in cluster.log


def test_idle_connection_over_tls(cluster_factory: ClusterFactory, certificate: Certificate) -> None:
    """It ends without an alert when the server ends; it is answered when only its worker does."""
    files = {"keyfile": certificate.key, "certfile": certificate.cert}
    check_idle_over_tls(cluster_factory(**ASGI, workers=1, settings=files))


@pytest.mark.table(quick=["asyncio"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_silent_clients_over_tls_hold_up_no_drain(
    cluster_factory: ClusterFactory, certificate: Certificate, loop: str
) -> None:
    """Their connections have ended before the drain, by it, or with the last answer, and they do not close them."""
    files = {"keyfile": certificate.key, "certfile": certificate.cert}
    cluster = cluster_factory(**QUICK, workers=1, settings={**files, "asgi_loop": loop})
    with cluster.connect(timeout=30) as early, cluster.connect(timeout=30) as last:
        get_kept_alive(early)
        assert early.recv(65536) == b""
        last.sendall(GET % (b"/held", b""))
        wait_said(cluster, told="held")
        with cluster.connect(timeout=30) as idle:
            get_kept_alive(idle)
            cluster.primary.signal("SIGTERM")
            assert idle.recv(65536) == b""
            release(cluster)
            assert b"Connection: close" in rest_of(last)
            cluster.journal.wait_for("exit", worker=1)
    assert "Traceback" not in cluster.log


@pytest.mark.cluster(**{**ASGI, "config": LONG + "def post_worker_init(w):\n    import asgi_app; asgi_app.this = w\n"})
def test_client_that_goes_away_has_left_at_once(cluster: Cluster) -> None:
    """gunicorn's task for it waits for its next request three seconds more."""
    for sends in (b"", GET % (b"/", b"")):
        with cluster.connect(timeout=30) as client:
            client.sendall(sends)
            if sends:
                assert client.recv(65536).startswith(ANSWER)
    with cluster.connect(timeout=30) as client:
        get_kept_alive(client)
        wait(lambda: sum(cluster.run_in_all("asgi_app:count_of_connections").values()) == 1, "one connection", cluster)
        cluster.primary.signal("SIGTERM")
    cluster.journal.wait_for("exit", worker=1)
