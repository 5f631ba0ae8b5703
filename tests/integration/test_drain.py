"""How a worker leaves: who keeps its time, who may finish, who is told, and what happens to the rest."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
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
    get_last_answer,
    leave,
    primary,
    release,
)
from kinds import every_wsgi_kind
from programs import run_program
from raw_http import GET, Certificate, rest_of
from remote_control import CONF, said, wait, wait_logged, wait_said
from simple_websocket import ConnectionClosed
from stage import PRELUDE, Play
from websocket_client import WebSocketClient

from pytest_cluster import Cluster, ClusterFactory

DRAINING: Final[dict[str, Any]] = {"app": "draining:app", "config": LONG}


def ask(client: socket.socket, path: bytes = b"/", more: bytes = b"") -> bytes:
    """One request on a connection; what arrives first."""
    client.sendall(GET % (path, more))
    return client.recv(65536)


def websocket(cluster: Cluster, path: str) -> WebSocketClient:
    """A websocket over which one message has come back."""
    one = WebSocketClient.connect(f"ws://{cluster.host}:{cluster.port}{path}")
    one.send("hello")
    assert one.receive(timeout=20) == "hello"
    return one


@pytest.mark.table(quick=["cluster.worker.disconnect-threads", "HUP-gevent"])
@every_wsgi_kind
@pytest.mark.cluster(**DRAINING, workers=1)
@pytest.mark.parametrize("way", WAYS)
def test_idle_keeps_its_time_when_a_worker_leaves(cluster: Cluster, way: Callable[[Cluster], object]) -> None:
    """D14: where the server goes on, each connection has one more answer, and nobody waits for that."""
    check_idle_keeps_its_time(cluster, way)


@pytest.mark.table(quick=["cluster.disconnect-gevent", "TERM-threads"])
@every_wsgi_kind
@pytest.mark.cluster(**DRAINING, workers=1)
@pytest.mark.parametrize("end", ENDS)
def test_idle_goes_at_once_when_the_server_ends(cluster: Cluster, end: Callable[[Cluster], object]) -> None:
    """No time-out is near, and a request that began before is the last of its connection."""
    check_idle_goes_at_once(cluster, end)


@pytest.mark.cluster(**DRAINING, workers=1)
def test_end_of_the_server_closes_what_a_drain_had_kept(cluster: Cluster) -> None:
    """A worker that drains since a reload hears of it, too."""
    with cluster.connect(timeout=30) as idle:
        assert b"Connection: keep-alive" in ask(idle)
        cluster.primary.signal("SIGHUP")
        wait_said(cluster, told="process")
        cluster.primary.signal("SIGTERM")
        assert idle.recv(65536) == b""
        cluster.journal.wait_for("exit", worker=1)
    assert "graceful timeout" not in cluster.log


@pytest.mark.cluster(**DRAINING, workers=2)
def test_one_worker_less_ends_its_own_connections(cluster: Cluster) -> None:
    """TTOU: the next answer is the last one for those of the worker that leaves, and for no others."""
    with cluster.connect(timeout=30) as first, cluster.connect(timeout=30) as second:
        for client in (first, second):
            assert ask(client).startswith(ANSWER)
        cluster.primary.signal("SIGTTOU")
        wait_said(cluster, told="process")
        answers = [ask(client) for client in (first, second)]
        assert all(answer.startswith(ANSWER) for answer in answers)
        assert sorted(b"Connection: close" in answer for answer in answers) == [False, True]
        cluster.journal.wait_for("exit")


@pytest.mark.table(quick=["none"])
@pytest.mark.parametrize("policy", ["rr", "none"])
def test_max_requests_keeps_idle_connections(cluster_factory: ClusterFactory, policy: str) -> None:
    """The worker leaves by its own wish; ``disconnecting`` is told then, too."""
    settings = {"max_requests": 2}
    cluster = cluster_factory(**DRAINING, workers=1, settings=settings, env={"NODE_CLUSTER_SCHED_POLICY": policy})
    with cluster.connect(timeout=30) as idle:
        assert b"Connection: keep-alive" in ask(idle)
        with cluster.connect(timeout=30) as other:
            get_last_answer(other)
        cluster.journal.wait_for("listening", worker=2)
        get_last_answer(idle)
    assert cluster.journal.wait_for("exit", worker=1).exited_after_disconnect is True
    wait_said(cluster, told="worker", seconds=120)


@pytest.mark.table(quick=["a part"])
@pytest.mark.cluster(**DRAINING, workers=1)
@pytest.mark.parametrize("sent", [b"", PARTS[0]], ids=["nothing", "a part"])
def test_request_that_has_only_begun_is_answered(cluster: Cluster, sent: bytes) -> None:
    """A connection whose first request has not come, or not whole, is not idle."""
    check_begun_request_is_answered(cluster, sent)


@pytest.mark.cluster(**DRAINING, workers=1)
def test_second_request_of_which_a_part_has_come_is_answered(cluster: Cluster) -> None:
    """The same on a connection that was kept alive."""
    check_begun_request_is_answered(cluster, PARTS[0], asked=True)


@pytest.mark.table(quick=["threads"])
@every_wsgi_kind
@pytest.mark.cluster(**DRAINING, workers=1, settings={"max_requests": 2})
def test_connection_whose_answer_was_under_way_has_one_more(cluster: Cluster) -> None:
    """The head of a stream said keep-alive, before anybody knew that the worker would leave."""
    with cluster.connect(timeout=30) as client:
        assert b"Connection: keep-alive" in ask(client, b"/stream")
        assert cluster.get("/").status == 200
        wait_said(cluster, told="process")
        release(cluster)
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += client.recv(65536)
        get_last_answer(client)
    cluster.journal.wait_for("exit", worker=1)


@pytest.mark.table(quick=["fed"])
@pytest.mark.parametrize("policy", TO_THE_POLICY)
def test_answer_that_max_requests_overtakes_keeps_its_connection(
    cluster_factory: ClusterFactory, policy: dict[str, Any]
) -> None:
    """As gunicorn's own tests have it: only requests that begin after the last one are told to close."""
    cluster = cluster_factory(**DRAINING, workers=1, settings={"max_requests": 2}, **policy)
    with cluster.connect(timeout=30) as slow, cluster.connect(timeout=30) as other:
        slow.sendall(GET % (b"/held", b""))
        wait_said(cluster, told="held")
        get_last_answer(other)
        wait_said(cluster, told="process")
        release(cluster)
        assert b"Connection: keep-alive" in slow.recv(65536)
        get_last_answer(slow)
    cluster.journal.wait_for("exit", worker=1)


QUICK: Final = CONF.replace(LIMIT, "graceful_timeout = 120\nkeepalive = 1\n")


@pytest.mark.table(quick=["new-threads", "kept alive-gevent"])
@every_wsgi_kind
@pytest.mark.cluster(app="draining:app", config=QUICK, workers=1)
@pytest.mark.parametrize("asks", [True, False], ids=["kept alive", "new"])
def test_idle_connection_ends_with_keepalive_and_not_before(cluster: Cluster, asks: bool) -> None:
    """The drain is over then; a client that has not asked yet has as long, as with gunicorn's own worker."""
    check_idle_ends_with_keepalive(cluster, asks=asks)


@pytest.mark.cluster(**DRAINING, workers=1)
def test_idle_connection_ends_with_the_limit_of_the_drain(cluster: Cluster) -> None:
    """It is over before ``keepalive``; nothing was cut, so nothing is said."""
    with cluster.connect(timeout=30) as idle:
        assert b"Connection: keep-alive" in ask(idle)
        primary("cluster.workers[1].disconnect(timeout=0.5)")(cluster)
        assert idle.recv(65536) == b""
    cluster.journal.wait_for("exit", worker=1)
    assert "graceful timeout" not in cluster.log


@pytest.mark.cluster(**DRAINING, workers=1)
def test_stream_finishes_and_then_its_connection_ends_with_the_server(cluster: Cluster) -> None:
    """Its head said keep-alive, before anybody knew: the connection still does not wait for a next request."""
    with cluster.connect(timeout=30) as client:
        assert b"Connection: keep-alive" in ask(client, b"/stream")
        cluster.primary.signal("SIGTERM")
        wait_said(cluster, told="process")
        release(cluster)
        assert rest_of(client).endswith(b"last\n\r\n0\r\n\r\n")
    cluster.journal.wait_for("exit", worker=1)


@pytest.mark.table(quick=["gevent"])
@every_wsgi_kind
@pytest.mark.cluster(**DRAINING, workers=1)
def test_application_says_goodbye_to_websockets(cluster: Cluster) -> None:
    """``disconnecting`` comes when the drain begins; the client is told why, and the worker ends without a cut."""
    one = websocket(cluster, "/socket")
    cluster.primary.signal("SIGHUP")
    with pytest.raises(ConnectionClosed) as closed:
        one.receive(timeout=30)
    assert (closed.value.reason, closed.value.message) == (1001, "going away")
    cluster.journal.wait_for("exit", worker=1)
    assert [one["told"] for one in said(cluster) if one.get("seconds") == 120] == ["worker", "process"]
    assert "graceful timeout" not in cluster.log


LIMITED: Final = [
    pytest.param(primary("cluster.workers[1].disconnect(timeout=0.3)"), 0.3, id="worker.disconnect"),
    pytest.param(leave(timeout=0), 0, id="cluster.worker.disconnect"),
    pytest.param(primary("cluster.disconnect(timeout=0.3)"), 0.3, id="cluster.disconnect"),
]


@pytest.mark.table(quick=["worker.disconnect-accepting", "cluster.worker.disconnect-fed", "cluster.disconnect-fed"])
@pytest.mark.parametrize("policy", TO_THE_POLICY)
@pytest.mark.parametrize(("way", "seconds"), LIMITED)
def test_what_has_not_ended_at_the_limit_is_cut_and_counted(
    cluster_factory: ClusterFactory, policy: dict[str, Any], way: Callable[[Cluster], object], seconds: float
) -> None:
    """The limit of this drain instead of ``graceful_timeout``; one line says how many, ``finally`` blocks run."""
    cluster = cluster_factory(**DRAINING, workers=1, **policy)
    with cluster.connect(timeout=30) as first, cluster.connect(timeout=30) as second:
        for client in (first, second):
            assert ask(client, b"/stream-forever").startswith(ANSWER)
        deaf = websocket(cluster, "/deaf")
        way(cluster)
        for client in (first, second):
            assert not rest_of(client).endswith(b"0\r\n\r\n")
        with pytest.raises(ConnectionClosed):
            deaf.receive(timeout=30)
        ended = cluster.journal.wait_for("exit", worker=1)
    assert (ended.code, ended.exited_after_disconnect) == (0, True)
    wait_said(cluster, told="process", seconds=seconds)
    assert len(said(cluster, told="cut")) == 2
    (line,) = [line for line in cluster.log.splitlines() if "graceful timeout" in line]
    assert line.endswith(f"cut 3 connections that had not ended within {seconds:g} s")
    assert "Traceback" not in cluster.log


@pytest.mark.table(quick=["gevent"])
@every_wsgi_kind
@pytest.mark.cluster(**{**DRAINING, "config": CONF.replace(LIMIT, "graceful_timeout = 3\n")}, workers=1)
def test_end_of_the_server_counts_what_it_cuts(cluster: Cluster) -> None:
    """TERM of the master: the worker has the time to say it before it would be killed."""
    with cluster.connect(timeout=30) as client:
        assert ask(client, b"/stream-forever").startswith(ANSWER)
        assert cluster.stop() == 0
    wait_logged(cluster, "cut 1 connections that had not ended within 3 s")
    assert "SIGKILL" not in cluster.log


@pytest.mark.table(quick=["gevent"])
@every_wsgi_kind
@pytest.mark.cluster(**DRAINING, workers=1, env={"NODE_CLUSTER_SCHED_POLICY": "none"})
def test_worker_that_accepts_for_itself_drains_alike(cluster: Cluster) -> None:
    """Idle ones keep their time, those in flight finish and say so, the application is told."""
    with cluster.connect(timeout=30) as idle, cluster.connect(timeout=30) as busy:
        assert b"Connection: keep-alive" in ask(idle)
        busy.sendall(GET % (b"/held", b""))
        wait_said(cluster, told="held")
        cluster.primary.signal("SIGHUP")
        wait_said(cluster, told="process", seconds=120)
        release(cluster)
        assert b"Connection: close" in rest_of(busy)
        get_last_answer(idle)
    cluster.journal.wait_for("exit", worker=1)


def test_idle_connection_over_tls(cluster_factory: ClusterFactory, certificate: Certificate) -> None:
    """As at its time-out, without an alert, when the server ends; it is answered when only its worker does."""
    files = {"keyfile": certificate.key, "certfile": certificate.cert}
    check_idle_over_tls(cluster_factory(**DRAINING, workers=1, settings=files))


@pytest.mark.table(quick=["-1", "float('nan')"])
@pytest.mark.cluster(**DRAINING, workers=1)
@pytest.mark.parametrize("given", ["-1", "True", "'5'", "float('nan')"])
def test_timeout_that_cannot_be_is_refused(cluster: Cluster, given: str) -> None:
    """A sentence, and nothing has happened."""
    for call in (f"cluster.workers[1].disconnect(timeout={given})", f"cluster.disconnect(timeout={given})"):
        primary(call)(cluster)
    wait(lambda: cluster.log.count("ArgumentError: expected timeout to be a number of seconds") == 2, "both", cluster)
    assert cluster.worker(1).state == "listening"


# --- script mode ---------------------------------------------------------------------------------

HEAD: Final = """
import time
from nodecluster_compat import cluster, http, net, process

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

def get(client, connection="keep-alive"):
    client.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    return f"Connection: {connection}".encode() in client.recv(65536)
"""


IDLE: Final = """
if cluster.is_primary:
    watch("exit")
    w = watch_worker(cluster.fork())
    cluster.on("listening", lambda _, a: client.append(socket.create_connection(("127.0.0.1", a.port), 30)))
    cluster.on("listening", lambda _, a: threading.Thread(target=visit).start())
    client = []

    def visit():
        trace("kept", get(client[0]))
        cluster.call_soon_threadsafe(w.disconnect)
        trace("end", client[0].recv(10) == b"")
        client[0].close()
else:
    process.on("disconnecting", lambda seconds: trace("disconnecting", seconds))
    http.create_server(app).listen(0, "127.0.0.1")
"""


def test_script_has_no_limit_and_closes_what_is_idle(play: Play) -> None:
    """As Node: idle connections end with the server; the drain itself takes as long as it takes."""
    trace = play("import threading" + HEAD + IDLE, GUNICORN_CMD_ARGS="--keep-alive 300")
    assert trace["P"] == ["kept true", "end true"]
    assert trace["W1"] == ["disconnecting -"]
    assert trace["P1"][-1] == "cluster exit 0 -"


CUT: Final = """
if cluster.is_primary:
    watch("exit")
    w = watch_worker(cluster.fork())
    clients = []
    ports = set()

    @cluster.on("listening")
    def _(worker, address):
        clients.append(socket.create_connection(("127.0.0.1", address.port), 30))
        clients[-1].sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")

    @w.on("message")
    def _(message, handle):
        ports.add(message)
        if len(ports) == 2:
            HOW
else:
    def slow(environ, start_response):
        process.send("http")
        time.sleep(60)

    def talk(sock, peer):
        process.send("net")
        while True:
            time.sleep(60)

    process.on("message", lambda message, handle: cluster.worker.disconnect(timeout=0.2))
    http.create_server(slow).listen(0, "127.0.0.1")
    net.create_server(talk).listen(0, "127.0.0.1")
    process.on("disconnecting", lambda seconds: trace("disconnecting", seconds))
"""


@pytest.mark.table(quick=["w.disconnect(timeout=0.2)"])
@pytest.mark.parametrize("how", ["w.disconnect(timeout=0.2)", "cluster.disconnect(timeout=0.2)", "w.send('leave')"])
def test_script_cuts_at_the_limit_that_it_was_given(tmp_path: Path, how: str) -> None:
    """Connections of every server, counted in one line."""
    program = tmp_path / "program.py"
    program.write_text("from prelude import *\nimport socket" + HEAD + CUT.replace("HOW", how))
    done = run_program(
        [sys.executable, "-m", "nodecluster_compat", str(program)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PRELUDE)},
    )
    assert done.returncode == 0
    assert "W1 disconnecting 0.2" in done.stdout
    assert done.stdout.splitlines()[-1] == "P1 cluster exit 0 -"
    (line,) = done.stderr.splitlines()
    assert line.endswith("cut 2 connections that had not ended within 0.2 s")


HALF: Final = [
    PARTS[0],
    b"POST /leave HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345",
    b"POST /leave HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123",
]


@pytest.mark.table(quick=["HUP-threads", "TERM-gevent"])
@every_wsgi_kind
@pytest.mark.cluster(app="draining:app", config=CONF.replace(LIMIT, "graceful_timeout = 1\n"), workers=1)
@pytest.mark.parametrize("way", [WAYS[2], ENDS[1]])
def test_half_sent_requests_that_are_cut_are_one_line(cluster: Cluster, way: Callable[[Cluster], object]) -> None:
    """Whatever part of it has come: nothing has failed."""
    with ExitStack() as stack:
        clients = [stack.enter_context(cluster.connect(timeout=30)) for _ in HALF]
        for client, part in zip(clients, HALF, strict=True):
            client.sendall(part)
        assert cluster.get("/").status == 200  # dealt after them, so they have arrived
        way(cluster)
        assert [rest_of(client) for client in clients] == [b""] * len(HALF)
    cluster.journal.wait_for("exit", worker=1)
    wait_logged(cluster, "cut 3 connections")
    assert "Traceback" not in cluster.log


OWN_HANDLER: Final = LONG + (
    "import signal\n"
    "def on_term(number, frame):\n    say(told='own')\n"
    "def post_worker_init(worker):\n    signal.signal(signal.SIGTERM, on_term)\n"
)


@pytest.mark.table(quick=["HUP"])
@pytest.mark.cluster(app="draining:app", config=OWN_HANDLER, workers=1)
@pytest.mark.parametrize("way", [WAYS[2], ENDS[1]])
def test_worker_whose_sigterm_is_handled_by_the_application_drains(
    cluster: Cluster, way: Callable[[Cluster], object]
) -> None:
    """It is asked over its channel as well; and it was warned, once for all workers."""
    cluster.primary.signal("SIGTTIN")
    cluster.wait_listening(2)
    warned = "replaced signal handlers of the worker: SIGTERM (__config__.on_term)"
    assert cluster.log.count(warned) == 1
    cluster.primary.signal("SIGTTOU")
    cluster.journal.wait_for("exit", worker=1)
    with cluster.connect(timeout=30) as client:
        client.sendall(GET % (b"/held", b""))
        wait_said(cluster, told="held")
        way(cluster)
        wait_said(cluster, 2, told="own")
        wait_said(cluster, 2, told="process")
        release(cluster)
        assert rest_of(client).startswith(ANSWER)
    cluster.journal.wait_for("exit", worker=2)
    assert "did not end" not in cluster.log
