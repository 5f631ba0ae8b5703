"""Workers of threads: who gets a thread, who waits for one, what is told of it, and how such a worker ends."""

from __future__ import annotations

import json
import socket
import ssl
from collections import Counter, defaultdict
from contextlib import ExitStack
from itertools import groupby
from typing import Any, Final

import gunicorn
import pytest
from kinds import THREAD_WORKER
from raw_http import CLOSE, GET, Certificate, rest_of
from remote_control import CONF, said, wait, wait_logged

from pytest_cluster import Cluster, ClusterFactory, StartError

TOLD: Final = (
    CONF
    + """
import sys
got = []
def heavy():
    return sorted({'gevent', 'greenlet', 'asyncio'} & set(sys.modules))
def health():
    return [worker.health for worker in cluster.status.workers]
"""
)
THREADS: Final[dict[str, Any]] = {"app": "threads_app:app", "config": TOLD, "worker_class": THREAD_WORKER}
HOLD: Final = GET % (b"/hold", CLOSE)
ONE: Final = {"threads": 1}


def asked(cluster: Cluster, stack: ExitStack, request: bytes = HOLD) -> socket.socket:
    """Ask, on a connection of its own, and wait for no answer."""
    client = stack.enter_context(cluster.connect(timeout=30))
    client.sendall(request)
    return client


def body_of(answer: bytes) -> Any:
    """The JSON behind the head."""
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def open_gates(cluster: Cluster) -> None:
    """Let the requests go on that are held."""
    for worker in cluster.workers:
        worker.run("threads_app:GATE.set")


def busy(cluster: Cluster, worker: int = 1) -> int:
    """How many threads are in a request that is held."""
    return int(cluster.worker(worker).run("threads_app:count_of_held"))


@pytest.mark.cluster(**THREADS, workers=1)
def test_nothing_is_patched_and_gevent_is_in_neither_process(cluster: Cluster) -> None:
    """A primary of such workers is smaller by that."""
    assert cluster.worker(1).run("threads_app:heavy") == []
    assert cluster.primary.run("__config__:heavy") == []
    assert cluster.get("/thread").json().startswith("request-")


# --- who gets a thread ---------------------------------------------------------------------------


@pytest.mark.cluster(**THREADS, workers=3, settings={"threads": 10})
def test_connections_at_once_are_spread_evenly(cluster: Cluster) -> None:
    """Thirty over three workers with ten threads: ten each, whatever the machine has to do meanwhile."""
    with ExitStack() as stack:
        clients = [asked(cluster, stack) for _ in range(30)]
        wait(lambda: sum(busy(cluster, number) for number in (1, 2, 3)) == 30, "thirty requests", cluster)
        open_gates(cluster)
        counts = Counter(body_of(rest_of(client)) for client in clients)
    assert counts == {1: 10, 2: 10, 3: 10}


@pytest.mark.cluster(**THREADS, workers=4, settings=ONE)
def test_nobody_waits_behind_a_slow_request_while_a_thread_is_free(cluster: Cluster) -> None:
    """Three workers have one each, and twenty quick ones are answered meanwhile by the fourth."""
    with ExitStack() as stack:
        slow = [asked(cluster, stack) for _ in range(3)]
        wait(lambda: sum(busy(cluster, number) for number in (1, 2, 3, 4)) == 3, "three slow requests", cluster)
        quick = [asked(cluster, stack, GET % (b"/", CLOSE)) for _ in range(20)]
        assert len({body_of(rest_of(client)) for client in quick}) == 1
        open_gates(cluster)
        assert all(rest_of(client).startswith(b"HTTP/1.1 200") for client in slow)


@pytest.mark.cluster(**THREADS, workers=1, settings={**ONE, "keepalive": 30})
def test_connection_that_waits_has_no_thread(cluster: Cluster) -> None:
    """One that is idle, and one that has said nothing for a while: a single thread serves others."""
    with ExitStack() as stack:
        idle = asked(cluster, stack, GET % (b"/", b""))
        assert idle.recv(65536).startswith(b"HTTP/1.1 200")
        silent = stack.enter_context(cluster.connect(timeout=30))
        assert cluster.get("/").status == 200
        for client in (silent, idle):
            client.sendall(GET % (b"/", CLOSE))
            assert rest_of(client).startswith(b"HTTP/1.1 200")


@pytest.mark.cluster(**THREADS, workers=1, settings={"threads": 2, "worker_connections": 3, "keepalive": 30})
def test_worker_connections_is_kept(cluster: Cluster) -> None:
    """Connections that have no thread count; who is one too many waits in the primary until one has ended."""
    with ExitStack() as stack:
        silent = [stack.enter_context(cluster.connect(timeout=30)) for _ in range(3)]
        told = "0 of 2 threads are busy, 0 requests wait for one, 3 connections wait for their client"
        wait(lambda: told in cluster.worker(1).stacks(), "the worker to be full", cluster)
        fourth = asked(cluster, stack, GET % (b"/", CLOSE))
        wait(lambda: told in cluster.worker(1).stacks(), "it to be still full", cluster)
        silent[0].close()
        assert rest_of(fourth).startswith(b"HTTP/1.1 200")


@pytest.mark.cluster(**THREADS, workers=1)
def test_client_that_still_sends_gets_its_answer_and_holds_up_nobody(cluster: Cluster) -> None:
    """It lingers, with one thread in the worker, until the client has closed."""
    with cluster.connect(timeout=30) as client:
        client.sendall(
            b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n" + b"x" * 10
        )
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        assert cluster.get("/").status == 200
        client.sendall(b"x" * 10_000)
        assert cluster.get("/").status == 200


@pytest.mark.cluster(**{**THREADS, "worker_class": "threads_app.OwnPool"}, workers=1, settings={"threads": 2})
def test_pool_of_the_programs_own(cluster: Cluster) -> None:
    """``get_thread_pool`` may be overridden, as in gunicorn."""
    assert cluster.get("/thread").json().startswith("own")
    assert "the program's own" in cluster.worker(1).stacks()
    assert cluster.stop() == 0


# --- TLS -----------------------------------------------------------------------------------------


def test_handshake_that_does_not_come_frees_its_thread(
    cluster_factory: ClusterFactory, certificate: Certificate
) -> None:
    """``handshake_timeout``; the one thread there is serves others then."""
    settings = {**ONE, "keyfile": certificate.key, "certfile": certificate.cert}
    config = CONF + "cluster.setup_primary(handshake_timeout=0.2)\n"
    cluster = cluster_factory(**{**THREADS, "config": config}, workers=1, settings=settings)
    with socket.create_connection((cluster.host, cluster.port), 30) as silent:
        silent.sendall(b"\x16\x03\x01")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(socket.create_connection((cluster.host, cluster.port), 30)) as client:
            client.sendall(GET % (b"/", b""))
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
            client.sendall(GET % (b"/environ", CLOSE))
            assert body_of(rest_of(client))["wsgi.url_scheme"] == "https"
        assert silent.recv(1) == b""


@pytest.mark.slow
def test_threads_that_write_to_one_client_through_tls_take_turns(
    cluster_factory: ClusterFactory, certificate: Certificate
) -> None:
    """As those of a websocket do: one answers its client's pings, and others tell it something."""
    cluster = cluster_factory(**THREADS, workers=1, settings={"keyfile": certificate.key, "certfile": certificate.cert})
    context = ssl.create_default_context(cafile=certificate.cert)
    with (
        socket.create_connection((cluster.host, cluster.port), 30) as plain,
        context.wrap_socket(plain, server_hostname=cluster.host) as client,
    ):
        client.sendall(GET % (b"/both", CLOSE))
        sent, _, answer = rest_of(client).partition(b"HTTP/1.1 ")
        assert [(byte, len(list(run))) for byte, run in groupby(sent)] in (
            [(ord("a"), 4_000_000), (ord("b"), 4_000_000)],
            [(ord("b"), 4_000_000), (ord("a"), 4_000_000)],
        )
        assert answer.startswith(b"200 ")


# --- messages ------------------------------------------------------------------------------------


COUNT: Final = TOLD + "cluster.on('message', lambda worker, message: got.append(message))\n"


@pytest.mark.cluster(**{**THREADS, "config": COUNT}, workers=1)
def test_ten_thousand_sends_from_eight_threads(cluster: Cluster) -> None:
    """None is lost or torn, and those of each thread arrive in order."""
    cluster.worker(1).run("threads_app:flood", 8, 1250, timeout=60)
    wait(lambda: cluster.primary.run("__config__:got.__len__") >= 10_000, "10 000 messages", cluster)
    numbers = defaultdict(list)
    for message in cluster.primary.run("__config__:got.copy"):
        numbers[message["sender"]].append(message["number"])
        assert len(message["filler"]) == message["number"] % 300
    assert numbers == {sender: list(range(1250)) for sender in range(8)}


REPLIES: Final = CONF + "cluster.on('request', lambda worker, message, reply: reply([worker.id, message]))\n"


@pytest.mark.cluster(**{**THREADS, "config": REPLIES}, workers=1, env={"ASKS_AT_IMPORT": "1"})
def test_application_asks_the_primary_while_it_is_loaded(cluster: Cluster) -> None:
    """The main thread, which alone reads the channel, waits for the reply."""
    assert cluster.get("/import").json() == [1, "at import"]


def test_process_exit_of_a_thread_ends_a_worker_that_loads_its_application(
    cluster_factory: ClusterFactory,
) -> None:
    """The main thread waits there for something that never comes."""
    with pytest.raises(StartError, match="ended with exit code 7"):
        cluster_factory(**THREADS, workers=1, env={"ENDS_AT_IMPORT": "1"})


# --- health --------------------------------------------------------------------------------------


WATCHED: Final = TOLD + "cluster.setup_primary(blocked_after=0.3)\n"


@pytest.mark.cluster(**{**THREADS, "config": WATCHED}, workers=1, settings={**ONE, "keepalive": 30})
def test_worker_whose_threads_are_all_stuck_is_told_as_saturated(cluster: Cluster) -> None:
    """Not as well, and not as blocked; its requests are named; nobody is told while nobody waits."""
    with ExitStack() as stack:
        client = asked(cluster, stack)
        wait(lambda: busy(cluster) == 1, "a request to be held", cluster)
        other = asked(cluster, stack, GET % (b"/", CLOSE))
        wait(lambda: cluster.primary.run("__config__:health") == ["saturated"], "it to be told", cluster)
        wait(lambda: "1 of 1 threads are busy" in cluster.log, "its stacks", cluster)
        wait_logged(cluster, "is saturated: all its threads are busy, none has answered for")
        wait_logged(cluster, "'GET /hold'")
        assert "is blocked" not in cluster.log
        open_gates(cluster)
        assert rest_of(client)
        assert rest_of(other)
    wait(lambda: cluster.primary.run("__config__:health") == ["ok"], "it to be well", cluster)
    wait_logged(cluster, "is no longer saturated, after")


@pytest.mark.cluster(**{**THREADS, "config": WATCHED}, workers=1, settings={"threads": 4})
def test_main_thread_that_stands_still_is_told_as_blocked(cluster: Cluster) -> None:
    """It takes no connection meanwhile; what it does is in the log, beside the threads."""
    with cluster.faults.hang(cluster.worker(1)):
        wait(lambda: cluster.primary.run("__config__:health") == ["blocked"], "it to be told", cluster)
        wait_logged(cluster, "its loop has not turned for")
        wait_logged(cluster, "in _hang\n")
        wait_logged(cluster, "of 4 threads are busy")
    wait(lambda: cluster.primary.run("__config__:health") == ["ok"], "it to be well", cluster)
    assert cluster.get("/").status == 200


# --- the plugin ----------------------------------------------------------------------------------


@pytest.mark.cluster(**THREADS, workers=1, settings={"threads": 2})
def test_failpoints_hold_one_thread_and_no_other(cluster: Cluster) -> None:
    """At a step of the server, and at a function of the application."""
    for step in ("request", "threads_app:answer"):
        with cluster.faults.hold(step) as gate:
            held = cluster.client.submit("/thread")
            gate.wait_reached()
            assert not held.done()
            assert cluster.worker(1).run("threads_app:heavy") == []
            gate.release()
            assert held.result().status == 200
    cluster.faults.fail_next(status=503)
    assert cluster.get("/").status == 503
    assert cluster.get("/").worker == 1


# --- how it ends ---------------------------------------------------------------------------------


def test_thread_that_does_not_end_holds_up_no_end(cluster_factory: ClusterFactory) -> None:
    """At ``graceful_timeout`` the worker ends by itself: its exit code is 0, and nobody has to kill it."""
    config = CONF.replace("graceful_timeout = 8\n", "graceful_timeout = 1\n")
    cluster = cluster_factory(**{**THREADS, "config": config}, workers=1, settings=ONE)
    with ExitStack() as stack:
        client = asked(cluster, stack)
        wait(lambda: busy(cluster) == 1, "a request to be held", cluster)
        assert cluster.stop() == 0
        assert rest_of(client) == b""
    wait_logged(cluster, "cut 1 connections that had not ended within 1 s")
    assert "SIGKILL" not in cluster.log
    assert "Traceback" not in cluster.log


@pytest.mark.cluster(**THREADS, workers=1, settings={"threads": 4})
@pytest.mark.parametrize(("path", "code"), [(b"/exit", 7), (b"/sys-exit", 6)])
def test_exit_in_a_request_ends_the_worker_with_its_code(cluster: Cluster, path: bytes, code: int) -> None:
    """``process.exit()`` and ``sys.exit()``, from a thread of the pool; a successor serves."""
    with cluster.connect(timeout=30) as client:
        client.sendall(GET % (path, CLOSE))
        assert rest_of(client) == b""
    assert cluster.journal.wait_for("exit", worker=1).code == code
    cluster.wait_listening()
    assert cluster.get("/").status == 200


@pytest.mark.cluster(**THREADS, workers=1, settings={"threads": 4})
def test_exit_in_a_request_waits_for_the_others(cluster: Cluster) -> None:
    """As at the end of ``gthread``, where the interpreter waits for its threads."""
    with ExitStack() as stack:
        held = asked(cluster, stack)
        wait(lambda: busy(cluster) == 1, "a request to be held", cluster)
        leaving = asked(cluster, stack, GET % (b"/sys-exit", CLOSE))
        assert rest_of(leaving) == b""
        open_gates(cluster)
        assert rest_of(held).startswith(b"HTTP/1.1 200")
    assert cluster.journal.wait_for("exit", worker=1).code == 6


@pytest.mark.cluster(**THREADS, workers=1, settings={"threads": 4})
def test_child_that_a_request_forks_is_not_the_worker(cluster: Cluster) -> None:
    """It ends where its answer would be written; the worker answers once, and its messages are its own."""
    with ExitStack() as stack:
        held = asked(cluster, stack)
        wait(lambda: busy(cluster) == 1, "another request", cluster)
        assert cluster.get("/fork").json() == 0
        open_gates(cluster)
        assert rest_of(held).count(b"HTTP/1.1") == 1
    assert not said(cluster, **{"from": "a child"})
    assert cluster.get("/").status == 200


@pytest.mark.cluster(**THREADS, workers=1, settings={"threads": 4, "keepalive": 1})
def test_socket_that_the_application_closes_hurts_nobody_else(cluster: Cluster) -> None:
    """Its number is the next client's, who says nothing at first; the worker forgets the one that was closed."""
    for _ in range(3):
        with cluster.connect() as kept:
            kept.sendall(GET % (b"/kept", b""))
            assert kept.recv(1)
            assert cluster.worker(1).run("threads_app:close_kept") > 0
            with cluster.connect(timeout=20) as next_one:
                cluster.worker(1).stacks()
                next_one.sendall(GET % (b"/", CLOSE))
                assert next_one.recv(100).startswith(b"HTTP/1.1 200")
    assert [entry.event for entry in cluster.journal if entry.event == "exit"] == []


@pytest.mark.cluster(**THREADS, workers=2, settings={"threads": 4, "keepalive": 20, "graceful_timeout": 15})
def test_end_of_the_server_waits_for_no_idle_client(cluster: Cluster) -> None:
    """They are closed when the server ends, whatever they were promised."""
    with ExitStack() as stack:
        clients = [asked(cluster, stack, GET % (b"/", b"")) for _ in range(6)]
        for client in clients:
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
        silent = [stack.enter_context(cluster.connect(timeout=30)) for _ in range(2)]
        assert cluster.get("/").status == 200  # dealt after them
        assert cluster.stop() == 0
        assert [rest_of(client) for client in [*clients, *silent]] == [b""] * 8
    assert "cut" not in cluster.log


FOREIGN: Final = [
    ("nodecluster_compat.Worker", {"threads": 4}, "threads = 4 has no effect with this worker class: it is for"),
    (THREAD_WORKER, {"asgi_lifespan": "off"}, "asgi_lifespan = 'off' has no effect with this worker class: it is for"),
]


@pytest.mark.skipif(gunicorn.version_info < (25,), reason="that gunicorn has no settings for ASGI")
@pytest.mark.parametrize(("kind", "settings", "sentence"), FOREIGN)
def test_settings_of_another_kind_are_named(
    cluster_factory: ClusterFactory, kind: str, settings: dict[str, Any], sentence: str
) -> None:
    """At start, with the class that acts on them; nothing else is said of a server that has none."""
    cluster = cluster_factory(app="pid_echo:app", workers=1, worker_class=kind, settings=settings)
    wait_logged(cluster, sentence)
    assert cluster.log.count(sentence) == 1
    assert cluster.log.count("has no effect") == 1
