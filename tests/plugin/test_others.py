"""Clusters among others: a server that somebody else runs, services, and what is said where they are missing."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pytest_cluster.errors import MissingProgram, ServiceError
from pytest_cluster.options.server_url import ServerURL, parse_server_url
from pytest_cluster.options.service_urls import parse_service_url
from pytest_cluster.server import nginx, services
from pytest_cluster.server.guard import guard
from pytest_cluster.server.leaks import is_running

TESTS = """
import pytest

def test_asks(cluster, cluster_client):
    assert cluster.get("/a").text == "GET /a"
    assert cluster_client.post("/b", json={}).text == "POST /b"
    assert cluster.client.get_many("/", 3).by_text() == {"GET /": 3}
    assert cluster.get("/a").worker is None
    assert [str(one)[:10] for one in cluster.requests][0] == "GET /a 200"

def test_workers(cluster): cluster.workers
def test_faults(cluster, cluster_faults): pass
def test_factory(cluster_factory): pass
def test_typing_error(cluster):
    with pytest.raises(AttributeError, match="a cluster has no 'wokers'"):
        cluster.wokers
"""


@pytest.fixture
def somebody_elses() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = f"{self.command} {self.path}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - its name

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("where", ["command line", "environment", "ini"])
def test_server_of_somebody_else(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, somebody_elses: str, where: str
) -> None:
    pytester.makepyfile(TESTS)
    if where == "environment":
        monkeypatch.setenv("PYTEST_CLUSTER_URL", somebody_elses)
    if where == "ini":
        pytester.makeini(f"[pytest]\ncluster_url = {somebody_elses}\n")

    result = pytester.runpytest_inprocess(
        "-rs", *([f"--cluster-url={somebody_elses}"] if where == "command line" else [])
    )

    result.assert_outcomes(passed=2, skipped=3)
    url = somebody_elses.rstrip("/")
    result.stdout.fnmatch_lines_random(
        [
            f"SKIPPED * cluster.workers is known of a cluster that the test has started, and {url} is somebody *",
            "SKIPPED * cluster.faults is known of a cluster that *",
            f"SKIPPED * cluster_factory starts clusters, and {url} is somebody else's (--cluster-url)",
        ]
    )


ADAPTORS = """
import flask
import pytest
import django.conf
import werkzeug.test

if not django.conf.settings.configured:
    django.conf.settings.configure()

application = flask.Flask(__name__)

@pytest.fixture(scope="session")
def cluster_app():
    return application

@pytest.fixture
def client(cluster):
    return cluster.flask_client()

def test_flask(client, cluster):
    assert client.application is application
    assert client.get("/a").text == "GET /a"
    assert client.get("/a").worker is None
    assert client.post("/b", json={}).text == "POST /b"

def test_django(cluster):
    assert cluster.django_client().get("/a").content == b"GET /a"

def test_werkzeug(cluster_noproc):
    assert werkzeug.test.Client(cluster_noproc.wsgi_app).get("/a").text == "GET /a"
    assert cluster_noproc.flask_client().application is application
"""


@pytest.mark.slow
def test_test_clients_of_somebody_elses_server(pytester: pytest.Pytester, somebody_elses: str) -> None:
    """They need no more than its address; a suite whose fixture returns one runs without a change."""
    pytester.makepyfile(ADAPTORS)

    pytester.runpytest_subprocess(f"--cluster-url={somebody_elses}").assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("option", "outcome", "sentence"),
    [
        ("--cluster-app=site_:app", {"passed": 1}, "*1 passed*"),
        ("-q", {"failed": 1}, "*flask_client: which application? Say app='package.module:app' or use --cluster-app, *"),
    ],
)
def test_application_of_somebody_elses_server(
    pytester: pytest.Pytester, somebody_elses: str, option: str, outcome: dict[str, int], sentence: str
) -> None:
    """Named as for a cluster of one's own."""
    pytester.makepyfile(site_="import flask\napp = flask.Flask(__name__)")
    pytester.makepyfile("def test_it(cluster): assert cluster.flask_client().get('/a').text == 'GET /a'")

    result = pytester.runpytest_inprocess(f"--cluster-url={somebody_elses}", option)

    result.assert_outcomes(**outcome)
    result.stdout.fnmatch_lines([sentence])


def test_nobody_is_there(pytester: pytest.Pytester) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        pytester.makepyfile("def test_it(cluster): pass")
        result = pytester.runpytest_inprocess(f"--cluster-url=http://127.0.0.1:{bound.getsockname()[1]}")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["ClusterError: --cluster-url: nobody answers at http://127.0.0.1:*: *refused*"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:80",
        "ftp://x",
        "http://",
        "http://x/path",
        "http://x:99999",
        "http://u@x",
        "http://x:0",
        "http://[x",
    ],
)
def test_address_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected the address of a server, as http"):
        parse_server_url(text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://x", ServerURL("http", "x", 80)),
        (" https://x/ ", ServerURL("https", "x", 443)),
        ("http://[::1]:8000", ServerURL("http", "::1", 8000)),
    ],
)
def test_address(text: str, url: ServerURL) -> None:
    assert parse_server_url(text) == url
    assert parse_server_url(str(url)) == url


def test_url_and_comparison(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--cluster-url=http://x", "--cluster-compare")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --cluster-url cannot be used with --cluster-compare: *"])


@pytest.mark.slow
def test_services(pytester: pytest.Pytester) -> None:
    """They run for the whole run, and are gone after it."""
    pytester.makepyfile(
        """
        import os, socket

        def test_redis(cluster_redis):
            with socket.socket(socket.AF_UNIX) as one:
                one.connect(cluster_redis.path)
                one.sendall(b"SET a 1\\r\\n")
                assert one.recv(5) == b"+OK\\r\\n"
            assert cluster_redis.url == f"unix://{cluster_redis.path}?db=0"
            print(cluster_redis.pid, file=open("pids", "a"), flush=True)

        def test_postgresql(cluster_postgresql):
            assert cluster_postgresql.env["PGHOST"] == cluster_postgresql.path
            with socket.socket(socket.AF_UNIX) as one:
                one.connect(os.path.join(cluster_postgresql.path, ".s.PGSQL.5432"))
            print(cluster_postgresql.pid, file=open("pids", "a"), flush=True)
        """
    )

    result = pytester.runpytest_subprocess("-rs")

    outcomes = result.parseoutcomes()
    assert outcomes.get("passed", 0) + outcomes.get("skipped", 0) == 2
    pids = (pytester.path / "pids").read_text().split() if (pytester.path / "pids").exists() else []
    assert len(pids) == outcomes.get("passed", 0)
    assert not any(is_running(int(pid)) for pid in pids if os.path.exists(f"/proc/{pid}"))


@pytest.mark.parametrize("name", ["redis", "postgresql"])
def test_service_that_is_missing(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("PATH", str(pytester.path))
    monkeypatch.setattr(services, "DEBIAN_POSTGRESQL", str(pytester.path / "none"))
    pytester.makepyfile(f"def test_it(cluster_{name}): pass")

    result = pytester.runpytest_inprocess("-rs")

    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"SKIPPED * cluster_{name}: there is no * in PATH: install it (Debian: *"])


def test_service_that_does_not_come_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, with the last line of its log; nothing is left."""
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\necho one; echo no memory; exit 7\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    with (
        pytest.raises(ServiceError, match="redis: it ended with code 7; the end of its log: no memory"),
        services.redis(),
    ):
        pass
    assert [one.name for one in tmp_path.iterdir()] == ["redis-server"]


def test_preparation_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed, and nothing is left."""
    for name in ("initdb", "postgres"):
        (tmp_path / name).write_text("#!/bin/sh\nexec sleep 60\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(services, "START_SECONDS", 0.2)
    monkeypatch.setattr(services, "_owner", dict)

    with pytest.raises(ServiceError, match=r"postgresql: .*initdb.* timed out after 0\.2"), services.postgresql():
        pass
    assert sorted(one.name for one in tmp_path.iterdir()) == ["initdb", "postgres"]


def test_no_free_port(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """For nginx, and for a stock worker class, which cannot say where it listens."""

    def create_server(*_: object) -> socket.socket:
        raise OSError(errno.EADDRINUSE, "Address already in use")

    monkeypatch.setattr(socket, "create_server", create_server)
    monkeypatch.setattr(nginx, "program", lambda *_: "nginx")
    pytester.makepyfile(
        """
        import pytest

        def test_nginx(cluster_nginx): cluster_nginx("127.0.0.1:8000")

        @pytest.mark.cluster(app="any:app", worker_class="sync")
        def test_stock(cluster): pass
        """
    )

    result = pytester.runpytest_inprocess()

    result.assert_outcomes(failed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "the cluster has no address: there is no free port: [[]Errno 98] Address already in use",
            "*ServiceError: nginx: there is no free port: [[]Errno 98] Address already in use",
        ]
    )


def test_service_that_writes_without_end(tmp_path: Path) -> None:
    """Only the end of its log is read, as often as that is looked at."""
    seen: list[int] = []

    def is_ready(log: str) -> bool:
        seen.append(len(log))
        return log.endswith("ready\n")

    writes = "import time; print('x' * 300_000 + 'ready', flush=True); time.sleep(60)"
    guard.acquire()
    with services.running("service", [sys.executable, "-c", writes], str(tmp_path), is_ready) as pid:
        assert pid
    guard.drop()
    assert max(seen) == services.LOG_BYTES


def test_program_that_cannot_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgram, match="redis: there is no redis-server or valkey-server in PATH: install it"):
        services.program(["redis-server", "valkey-server"], [], "redis")


@pytest.mark.slow
def test_nginx(shop: pytest.Pytester) -> None:
    """Before one cluster and before several; what it refuses to start with is its own sentence; nothing is left."""
    shop.makepyfile(
        """
        import pytest
        from pytest_cluster.waiting import poll

        def test_before_one(cluster, cluster_nginx):
            front = cluster_nginx(cluster)
            answer = front.get("/")
            assert answer.ok and answer.worker in (1, 2)
            assert front.url.startswith("http://127.0.0.1:") and str(front.port) in repr(front)
            assert poll(lambda: "GET / HTTP/1.1" in front.access_log, 20)  # which nginx writes after the answer
            assert "start worker process" in front.log
            print(front.pid, file=open("pids", "a"), flush=True)

        def test_before_a_unix_socket_and_an_address(cluster, cluster_factory, cluster_nginx, tmp_path):
            other = cluster_factory(workers=1, settings={"bind": f"unix:{tmp_path}/s"})
            own = "location / { proxy_pass http://cluster; }"
            front = cluster_nginx(other, f"{cluster.host}:{cluster.port}", server=own)
            assert all(front.get("/").ok for _ in range(4))
            assert other.worker(1).requests_served >= 1

        def test_bad(cluster, cluster_nginx): cluster_nginx(cluster, server="nonsense;")
        def test_nothing(cluster_nginx): cluster_nginx()
        def test_wrong(cluster_nginx): cluster_nginx(3)
        """
    )

    result = shop.runpytest_subprocess("-rs")

    outcomes = result.parseoutcomes()
    result.stdout.fnmatch_lines(["*OptionError: cluster_nginx: expected one or more clusters that it stands before: *"])
    if outcomes.get("skipped"):
        result.stdout.fnmatch_lines(["SKIPPED * cluster_nginx: there is no nginx in PATH, *: install it (Debian: *"])
        return
    result.assert_outcomes(passed=2, failed=3)
    result.stdout.fnmatch_lines_random(
        [
            '*ServiceError: nginx: unknown directive "nonsense" in *',
            "*OptionError: cluster_nginx: expected clusters, or addresses as '127.0.0.1:8000' or the path *, got 3",
        ]
    )
    pid = (shop.path / "pids").read_text().strip()
    assert not os.path.exists(f"/proc/{pid}")


def test_what_somebody_else_runs(pytester: pytest.Pytester, somebody_elses: str) -> None:
    """By its URL; without one the test is skipped, and says which option to give; nobody there is an error."""
    pytester.makepyfile(
        """
        def test_cluster(cluster_noproc): assert cluster_noproc.get("/a").text == "GET /a"
        def test_redis(cluster_redis_noproc): assert cluster_redis_noproc.url.startswith("redis://127.0.0.1:")
        def test_postgresql(cluster_postgresql_noproc):
            assert cluster_postgresql_noproc.env["PGUSER"] == "ci"
            assert cluster_postgresql_noproc.env["PGDATABASE"] == "test"
        """
    )
    port = somebody_elses.rstrip("/").rpartition(":")[2]

    without = pytester.runpytest_inprocess("-rs")
    there = pytester.runpytest_inprocess(
        f"--cluster-url={somebody_elses}",
        f"--cluster-redis-url=redis://127.0.0.1:{port}/1",
        f"--cluster-postgresql-url=postgresql://ci:x@127.0.0.1:{port}/test",
    )
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        nobody = pytester.runpytest_inprocess(f"--cluster-redis-url=redis://127.0.0.1:{bound.getsockname()[1]}", "-rs")

    without.assert_outcomes(skipped=3)
    without.stdout.fnmatch_lines_random(
        [
            "SKIPPED * cluster_noproc: which server? Say --cluster-url=URL, *",
            "SKIPPED * cluster_redis_noproc: which one? Say --cluster-redis-url=URL, or use cluster_redis, *",
            "SKIPPED * cluster_postgresql_noproc: which one? Say --cluster-postgresql-url=URL, *",
        ]
    )
    there.assert_outcomes(passed=3)
    nobody.assert_outcomes(skipped=2, errors=1)
    nobody.stdout.fnmatch_lines(["*ServiceError: redis: nobody answers at redis://127.0.0.1:*: *refused*"])


@pytest.mark.parametrize(
    ("name", "url", "path"),
    [
        ("redis", "redis://127.0.0.1", ""),
        ("redis", "unix:///run/redis.sock?db=1", "/run/redis.sock"),
        ("postgresql", "postgresql://me@/name?host=/run/postgresql", "/run/postgresql"),
        ("postgresql", "postgres://me:p%40@db:5433/name", ""),
    ],
)
def test_url_of_a_service(name: str, url: str, path: str) -> None:
    assert parse_service_url(name, url).path == path


@pytest.mark.parametrize(
    ("name", "url"), [("redis", "127.0.0.1"), ("redis", "http://x"), ("postgresql", "redis://x:1")]
)
def test_url_of_no_service(pytester: pytest.Pytester, name: str, url: str) -> None:
    result = pytester.runpytest_inprocess(f"--cluster-{name}-url={url}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --cluster-{name}-url: expected {name}://*, not '{url}'"])
