"""Clusters among others: a server that somebody else runs, services, and what is said where they are missing."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pytest_cluster.errors import MissingProgram, ServiceError
from pytest_cluster.options.server_url import ServerURL, parse_server_url
from pytest_cluster.server import services
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


def test_program_that_cannot_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgram, match="redis: there is no redis-server or valkey-server in PATH: install it"):
        services._program(["redis-server", "valkey-server"], [], "redis")
