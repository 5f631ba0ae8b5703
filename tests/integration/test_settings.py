"""gunicorn's settings mean here what gunicorn documents: those that the primary or the worker class touches."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from raw_http import environ_of, folder_of, rest_of
from remote_control import wait, wait_logged

from pytest_cluster import Cluster, ClusterFactory
from pytest_cluster.waiting import poll

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


def send(cluster: Cluster, request: bytes) -> bytes:
    """Send raw bytes; return the answer."""
    with cluster.connect(timeout=30) as client:
        client.sendall(request)
        return rest_of(client)


@pytest.mark.cluster(workers=1, settings={"max_requests": 5, "max_requests_jitter": 2})
def test_max_requests_replaces_the_worker_and_loses_nothing(cluster: Cluster) -> None:
    """Several generations of a single worker; every request is answered, every end was asked for."""
    pids = [cluster.get("/").json()["pid"] for _ in range(40)]
    assert 4 <= len(set(pids)) <= 9
    ended = cluster.journal.wait_for("exit")
    assert (ended.code, ended.exited_after_disconnect) == (0, True)


@pytest.mark.cluster(workers=2, app="sleepy:app", settings={"timeout": 1})
def test_timeout_aborts_a_blocked_worker(cluster: Cluster) -> None:
    """A worker that blocks past ``timeout`` is aborted and replaced."""
    with cluster.connect(timeout=30) as client:
        client.sendall(b"GET /block/30 HTTP/1.1\r\nHost: x\r\n\r\n")
        ended = cluster.journal.wait_for("exit", timeout=20)
        assert ended.exited_after_disconnect is False
        wait_logged(cluster, "WORKER TIMEOUT")
    assert len(cluster.wait_listening(2)) == 2


@pytest.mark.cluster(workers=1, app="sleepy:app", settings={"graceful_timeout": 1})
def test_graceful_timeout_bounds_the_end(cluster: Cluster) -> None:
    """A request that takes longer is cut, and the server ends."""
    with cluster.connect(timeout=30) as client:
        client.sendall(b"GET /sleep/60 HTTP/1.1\r\nHost: x\r\n\r\n")
        wait(lambda: cluster.get("/sleep/0").status == 200, "the worker to serve", cluster)
        assert cluster.stop(timeout=20) == 0
    wait_logged(cluster, "Worker graceful timeout")


@pytest.mark.cluster(workers=1, app="sleepy:app", settings={"worker_connections": 2})
def test_full_worker_serves_the_rest_when_it_has_room(cluster: Cluster) -> None:
    """``worker_connections`` is a bound, not a loss: the third client waits for its turn."""
    clients = [cluster.connect(timeout=30) for _ in range(5)]
    for client in clients:
        client.sendall(b"GET /sleep/0.2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    for client in clients:
        with client:
            assert client.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.cluster(workers=1, app="echo:app", settings={"forwarded_allow_ips": "10.9.8.7"})
def test_untrusted_peer_cannot_set_the_scheme(cluster: Cluster) -> None:
    """Only a listed proxy may say https: the peer's address must reach gunicorn as the tuple it is."""
    told = environ_of(send(cluster, HEAD + b"X-Forwarded-Proto: https\r\nScript-Name: /evil\r\n\r\n"))
    assert (told["wsgi.url_scheme"], told["SCRIPT_NAME"], told["REMOTE_ADDR"]) == ("http", "", "127.0.0.1")


@pytest.mark.cluster(workers=1, app="echo:app", settings={"proxy_protocol": True})
def test_proxy_protocol_gives_the_clients_address(cluster: Cluster) -> None:
    """The first bytes are the worker's to read."""
    told = environ_of(send(cluster, b"PROXY TCP4 192.0.2.1 192.0.2.2 1111 80\r\n" + HEAD + b"\r\n"))
    assert (told["REMOTE_ADDR"], told["REMOTE_PORT"]) == ("192.0.2.1", "1111")


@pytest.mark.cluster(workers=1, settings={"raw_env": ["COLOUR=red"], "accesslog": "access.log"}, app="echo:app")
def test_access_log_has_the_peer_and_the_status(cluster: Cluster) -> None:
    """The line is gunicorn's."""
    assert send(cluster, HEAD + b"\r\n").startswith(b"HTTP/1.1 200")
    log = folder_of(cluster) / "access.log"
    wait(lambda: log.read_text().count("\n") == 1, "a line in the access log", cluster)
    assert log.read_text().startswith("127.0.0.1 - - [")
    assert '"GET / HTTP/1.1" 200' in log.read_text()


def test_statsd_gets_requests_and_workers(cluster_factory: ClusterFactory) -> None:
    """The gauge of workers comes from the primary, the requests from the worker."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(30)
        host = f"127.0.0.1:{statsd.getsockname()[1]}"
        settings = {"statsd_host": host, "enable_backlog_metric": True, "loglevel": "debug"}
        server = cluster_factory(workers=2, settings=settings)
        assert server.get("/").status == 200
        wanted = {b"gunicorn.workers:2|g", b"gunicorn.requests:1|c", b"gunicorn.backlog:"}
        while wanted:
            received = statsd.recv(65536)
            wanted = {name for name in wanted if name not in received}


@pytest.mark.cluster(workers=2, settings={"reuse_port": True, "bind": "127.0.0.1:0"})
def test_reuse_port_with_explicit_round_robin_is_refused(cluster_factory: ClusterFactory) -> None:
    """Two wishes that exclude each other end the start with a sentence."""
    from pytest_cluster import StartError

    with pytest.raises(StartError, match="expected either reuse_port or round robin, got both"):
        cluster_factory(env={"NODE_CLUSTER_SCHED_POLICY": "rr"})


@pytest.mark.cluster(workers=1, settings={"reload": True, "reload_engine": "poll"}, app="fresh:app")
def test_reload_replaces_the_worker_when_a_file_changes(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    """The new code answers; the old worker left by its own wish."""
    source = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'%s']\n"
    (tmp_path / "fresh.py").write_text(source % "old")
    server = cluster_factory(settings={"pythonpath": str(tmp_path), "reload": True, "reload_engine": "poll"})
    assert server.get("/").text == "old"
    (tmp_path / "fresh.py").write_text(source % "new!")
    os.utime(tmp_path / "fresh.py", (1, 4_000_000_000))
    ended = server.journal.wait_for("exit", timeout=20)
    assert ended.exited_after_disconnect is True
    server.wait_listening(1)
    assert server.get("/").text == "new!"


@pytest.mark.skipif(os.geteuid() != 0, reason="changing the group needs root")
@pytest.mark.cluster(workers=2, settings={"group": "nogroup"})
def test_workers_change_their_group_and_keep_their_channels(cluster: Cluster) -> None:
    """``user`` and ``group`` are applied in the worker; it is fed all the same."""
    for worker in cluster.workers:
        assert "\nGid:\t65534\t" in Path(f"/proc/{worker.pid}/status").read_text()
    assert "\nGid:\t0\t" in Path(f"/proc/{cluster.primary.pid}/status").read_text()
    assert {cluster.get("/").status for _ in range(4)} == {200}


@pytest.mark.slow
def test_inherited_and_systemd_sockets_are_served(tmp_path: Path) -> None:
    """``fd://`` and LISTEN_FDS: somebody else bound the socket, the primary deals from it."""
    apps = str(Path(__file__).parents[1] / "apps")
    script = os.path.join(os.path.dirname(sys.executable), "gunicorn")
    options = ["-k", "nodecluster_compat.Worker", "-w", "2", "--pythonpath", apps, "pid_echo:app"]
    for way in ("fd", "systemd"):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            fd = listening.fileno()
            bind = [] if way == "systemd" else ["-b", f"fd://{fd}"]
            launch = (
                "import os, sys; os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); "
                "os.dup2(int(sys.argv[1]), 3); os.execv(sys.argv[2], sys.argv[2:])"
            )
            prefix = [sys.executable, "-c", launch, str(fd)] if way == "systemd" else []
            with (tmp_path / way).open("wb") as log:
                server = subprocess.Popen(
                    [*prefix, script, *bind, *options], pass_fds=[fd], cwd=tmp_path, stdout=log, stderr=log
                )
            address = listening.getsockname()
        try:
            answers: set[bytes] = set()
            while len(answers) < 2:
                with socket.create_connection(address, timeout=30) as client:
                    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    answers.add(client.makefile("rb").read().split(b"\r\n\r\n")[1])
        finally:
            server.terminate()
            assert server.wait(30) == 0, (tmp_path / way).read_text()


CUSTOM = """
import os, sys
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

class Mine(Arbiter):
    def stop(self, graceful=True):
        print("my stop", flush=True)
        super().stop(graceful)

class App(BaseApplication):
    def load_config(self):
        self.cfg.set("worker_class", "nodecluster_compat.Worker")
        self.cfg.set("bind", "unix:" + sys.argv[1])
        self.cfg.set("workers", 2)
    def load(self):
        return lambda environ, start: (start("200 OK", []), [str(os.getpid()).encode()])[1]
    def run(self):
        Mine(self).run()

App().run()
"""


@pytest.mark.slow
def test_custom_application_with_its_own_arbiter_is_adopted(tmp_path: Path) -> None:
    """The arbiter's own class stays the base, and its overrides run."""
    path = str(tmp_path / "s")
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([sys.executable, "-c", CUSTOM, path], stdout=log, stderr=log)
    try:
        answers: set[bytes] = set()
        wait_for(lambda: is_listening(path))
        while len(answers) < 2:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(30)
                client.connect(path)
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answers.add(client.makefile("rb").read().split(b"\r\n\r\n")[1])
    finally:
        server.terminate()
        assert server.wait(30) == 0, (tmp_path / "log").read_text()


def is_listening(path: str) -> bool:
    """Whether a server listens at a path, which is there as soon as it is bound."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == 0


def wait_for(check: Callable[[], bool]) -> None:
    """Wait until ``check`` is true."""
    assert poll(check, 50)
