"""Socket.IO on four workers behind nginx and HAProxy, which keep connections and use each for several clients."""

from __future__ import annotations

import http.client
import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from ports import answers, free_port
from recipes import PATIENCE, program
from socketio_clients import callers

from pytest_cluster import Cluster, ClusterFactory
from pytest_cluster.waiting import poll

pytestmark = pytest.mark.timeout(180)

WORKERS: Final = 4
CLIENTS: Final = 6
POLL: Final = "/socket.io/?EIO=4&transport=polling"
SERVER: Final[dict[str, Any]] = {
    "app": "socketio_app:app",
    "worker_class": "nodecluster_compat.Worker",
    "workers": WORKERS,
}

NGINX: Final = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_of_upgrade {{ default upgrade; '' ''; }}
    upstream workers {{ server {upstream}; keepalive 16; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://workers;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_of_upgrade;
        }}
    }}
}}
"""
HAPROXY: Final = """
global
    nbthread 1
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    timeout tunnel 60s
    http-reuse always
listen workers
    bind 127.0.0.1:{port}
    server gunicorn {upstream}
"""


@contextmanager
def proxy(kind: str, upstream: str, folder: Path) -> Iterator[str]:
    """Run a proxy in front of ``upstream``; yield its URL."""
    port = free_port()
    config = folder / f"{kind}.conf"
    text = NGINX if kind == "nginx" else HAPROXY
    config.write_text(text.format(folder=folder, port=port, upstream=upstream))
    options = ["-c", str(config), "-e", "stderr"] if kind == "nginx" else ["-f", str(config), "-db"]
    server = subprocess.Popen([program(kind), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert poll(lambda: answers(port), PATIENCE), f"{kind} does not listen"
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def upstream_of(cluster: Cluster, kind: str, path: Path | None) -> str:
    """The address of a server as the configuration of the proxy has it."""
    if path is None:
        return f"{cluster.host}:{cluster.port}"
    return f"unix:{path}" if kind == "nginx" else f"unix@{path}"


Serve = Callable[..., Any]


@pytest.fixture
def serve(cluster_factory: ClusterFactory, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Serve]:
    """Start a server and a proxy in front of it; return the URL of the proxy."""
    running: list[Any] = []

    def serve(kind: str, *, by_path: bool = False, **env: str) -> str:
        program(kind)
        path = tmp_path / "s" if by_path else None
        options = {"settings": {"bind": f"unix:{path}"}} if by_path else {}
        cluster = cluster_factory(**SERVER, **options, env=env)
        running.append(proxy(kind, upstream_of(cluster, kind, path), tmp_path))
        return running[-1].__enter__()

    yield serve
    for one in running:
        one.__exit__(None, None, None)


def page(url: str) -> bytes:
    """Load a page over a connection of its own; it says which worker has made it."""
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return answer.read()


def check_clients(url: str, transports: tuple[str, ...]) -> None:
    """Each stays with its worker, hears what is for it, once, and acknowledges to other workers."""
    with callers(url, CLIENTS, transports) as clients:
        workers = {one.sid: one.worker for one in clients}
        assert len(set(workers.values())) > 1, "new sessions pile up where the proxy's connection is"
        for _ in range(5):
            assert {one.sid: one.worker for one in clients} == workers
        for one in clients:
            one.ask("join", "room")
        one = clients[0]
        other = next(client for client in clients if workers[client.sid] != workers[one.sid])
        one.say("tell", "room", b"\0\xff")
        for client in clients:
            client.wait_told(b"\0\xff")
        assert one.ask("ask", other.sid, 5) == [other.sid, 5]
        one.ask("put", other.sid, "second")
        one.say("tell", "second", "in order")
        other.wait_told("in order")
        one.say("kick", other.sid)
        other.wait(lambda client: not client.client.connected, "disconnected by way of another worker")


@pytest.mark.table(quick=["nginx-tcp", "haproxy-unix"])
@pytest.mark.parametrize("by_path", [False, True], ids=["tcp", "unix"])
@pytest.mark.parametrize("kind", ["nginx", "haproxy"])
def test_clients_behind_a_proxy_that_keeps_connections(serve: Serve, kind: str, by_path: bool) -> None:
    """By polling, upgrade and websocket."""
    url = serve(kind, by_path=by_path)
    assert len({page(url) for _ in range(2 * WORKERS)}) == 1, "the proxy does not keep connections"
    for transports in (("polling",), ("polling", "websocket"), ("websocket",)):
        check_clients(url, transports)


def posted(address: str, sid: str) -> int:
    """Post a message that says nothing, over a connection of its own; return the status of the answer."""
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    try:
        connection.request("POST", f"{POLL}&sid={sid}", b"6")
        return connection.getresponse().status
    finally:
        connection.close()


def test_polls_would_reach_whichever_worker_without_routing(serve: Serve) -> None:
    """Session ids that do not name their workers: while one poll waits, the proxy takes another connection."""
    url = serve("nginx", NODECLUSTER_PLAIN_SIDS="1")
    address = url.removeprefix("http://")
    sid = json.loads(page(url + POLL)[1:])["sid"]
    waiting = http.client.HTTPConnection(address, timeout=PATIENCE)
    try:
        waiting.request("GET", f"{POLL}&sid={sid}")
        assert poll(lambda: posted(address, sid) == 400, PATIENCE)
    finally:
        waiting.close()
