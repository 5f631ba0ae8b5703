"""Every kind of socket that gunicorn can bind, dealt by the primary."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from raw_http import rest_of

from pytest_cluster import Cluster, ClusterFactory


def ask(sock: socket.socket) -> bytes:
    """One request on a connected socket."""
    with sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return rest_of(sock)


@pytest.mark.cluster(workers=2, settings={"bind": ["127.0.0.1:0", "[::1]:0", "unix:one.sock"]})
def test_several_sockets_at_once_are_each_dealt_round_robin(cluster: Cluster) -> None:
    """TCP, IPv6 and unix: one ``listening`` for each socket and worker, and even turns on each."""
    kinds = Counter(address.address_type for address in cluster.addresses)
    assert set(kinds) == {4, 6, -1}
    for address in cluster.addresses:
        pids = set()
        for _ in range(2):
            if address.address_type == -1:
                client = socket.socket(socket.AF_UNIX)
                client.connect(address.address)
            else:
                client = socket.create_connection((address.address, address.port))
            pids.add(ask(client).split(b'"pid": ')[1].split(b",")[0].rstrip(b"}\n"))
        assert len(pids) == 2


@pytest.mark.cluster(workers=1, settings={"bind": "unix:gone.sock", "umask": 0o077})
def test_unix_socket_has_its_mode_and_is_removed_at_the_end(cluster: Cluster) -> None:
    """``umask`` is gunicorn's; nothing is left behind."""
    path = Path(str(cluster.address))
    assert path.stat().st_mode & 0o777 == 0o700
    cluster.stop()
    assert not path.exists()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """A certificate for 127.0.0.1."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return str(key), str(cert)


def test_tls_is_spoken_in_the_worker(cluster_factory: ClusterFactory, certificate: tuple[str, str]) -> None:
    """The descriptor is passed before the handshake; a client that speaks plain HTTP harms nobody."""
    key, cert = certificate
    server = cluster_factory(workers=2, settings={"keyfile": key, "certfile": cert}, app="echo:app")
    context = ssl.create_default_context(cafile=cert)
    context.check_hostname = False
    with contextlib.suppress(ConnectionResetError):
        ask(socket.create_connection((server.host, server.port)))
    for _ in range(3):
        client = http.client.HTTPSConnection(server.host, server.port, context=context)
        client.request("POST", "/x", body=b"hello")
        answer = client.getresponse()
        assert answer.status == 200
        assert b'"wsgi.url_scheme": "https"' in answer.read()
        client.close()
    assert "Traceback" not in server.log


@pytest.mark.cluster(workers=2, env={"NODE_CLUSTER_SCHED_POLICY": "none"})
def test_policy_none_lets_workers_accept(cluster: Cluster) -> None:
    """The kernel chooses; everything else stays."""
    assert {cluster.get("/").status for _ in range(10)} == {200}
    assert cluster.stop() == 0
    assert [cluster.worker(one).exit_code for one in (1, 2)] == [0, 0]


@pytest.mark.cluster(workers=2, preload=True)
def test_preloaded_application_is_served_and_reloaded(cluster: Cluster) -> None:
    """The application is imported in the primary; HUP replaces every worker."""
    old = {one.pid for one in cluster.workers}
    before = cluster.journal.last_seq
    cluster.primary.signal("SIGHUP")
    for pid in old:
        cluster.journal.wait_for("exit", predicate=lambda entry, pid=pid: entry.pid == pid, after=before)
    assert {cluster.get("/").json()["pid"] for _ in range(2)} == {one.pid for one in cluster.workers}


SSL_HOOK = """
def ssl_context(config, default):
    open("asked", "a").write("x")
    return default()
"""


def test_tls_negotiates_http2_and_asks_the_hook_once(
    cluster_factory: ClusterFactory, certificate: tuple[str, str]
) -> None:
    """ALPN happens in the worker; ``ssl_context`` is called once a worker, as by the stock gevent worker."""
    pytest.importorskip("gunicorn.http2", reason="gunicorn speaks HTTP/2 from 25.0 on")
    key, cert = certificate
    settings = {"keyfile": key, "certfile": cert, "http_protocols": "h2,h1"}
    server = cluster_factory(workers=1, settings=settings, config=SSL_HOOK)
    context = ssl.create_default_context(cafile=cert)
    context.check_hostname = False
    for offered, chosen in ((["h2"], "h2"), (["http/1.1"], "http/1.1")):
        context.set_alpn_protocols(offered)
        with context.wrap_socket(socket.create_connection((server.host, server.port))) as client:
            assert client.selected_alpn_protocol() == chosen
    assert Path(f"/proc/{server.primary.pid}/cwd").resolve().joinpath("asked").read_text() == "x"
