"""What a host gives to workers of threads, and with a loop: sockets of systemd, USR2, preload, HTTP/2, PROXY."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import gunicorn
import pytest
from h2_client import body_of, fetch, h2, opened
from kinds import THREAD_WORKER
from raw_http import APPS, CLOSE, GET, GUNICORN, Certificate, exchange, normalised, serving, until
from remote_control import CONF, said, wait, wait_logged, wait_said

from pytest_cluster import Cluster, ClusterFactory

NEEDS_ASGI: Final = pytest.mark.skipif(gunicorn.version_info < (27, 0, 1), reason="ASGIWorker needs gunicorn 27.0.1")
HOSTED: Final = [
    pytest.param(THREAD_WORKER, "pid_echo:app", id="threads"),
    pytest.param("nodecluster_compat.ASGIWorker", "asgi_app:app", id="asgi", marks=NEEDS_ASGI),
]
THREADS: Final[dict[str, Any]] = {"app": "threads_app:app", "config": CONF, "worker_class": THREAD_WORKER, "workers": 1}


@pytest.mark.slow
@pytest.mark.parametrize(("worker_class", "app"), HOSTED)
def test_service_of_systemd(tmp_path: Path, worker_class: str, app: str) -> None:
    """The socket is the manager's, which hears when somebody serves on it, and that it stops."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(20)
    bound = socket.create_server(("127.0.0.1", 0))
    start = (
        "import os, sys; os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); "
        f"os.dup2({bound.fileno()}, 3); os.set_inheritable(3, True); os.execv(sys.argv[1], sys.argv[1:])"
    )
    environ = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "PYTHONPATH": str(APPS)}
    command = [sys.executable, "-c", start, GUNICORN, "-k", worker_class, "-w", "2", app]
    with serving(tmp_path, command, env=environ, pass_fds=[bound.fileno()]) as server:
        told = ""
        while "READY=1" not in told:
            told += manager.recv(4096).decode()
        answer = exchange(socket.create_connection(bound.getsockname(), 20), GET % (b"/pid", CLOSE), silence=20)
        assert answer.startswith(b"HTTP/1.1 200")
        server.process.send_signal(signal.SIGTERM)
        while "STOPPING=1" not in told:
            told += manager.recv(4096).decode()
        assert server.process.wait(20) == 0
    with socket.create_connection(bound.getsockname(), 20):  # the manager still listens
        pass
    manager.close()
    bound.close()


def uwsgi_request(**variables: str) -> bytes:
    """A request as nginx sends it by ``uwsgi_pass``."""
    words = [word.encode() for pair in variables.items() for word in pair]
    body = b"".join(len(word).to_bytes(2, "little") + word for word in words)
    return b"\0" + len(body).to_bytes(2, "little") + b"\0" + body


@NEEDS_ASGI
def whole_answer(client: socket.socket, request: bytes) -> bytes:
    """What comes, as long as its head says; the connection stays."""
    answer, length = b"", None
    with client:
        client.sendall(request)
        while length is None or len(answer) - answer.index(b"\r\n\r\n") - 4 < int(length[1]):
            data = client.recv(65536)
            assert data, answer
            answer += data
            head, end, _ = answer.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head) if end else None
    return answer


@pytest.mark.slow
def test_asgi_speaks_uwsgi_as_the_stock_worker(tmp_path: Path) -> None:
    """To a proxy of that protocol: the same answer."""
    request = uwsgi_request(REQUEST_METHOD="GET", PATH_INFO="/u", QUERY_STRING="a=1", HTTP_HOST="example.test")
    answers = []
    for worker_class in ("asgi", "nodecluster_compat.ASGIWorker"):
        folder = tmp_path / worker_class
        folder.mkdir()
        command = [GUNICORN, "-k", worker_class, "-b", "127.0.0.1:0", "--protocol", "uwsgi", "asgi_parity:app"]
        with serving(folder, command, env={**os.environ, "PYTHONPATH": str(APPS)}) as server:
            until(lambda server=server: "Booting worker" in server.log, "a worker")
            port = int(server.log.partition("http://127.0.0.1:")[2].split()[0])
            client = socket.create_connection(("127.0.0.1", port), 20)
            answers.append(normalised(whole_answer(client, request)))
    stock, ours = answers
    assert ours.startswith(b"HTTP/1.1 200")
    assert b'"/u"' in ours
    assert ours == stock


def libraries_of(pid: int) -> set[str]:
    """Which of these a process has loaded."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return {name for name in ("/gevent/", "/greenlet/") if name in maps}


MODULES: Final = CONF + "import sys\ndef heavy():\n    return sorted({'gevent', 'greenlet'} & set(sys.modules))\n"


@pytest.mark.table(quick=["threads"])
@pytest.mark.parametrize(("worker_class", "app"), HOSTED)
def test_gevent_is_in_neither_process(cluster_factory: ClusterFactory, worker_class: str, app: str) -> None:
    """Neither imported nor loaded, after requests and a reload; threads and sockets are Python's own."""
    cluster = cluster_factory(app=app, worker_class=worker_class, config=MODULES, workers=1, fork_server=False)
    assert cluster.get("/").status == 200
    assert cluster.reload().succeeded
    assert cluster.get("/").status == 200
    (worker,) = cluster.wait_listening(1)
    assert worker.run("builtins:eval", "sorted({'gevent', 'greenlet'} & set(__import__('sys').modules))") == []
    assert worker.run("builtins:eval", "__import__('threading').Thread.__module__") == "threading"
    assert cluster.primary.run("__config__:heavy") == []
    assert libraries_of(worker.pid) == libraries_of(cluster.primary.pid) == set()


def test_gevent_is_found_where_it_is(cluster_factory: ClusterFactory) -> None:
    """So that the test above can fail."""
    cluster = cluster_factory(app="pid_echo:app", workers=1, fork_server=False)
    assert libraries_of(cluster.worker(1).pid) == {"/gevent/", "/greenlet/"}


@pytest.mark.table(quick=["boot-threads", "ready-asgi", "listening-threads"])
@pytest.mark.parametrize(("worker_class", "app"), HOSTED)
@pytest.mark.parametrize("step", ["boot", "ready", "listening"])
def test_failpoints_hold_a_worker_that_boots(
    cluster_factory: ClusterFactory, worker_class: str, app: str, step: str
) -> None:
    """Until it is let go; its only thread hears that. The one before it serves meanwhile."""
    cluster = cluster_factory(app=app, worker_class=worker_class, workers=1)
    with cluster.faults.hold(step, worker=2) as gate, ThreadPoolExecutor(1) as thread:
        report = thread.submit(cluster.reload)
        gate.wait_reached()
        if step != "listening":  # the old one leaves as soon as that is said
            assert cluster.get("/").worker == 1
        gate.release()
        assert report.result(60).succeeded
    assert cluster.get("/").worker == 2


# --- threads -------------------------------------------------------------------------------------


def with_http2(certificate: Certificate, **more: Any) -> dict[str, Any]:
    tls = {"keyfile": certificate.key, "certfile": certificate.cert, "http_protocols": "h2,h1"}
    return {**tls, "threads": 2, **more}


@pytest.mark.skipif(gunicorn.version_info < (25,), reason="gunicorn speaks HTTP/2 from 25.0 on")
def test_threads_speak_http2_by_alpn(cluster_factory: ClusterFactory, certificate: Certificate) -> None:
    """Several streams on one connection; one client speaks HTTP/1 to the same port."""
    cluster = cluster_factory(**THREADS, settings=with_http2(certificate))
    with h2(cluster) as client:
        assert client.selected_alpn_protocol() == "h2"
        answers = fetch(client, "/", "/thread", "/environ")
    assert [one.status for one in answers] == [200] * 3
    assert json.loads(answers[1].body).startswith("request-")
    assert json.loads(answers[2].body)["wsgi.url_scheme"] == "https"
    assert cluster.get("/").json() == 1
    wait(lambda: cluster.worker(1).requests_served == 4, "four requests that are done", cluster)


@pytest.mark.skipif(gunicorn.version_info < (25,), reason="gunicorn speaks HTTP/2 from 25.0 on")
def test_stream_of_http2_on_threads_is_answered_in_a_drain(
    cluster_factory: ClusterFactory, certificate: Certificate
) -> None:
    """Its worker waits for it, and for the client to close the connection: then it ends before the limit."""
    cluster = cluster_factory(**THREADS, settings=with_http2(certificate, graceful_timeout=60))
    with h2(cluster) as client:
        connection = opened(client, "/hold")
        wait(lambda: "in hold" in cluster.worker(1).stacks(), "the request", cluster)
        cluster.primary.signal("SIGHUP")
        cluster.journal.wait_for("listening", worker=2)
        cluster.worker(1).run("threads_app:GATE.set")
        assert body_of(client, connection) == b"1"
    assert cluster.journal.wait_for("exit", worker=1).code == 0
    assert "graceful timeout" not in cluster.log


@pytest.mark.skipif(gunicorn.version_info < (25,), reason="gunicorn speaks HTTP/2 from 25.0 on")
def test_connection_of_http2_on_threads_ends_at_the_limit_of_a_drain(
    cluster_factory: ClusterFactory, certificate: Certificate
) -> None:
    """A client that keeps it holds up nobody for longer, and nobody knows that it asks for nothing."""
    cluster = cluster_factory(**THREADS, settings=with_http2(certificate, graceful_timeout=1))
    with h2(cluster) as client:
        assert body_of(client, opened(client, "/")) == b"1"
        cluster.primary.signal("SIGHUP")
        cluster.journal.wait_for("exit", worker=1)
        with contextlib.suppress(ConnectionResetError):
            while client.recv(65536):
                pass
    assert cluster.get("/").json() == 2


@pytest.mark.cluster(
    **THREADS, preload=True, settings={"proxy_protocol": True, "proxy_allow_ips": "127.0.0.1", "threads": 2}
)
def test_threads_behind_a_proxy_with_a_preloaded_application(cluster: Cluster) -> None:
    """The client is the one that the proxy names; what the application has registered before the fork is told."""
    head = b"PROXY TCP4 203.0.113.7 203.0.113.8 4321 80\r\n"
    answer = exchange(cluster.connect(timeout=20), head + GET % (b"/environ", CLOSE))
    told = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (told["REMOTE_ADDR"], told["REMOTE_PORT"]) == ("203.0.113.7", "4321")
    assert cluster.reload().succeeded
    assert cluster.get("/").json() == 2


@pytest.mark.cluster(**THREADS, settings={"bind": "unix:threads.sock", "pidfile": "server.pid", "threads": 2})
def test_threads_are_upgraded_on_a_unix_socket(cluster: Cluster) -> None:
    """A second master serves with the same socket; the first one can go."""
    assert cluster.get("/environ").json()["REMOTE_ADDR"] == ""
    old = cluster.worker(1).pid
    cluster.primary.signal("SIGUSR2")
    wait(lambda: "is ready. TERM to this one completes the upgrade" in cluster.log, "the new master", cluster)
    master = int((Path(f"/proc/{cluster.primary.pid}/cwd") / "server.pid.2").read_text())
    os.kill(cluster.primary.pid, signal.SIGTERM)
    cluster.journal.wait_for("exit", predicate=lambda entry: entry.pid == old)
    assert cluster.get("/").json() == 1
    os.kill(master, signal.SIGTERM)
    until(lambda: not os.path.exists(f"/proc/{master}"), "the end of the new master")


# --- handlers that do not end --------------------------------------------------------------------


ENDLESS: Final = """
import asyncio
from nodecluster_compat import process

@process.on("message")
async def never_ends(message):
    print('{"told": "message"}', flush=True)
    await asyncio.Event().wait()

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print('{"told": "shutdown"}', flush=True)
        await asyncio.Event().wait()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
"""


@NEEDS_ASGI
def test_handler_and_lifespan_that_never_end_hold_up_nothing_beyond_the_limit(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    """Later messages wait for the handler; requests do not. An application has a second to end, behind the drain."""
    (tmp_path / "endless.py").write_text(ENDLESS)
    cluster = cluster_factory(
        app="endless:app",
        config=CONF + "graceful_timeout = 1\n",
        worker_class="nodecluster_compat.ASGIWorker",
        workers=1,
        settings={"pythonpath": str(tmp_path)},
    )
    for number in range(2):
        source = f"from nodecluster_compat import cluster; cluster.workers[1].send({number})"
        cluster.primary.run("builtins:exec", source)
    wait_said(cluster, told="message")
    assert cluster.get("/").text == "ok"
    assert len(said(cluster, told="message")) == 1
    assert cluster.stop() == 0
    assert said(cluster, told="shutdown")
    wait_logged(cluster, "The application has not ended within 1.0 s (ASGI lifespan)")
    assert "killed" not in cluster.log


NEVER: Final = """
import asyncio, threading

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    print('{"told": "never"}', flush=True)
    await asyncio.to_thread(threading.Event().wait)
"""


@NEEDS_ASGI
def test_thread_of_an_endpoint_that_never_ends_holds_up_nothing_beyond_the_limit(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    """Python waits for it behind the drain, and the primary does not: the worker is killed, and the server ends."""
    (tmp_path / "never.py").write_text(NEVER)
    cluster = cluster_factory(
        app="never:app",
        config=CONF.replace("graceful_timeout = 8\n", "graceful_timeout = 1\n"),
        worker_class="nodecluster_compat.ASGIWorker",
        workers=1,
        settings={"pythonpath": str(tmp_path)},
    )
    with cluster.connect(timeout=30) as client:
        client.sendall(GET % (b"/", b""))
        wait_said(cluster, told="never")
        assert cluster.stop() == 0
        assert client.recv(1) == b""
    wait_logged(cluster, "cut 1 connections that had not ended within 1 s")
    assert cluster.journal.wait_for("exit", worker=1).signal == "SIGKILL"


CANCELLING: Final = """
import asyncio
from nodecluster_compat import process

@process.on("message")
async def hears(message):
    await cancel_all()
    print('{"told": "message"}', flush=True)

async def cancel_all():
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for what in ("startup", "shutdown"):
            await receive()
            await cancel_all()
            print('{"told": "%s"}' % what, flush=True)
            await send({"type": f"lifespan.{what}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
"""


@NEEDS_ASGI
def test_application_that_cancels_every_task_it_finds_ends_no_worker(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    """Neither at its start, nor in a handler, nor where it ends."""
    (tmp_path / "cancelling.py").write_text(CANCELLING)
    cluster = cluster_factory(
        app="cancelling:app",
        config=CONF,
        worker_class="nodecluster_compat.ASGIWorker",
        workers=1,
        settings={"pythonpath": str(tmp_path)},
    )
    for number in range(2):
        source = f"from nodecluster_compat import cluster; cluster.workers[1].send({number})"
        cluster.primary.run("builtins:exec", source)
    wait(lambda: len(said(cluster, told="message")) == 2, "both messages", cluster)
    assert cluster.get("/").text == "ok"
    assert cluster.stop() == 0
    assert [line["told"] for line in said(cluster) if "told" in line] == ["startup", "message", "message", "shutdown"]
    assert "Traceback" not in cluster.log
