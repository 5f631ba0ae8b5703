"""What gunicorn and the plugin offer, in ASGI workers: TLS, HTTP/2, PROXY, preload, USR2, forks, failpoints."""

from __future__ import annotations

import json
import os
import signal
import ssl
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from h2_client import fetch, h2, opened
from raw_http import GET, Certificate, folder_of, rest_of
from remote_control import CONF, said, wait, wait_logged, wait_said

from pytest_cluster import Cluster, ClusterFactory

ASGI: Final[dict[str, Any]] = {
    "app": "asgi_app:app",
    "config": CONF.replace("graceful_timeout = 8\n", "graceful_timeout = 60\nkeepalive = 60\n"),
    "worker_class": "nodecluster_compat.ASGIWorker",
    "workers": 1,
}


# --- HTTP/2 --------------------------------------------------------------------------------------


def with_tls(certificate: Certificate, **settings: Any) -> dict[str, Any]:
    return {"keyfile": certificate.key, "certfile": certificate.cert, "http_protocols": "h2,h1", **settings}


def events_until_end(client: ssl.SSLSocket) -> list[bytes]:
    """The types of the frames up to the end of the connection."""
    received = rest_of(client)
    types = []
    while received:
        length = int.from_bytes(received[:3], "big")
        types.append(received[3:4])
        received = received[9 + length :]
    return types


DATA, GOAWAY = b"\x00", b"\x07"


@pytest.mark.table(quick=["SIGTERM"])
@pytest.mark.parametrize("way", ["SIGHUP", "SIGTERM"])
def test_http2_is_told_by_goaway_and_finishes_its_streams(
    cluster_factory: ClusterFactory, certificate: Certificate, way: str
) -> None:
    """The client hears at once that no further stream is wanted; the one that is open is answered."""
    cluster = cluster_factory(**ASGI, settings=with_tls(certificate))
    with h2(cluster) as client, h2(cluster) as idle:
        assert [one.status for one in fetch(idle, "/")] == [200]
        opened(client, "/held")
        wait_said(cluster, told="held")
        cluster.primary.signal(way)
        wait_said(cluster, told="process")
        assert GOAWAY in events_until_end(idle)
        (folder_of(cluster) / "release").touch()
        types = events_until_end(client)
    assert types.index(GOAWAY) < types.index(DATA)
    cluster.journal.wait_for("exit", worker=1)
    assert "graceful timeout" not in cluster.log


def test_http2_stream_that_max_requests_overtakes_is_answered(
    cluster_factory: ClusterFactory, certificate: Certificate
) -> None:
    """Streams are counted; those that are under way when the last one begins are served."""
    cluster = cluster_factory(**ASGI, settings=with_tls(certificate, max_requests=3))
    with h2(cluster) as client:
        farewells: list[bytes] = []
        answers = fetch(client, "/worker", "/worker", "/worker", farewells=farewells)
        assert [(one.status, one.body) for one in answers] == [(200, b"1")] * 3
        assert farewells or GOAWAY in events_until_end(client)
    cluster.journal.wait_for("listening", worker=2)
    with h2(cluster) as client:
        assert fetch(client, "/worker")[0].body == b"2"


# --- sockets and processes -----------------------------------------------------------------------


@pytest.mark.cluster(**ASGI, settings={"bind": "unix:asgi.sock"})
def test_unix_socket(cluster: Cluster) -> None:
    """A client of a unix socket has no address."""
    assert json.loads(cluster.get("/scope").text)["client"] in (None, ["", 0])


@pytest.mark.cluster(**ASGI, settings={"proxy_protocol": True, "proxy_allow_ips": "127.0.0.1"})
def test_proxy_protocol(cluster: Cluster) -> None:
    """The client is the one that the proxy names."""
    with cluster.connect() as client:
        client.sendall(b"PROXY TCP4 203.0.113.7 203.0.113.8 4321 80\r\n" + GET % (b"/scope", b""))
        answer = client.recv(65536)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["client"] == ["203.0.113.7", 4321]


@pytest.mark.cluster(**ASGI, preload=True)
def test_preloaded_application_has_its_async_handlers(cluster: Cluster) -> None:
    """They are registered in the primary, where nothing awaits, and run in the worker."""
    assert cluster.get("/state").text == "yes"
    cluster.request("POST", "/primary", body=b"cluster.workers[1].send({'number': 0})")
    wait_said(cluster, got=0)
    cluster.primary.signal("SIGTERM")
    wait_said(cluster, told="process")


@pytest.mark.cluster(**ASGI, settings={"pidfile": "server.pid"})
def test_usr2_hands_over(cluster: Cluster) -> None:
    """A second master serves with the same sockets; the first one can go."""
    old = cluster.worker(1).pid
    cluster.primary.signal("SIGUSR2")
    wait(lambda: "is ready. TERM to this one completes the upgrade" in cluster.log, "the new master", cluster)
    master = int((Path(f"/proc/{cluster.primary.pid}/cwd") / "server.pid.2").read_text())
    os.kill(cluster.primary.pid, signal.SIGTERM)
    cluster.journal.wait_for("exit", predicate=lambda entry: entry.pid == old)
    new = int(cluster.get("/pid").text)
    assert new != old
    os.kill(master, signal.SIGTERM)
    wait(lambda: not os.path.exists(f"/proc/{new}"), "the end of the new worker", cluster)


@pytest.mark.cluster(**ASGI)
def test_process_that_a_request_forks_ends_no_connection(cluster: Cluster) -> None:
    """``multiprocessing`` in a ``def`` endpoint: what is left open in the child keeps no client waiting."""
    with cluster.connect(timeout=20) as client:
        client.sendall(GET % (b"/", b""))
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        pid = cluster.worker(1).run("asgi_app:fork_and_stay")
        client.sendall(GET % (b"/", b"Connection: close\r\n"))
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        assert client.recv(65536) == b""
    os.kill(pid, signal.SIGKILL)


@pytest.mark.cluster(**ASGI)
def test_process_that_a_request_forks_serves_no_other_one(cluster: Cluster) -> None:
    """Both have come when the loop turns again; only the first one goes on in the child, which ends with it."""
    release, ways = folder_of(cluster) / "release", {"returns": 0, "raises": 1, "exits": 5, "awaits": 1}
    with ExitStack() as stack:
        standing, forking, paying = (stack.enter_context(cluster.connect(timeout=20)) for _ in range(3))
        for client in (standing, forking, paying):
            client.sendall(GET % (b"/", b""))
            assert client.recv(65536).endswith(b"ok")
        for number, (way, code) in enumerate(ways.items(), 1):
            standing.sendall(GET % (b"/forks/stand", b""))
            wait_said(cluster, number, told="standing")
            forking.sendall(GET % (b"/forks/" + way.encode(), b""))
            paying.sendall(GET % (b"/forks/pay", b""))
            release.touch()
            assert standing.recv(65536).endswith(b"ok")
            assert forking.recv(65536).endswith(f"\r\n\r\n{code}".encode())
            assert paying.recv(65536).endswith(b"ok")
            release.unlink()
    assert len(said(cluster, told="paid")) == len(ways)
    assert "Exception in worker process" not in cluster.log


# --- the plugin ----------------------------------------------------------------------------------


@pytest.mark.cluster(**ASGI)
def test_failpoints_hold_tasks_and_not_the_loop(cluster: Cluster) -> None:
    """A held request waits alone, and so does an ``async def`` function; a plain one on the loop cannot be held."""
    for step in ("request", "asgi_app:answer"):
        with cluster.faults.hold(step) as gate:
            held = cluster.client.submit("/")
            gate.wait_reached()
            assert cluster.worker(1).run("asgi_app:loop_of_worker")
            gate.release()
            assert held.result().status == 200
    with cluster.faults.hold("asgi_app:plain"):
        assert cluster.get("/plain").status == 500
        wait_logged(cluster, "a plain function that the event loop calls")


@pytest.mark.cluster(**ASGI)
def test_requests_fail_on_order_and_each_answer_says_who(cluster: Cluster) -> None:
    """The worker's id is on answers of the application, and on the server's own pages."""
    cluster.faults.fail_next(status=503)
    assert cluster.get("/").status == 503
    answer = cluster.get("/")
    assert (answer.status, answer.worker) == (200, 1)
    assert cluster.get("/raises").status == 500
    assert cluster.worker(1).requests_served == 3
    assert said(cluster, told="startup")
