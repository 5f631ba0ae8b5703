"""Requests go to the worker that they belong to, whatever connection they come on, with every kind of worker."""

from __future__ import annotations

import itertools
import json
import os
import re
import resource
import signal
import socket
import ssl
import threading
from collections import Counter
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

import gunicorn
import pytest
from h2_client import fetch
from kinds import ASGI, GEVENT, THREADS, every_kind
from raw_http import Certificate, folder_of
from receive_queue import unread_by_peer
from remote_control import cpu_ticks, freeze, open_fds, said, wait, wait_logged, wait_said
from routed_client import SID, RoutedClient, head

from pytest_cluster import Cluster, ClusterFactory

CONF: Final = "from nodecluster_compat import cluster\ncluster.setup_primary(routing={!r})\n"
ROUTED: Final[dict[str, Any]] = {"app": "routed:app", "workers": 3, "config": CONF.format("socketio")}
MORE_THAN_A_CHANNEL_HOLDS: Final = 300  # packets, in the kernel's usual buffer
ISSUED: Final[dict[str, Any]] = {**ROUTED, "config": CONF.format("cookie,mcp")}


def ids(cluster: Cluster) -> list[int]:
    return [worker.id for worker in cluster.workers]


def listening(cluster: Cluster, worker: int) -> bool:
    return any(one.id == worker and one.state == "listening" for one in cluster.workers)


def check_everything(cluster: Cluster, certificate: Certificate | None = None) -> None:
    """What must hold on connections of whatever sort."""
    workers = ids(cluster)
    scheme = "http" if certificate is None else "https"
    with RoutedClient(cluster, certificate) as client:
        for worker in [*workers, *reversed(workers)]:  # many sessions on one connection, as proxies have it
            told = client.ask(client.session(worker))
            assert (told["worker"], told["client"], told["scheme"]) == (worker, "127.0.0.1", scheme)
        client.ask("/page")
        assert client.ask(client.session(workers[0]))["worker"] == workers[0]
        dealt = Counter(client.ask("/socket.io/?EIO=4")["worker"] for _ in range(6 * len(workers)))
        assert min(dealt.values()) > 1, "new sessions pile up where their connection is"
    for worker in workers:
        with RoutedClient(cluster, certificate) as client:  # not behind another request: gunicorn's ASGI may close it
            whole = head(client.session(worker), body=300_000) + b"x" * 300_000
            client.sock.sendall(whole[:1])  # the primary sees nothing yet, probably
            client.sock.sendall(whole[1:])
            told = client.answer()
            assert (told["worker"], told["sent"]) == (worker, 300_000)
    check_heads(cluster, workers, certificate)
    check_strangers(cluster, workers, certificate)


def check_heads(cluster: Cluster, workers: list[int], certificate: Certificate | None) -> None:
    """Heads come in pieces, and several at once."""
    with RoutedClient(cluster, certificate) as client:
        for worker in workers:
            for byte in head(client.session(worker)):
                client.sock.sendall(bytes([byte]))
            assert client.answer()["worker"] == worker
        for worker in workers:  # as some clients end a body
            client.sock.sendall(b"\r\n" + head(client.session(worker)))
            assert client.answer()["worker"] == worker
        client.sock.sendall(b"".join(head(client.session(worker, f"/{worker}")) for worker in workers))
        for worker in workers:
            told = client.answer()
            assert (told["worker"], told["path"]) == (worker, f"/{worker}")


def check_strangers(cluster: Cluster, workers: list[int], certificate: Certificate | None) -> None:
    """Sessions of workers that are not there are served by whoever has them, and garbage is refused."""
    with RoutedClient(cluster, certificate) as client:
        for worker in (99, 2**31, 9_999_999_999):
            assert client.ask(client.session(worker))["worker"] in workers
        assert client.ask(f"/?EIO=4&sid={SID}.00")["worker"] in workers
        assert client.ask(client.session(workers[1]))["worker"] == workers[1]
    for garbage in (b"\x16\x03\x01" + bytes(200) + b"\r\n\r\n", b"GET /?EIO=4&sid=\xff\xfe HTTP/9.9\r\n\r\n"):
        with RoutedClient(cluster, certificate) as client:
            client.sock.sendall(garbage)
            assert client.sock.recv(65536)[:12] in (b"HTTP/1.1 400", b"")


@pytest.mark.table(quick=["asgi"])
@every_kind
@pytest.mark.cluster(**ROUTED)
def test_sessions_are_served_by_their_workers(cluster: Cluster) -> None:
    check_everything(cluster)


@pytest.mark.table(quick=["gevent"])
@every_kind
@pytest.mark.cluster(**ROUTED)
def test_large_body_that_comes_slowly_goes_to_its_worker(cluster: Cluster) -> None:
    """The head in two pieces, cut within the session's id, the body in nine, each when the one before has been read."""
    for worker in ids(cluster):
        with RoutedClient(cluster) as client:
            start = head(client.session(worker), body=900_000)
            cut = start.index(SID.encode()) + 7
            for piece in (start[:cut], start[cut:], *[b"x" * 100_000] * 9):
                client.sock.sendall(piece)
                wait(lambda: unread_by_peer(client.sock) == 0, "that the piece is read", cluster)
            told = client.answer()
            assert (told["worker"], told["sent"]) == (worker, 900_000)


@pytest.mark.table(quick=["threads"])
@pytest.mark.parametrize("kind", [GEVENT, THREADS, ASGI], ids=["gevent", "threads", "asgi"])
def test_sessions_are_served_by_their_workers_through_tls(
    cluster_factory: ClusterFactory, certificate: Certificate, kind: dict[str, Any]
) -> None:
    tls = {"keyfile": certificate.key, "certfile": certificate.cert}
    cluster = cluster_factory(**{**ROUTED, **kind, "settings": {**kind.get("settings", {}), **tls}})
    check_everything(cluster, certificate)


@pytest.mark.table(quick=["asgi"])
@pytest.mark.parametrize("kind", [GEVENT, THREADS, ASGI], ids=["gevent", "threads", "asgi"])
def test_what_is_relayed_from_a_unix_socket_is_encrypted(
    cluster_factory: ClusterFactory, certificate: Certificate, kind: dict[str, Any]
) -> None:
    tls = {"keyfile": certificate.key, "certfile": certificate.cert, "bind": "unix:routed.sock"}
    cluster = cluster_factory(**{**ROUTED, **kind, "settings": {**kind.get("settings", {}), **tls}})
    with RoutedClient(cluster) as client:
        for worker in ids(cluster):
            told = client.ask(client.session(worker))
            assert (told["worker"], told["client"], told["scheme"]) == (worker, "", "https")


@pytest.mark.cluster(**ROUTED, settings={"bind": "unix:routed.sock"})
def test_sessions_on_a_unix_socket_are_served_by_their_workers(cluster: Cluster) -> None:
    """As nginx has it, whole heads and those that come byte by byte; there is no address of a client."""
    workers = ids(cluster)
    with RoutedClient(cluster) as client:
        for worker in [*workers, *reversed(workers)]:
            told = client.ask(client.session(worker), body=b"x" * 100_000)
            assert (told["worker"], told["client"], told["sent"]) == (worker, "", 100_000)
    check_heads(cluster, workers, None)
    check_strangers(cluster, workers, None)


PROXIED: Final = {
    "v1": b"PROXY TCP4 192.0.2.7 192.0.2.99 5000 80\r\n",
    "v2": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([192, 0, 2, 7, 192, 0, 2, 99]) + b"\x13\x88\0\x50",
}


@pytest.mark.parametrize("proxied", PROXIED.values(), ids=PROXIED)
@pytest.mark.cluster(**ROUTED, settings={"proxy_protocol": True, "proxy_allow_ips": "*"})
def test_sessions_behind_the_proxy_protocol_are_served_by_their_workers(cluster: Cluster, proxied: bytes) -> None:
    """The header comes once, before the first request, and goes along with the connection; also in pieces."""
    workers = ids(cluster)
    for first in workers:
        with RoutedClient(cluster) as client:
            for byte in proxied:
                client.sock.sendall(bytes([byte]))
            for worker in [first, *workers]:
                told = client.ask(client.session(worker))
                assert (told["worker"], told["client"]) == (worker, "192.0.2.7")


@pytest.mark.table(quick=["gevent"])
@pytest.mark.skipif(gunicorn.version_info < (25,), reason="gunicorn speaks HTTP/2 from 25.0 on")
@pytest.mark.parametrize("kind", [GEVENT, THREADS, ASGI], ids=["gevent", "threads", "asgi"])
def test_http2_is_served_where_it_arrives(
    cluster_factory: ClusterFactory, certificate: Certificate, kind: dict[str, Any]
) -> None:
    """All streams of a connection, whatever session they belong to; HTTP/1.1 beside it goes to its worker."""
    tls = {"keyfile": certificate.key, "certfile": certificate.cert, "http_protocols": "h2,h1"}
    cluster = cluster_factory(**{**ROUTED, **kind, "settings": {**kind.get("settings", {}), **tls}})
    workers = ids(cluster)
    context = ssl.create_default_context(cafile=certificate.cert)
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    with RoutedClient(cluster, certificate) as client:
        for worker in workers:
            assert client.ask(client.session(worker))["worker"] == worker
        paths = [client.session(worker) for worker in workers]
    with (
        socket.create_connection((cluster.host, cluster.port), timeout=30) as plain,
        context.wrap_socket(plain) as encrypted,
    ):
        answers = fetch(encrypted, *paths)
    assert [answer.status for answer in answers] == [200] * len(workers)
    assert len({json.loads(answer.body)["worker"] for answer in answers}) == 1
    sentence = "Requests of HTTP/2 are served where they arrive"
    wait(lambda: sentence in cluster.log, sentence, cluster)


@pytest.mark.table(quick=["asgi"])
@every_kind
@pytest.mark.cluster(**ISSUED)
def test_cookies_and_session_fields_are_issued_and_obeyed(cluster: Cluster) -> None:
    with RoutedClient(cluster) as client:
        first = client.ask("/")
        cookie = re.search(
            r"(?i)set-cookie: (NODECLUSTER=[^;]+); Path=/; HttpOnly; SameSite=Lax\r", first["fields"] + "\r"
        )
        assert cookie is not None
        begun = client.ask("/begin")
        session = re.search(r"(?i)mcp-session-id: (made\.\d+)", begun["fields"])
        assert session is not None
        assert session[1] == f"made.{begun['worker']}"
    for _ in range(4):
        with RoutedClient(cluster) as client:
            told = client.ask("/", f"Cookie: a=b; {cookie[1]}")
            assert told["worker"] == first["worker"]
            assert "set-cookie" not in told["fields"].lower()
            told = client.ask("/", f"MCP-Session-ID: {session[1]}")
            assert (told["worker"], told["session"]) == (begun["worker"], "made")
    with RoutedClient(cluster) as client:
        forged = client.ask("/", f"Cookie: NODECLUSTER={first['worker']}.{'0' * 32}")
        assert "set-cookie" in forged["fields"].lower()


@pytest.mark.cluster(**ROUTED)
def test_sessions_of_a_worker_that_dies_are_served_by_others_and_their_connections_go_on(cluster: Cluster) -> None:
    one, two, three = ids(cluster)
    with RoutedClient(cluster) as client, RoutedClient(cluster) as other:
        assert client.ask(client.session(one))["worker"] == one
        assert other.ask(other.session(two))["worker"] == two
        cluster.worker(three).kill()
        wait(lambda: listening(cluster, 4), "a successor", cluster)
        assert client.ask(client.session(three))["worker"] == one
        assert client.ask(client.session(two))["worker"] == two
        assert client.ask(client.session(4))["worker"] == 4


@pytest.mark.cluster(**ROUTED)
def test_worker_that_is_stopped_keeps_its_sessions_and_holds_up_no_other(cluster: Cluster) -> None:
    one, two, three = ids(cluster)
    pid = cluster.worker(three).pid
    freeze(cluster, pid)  # before anybody connects: it would keep what it has taken
    with RoutedClient(cluster) as client, ExitStack() as stack:
        waiting = [stack.enter_context(RoutedClient(cluster)) for _ in range(4)]
        for one_more in waiting:
            one_more.sock.sendall(head(client.session(three)))
        for worker in (one, two) * 5:
            assert client.ask(client.session(worker))["worker"] == worker
            with RoutedClient(cluster) as another:
                assert another.ask("/")["worker"] in (one, two)
        os.kill(pid, signal.SIGCONT)
        assert [one_more.answer()["worker"] for one_more in waiting] == [three] * 4


@pytest.mark.table(quick=["gevent"])
@every_kind
@pytest.mark.cluster(**ROUTED, settings={"keepalive": 60})
def test_more_than_the_primary_takes_at_once_goes_to_its_worker(cluster: Cluster) -> None:
    """As behind a proxy that keeps connections: many requests at once, while the primary has no processor."""
    one, two, _ = ids(cluster)
    with ExitStack() as stack:
        clients = [stack.enter_context(RoutedClient(cluster)) for _ in range(MORE_THAN_A_CHANNEL_HOLDS)]
        for client in clients:
            assert client.ask(client.session(one))["worker"] == one
        freeze(cluster, cluster.primary.pid)
        try:
            for client in clients:
                client.sock.sendall(head(client.session(two)))
            wait(lambda: not any(unread_by_peer(client.sock) for client in clients), "that all are read", cluster)
        finally:
            os.kill(cluster.primary.pid, signal.SIGCONT)
        assert Counter(client.answer()["worker"] for client in clients) == {two: len(clients)}


@pytest.mark.table(quick=["gevent"])
@every_kind
@pytest.mark.cluster(**ROUTED)
def test_a_reload_loses_no_request_whoever_it_belongs_to(cluster: Cluster) -> None:
    """Workers that leave hand on what still comes to them; sessions of those that are gone are served by others."""
    reloaded = threading.Event()
    failures: list[BaseException] = []
    served: Counter[bool] = Counter()

    def ask(first: int) -> None:
        client = RoutedClient(cluster)
        try:
            for number in itertools.count(first):
                worker = number % 6 + 1
                told = client.ask(client.session(worker))
                served[told["worker"] == worker] += 1
                if "connection: close" in told["fields"].lower():
                    client.sock.close()
                    client = RoutedClient(cluster)
                if reloaded.is_set():
                    break
        except Exception as error:  # noqa: BLE001 - whatever a client sees
            failures.append(error)
        finally:
            client.sock.close()

    clients = [threading.Thread(target=ask, args=(first,)) for first in range(3)]
    for one in clients:
        one.start()
    cluster.reload()
    reloaded.set()
    for one in clients:
        one.join()
    assert failures == []
    assert served[True] > 10


TURNED_OFF: Final[dict[str, Any]] = {
    **ROUTED,
    "workers": 2,
    "settings": {"keepalive": 1000, "graceful_timeout": 1000},
    "config": """
from pathlib import Path
from nodecluster_compat import cluster

def named(head):
    return int(head.query("to") or 0) or None

cluster.setup_primary(routing="off" if Path("off").exists() else [named])
""",
}


def clients_of_old_workers(cluster: Cluster, stack: ExitStack, count: int) -> tuple[list[RoutedClient], list[int]]:
    """So many clients that workers keep which a reload has replaced, and who the new workers are."""
    old = ids(cluster)
    clients = [stack.enter_context(RoutedClient(cluster)) for _ in range(count)]
    for client in clients:
        client.ask("/")
    (folder_of(cluster) / "off").touch()
    cluster.primary.signal("SIGHUP")
    wait_logged(cluster, "Reload 1 succeeded")
    wait(lambda: len(set(ids(cluster)) - set(old)) == len(old), "the new workers", cluster)
    return clients, [worker for worker in ids(cluster) if worker not in old]


@pytest.mark.table(quick=["gevent"])
@every_kind
@pytest.mark.cluster(**TURNED_OFF)
def test_reload_that_turns_routing_off_loses_no_request(cluster: Cluster) -> None:
    """Workers that leave hand on to those that do not route; what they have read of a request is served."""
    with ExitStack() as stack:
        clients, new = clients_of_old_workers(cluster, stack, 4)
        for client, worker in zip(clients, new * 2, strict=True):
            told = client.ask(f"/?to={worker}", body=b"x" * 300_000)
            assert (told["worker"], told["sent"]) == (worker, 300_000)


@pytest.mark.table(quick=["threads"])
@every_kind
@pytest.mark.cluster(
    **{
        **TURNED_OFF,
        "config": """
from pathlib import Path
from nodecluster_compat import cluster

def named(head):
    return int(head.query("to") or 0) or None

protocol = "uwsgi" if Path("off").exists() else "http"
cluster.setup_primary(routing=[named])
""",
    }
)
def test_who_is_handed_on_to_a_worker_of_another_protocol_has_an_answer(cluster: Cluster) -> None:
    """A reload has changed the protocol, and who leaves hands on to those that speak HTTP no more."""
    with ExitStack() as stack:
        clients, new = clients_of_old_workers(cluster, stack, 2)
        for client, worker in zip(clients, new, strict=True):
            client.sock.sendall(head(f"/?to={worker}"))
            assert client.sock.recv(65536).startswith(b"HTTP/1.1 503 ")
            assert client.sock.recv(65536) == b""
    wait_logged(cluster, "Closed a connection of another worker: it speaks HTTP")
    assert set(new) <= set(ids(cluster)), "none of them has ended of it"


@pytest.mark.cluster(
    **{
        **TURNED_OFF,
        "app": "routed_asgi:app",
        "worker_class": "nodecluster_compat.ASGIWorker",
        "settings": {**TURNED_OFF["settings"], "asgi_disconnect_grace_period": 0},
    }
)
def test_background_work_goes_on_when_its_connection_is_handed_on(cluster: Cluster) -> None:
    """The client has not left: nobody is told so, nothing is cancelled, and a worker that leaves waits for it."""
    with RoutedClient(cluster) as client:
        one = client.ask("/working")["worker"]
        [other] = {*ids(cluster)} - {one}
        for _ in range(3):
            assert client.ask(f"/?to={other}")["worker"] == other
        cluster.worker(one).kill(signal.SIGTERM)
        (folder_of(cluster) / "release").touch()
        assert wait_said(cluster)[0]["told"] == "done"
    cluster.journal.wait_for("exit", worker=one)


@pytest.mark.table(quick=["threads"])
@every_kind
@pytest.mark.cluster(**ROUTED)
def test_handing_on_leaves_no_descriptor_behind(cluster: Cluster) -> None:
    pids = [cluster.primary.pid, *(worker.pid for worker in cluster.workers)]

    def hand_on(times: int) -> None:
        with RoutedClient(cluster) as client:
            for worker in ids(cluster) * times:
                assert client.ask(client.session(worker))["worker"] == worker

    hand_on(1)
    before = [open_fds(pid) for pid in pids]
    hand_on(20)
    now = partial(map, open_fds, pids)
    wait(lambda: all(count <= was for count, was in zip(now(), before, strict=True)), f"descriptors {before}", cluster)


TICKING: Final[dict[str, Any]] = {
    **ROUTED,
    "settings": {"keepalive": 60},  # nobody is sent away while it is measured
    "config": ROUTED["config"]
    + """
import os
def tick():
    os.write(1, b'{"ticks": true}\\n')
    cluster.call_later(1.0, tick)
def when_ready(server):
    tick()
""",
}


def check_idle(cluster: Cluster) -> None:
    """In some second of the primary's clock no process computes: one that spins always does."""
    pids = [cluster.primary.pid, *(worker.pid for worker in cluster.workers)]
    used = []
    for _ in range(10):
        before = [cpu_ticks(pid) for pid in pids]
        wait_said(cluster, len(said(cluster, ticks=True)) + 1, ticks=True)
        used.append(max(cpu_ticks(pid) - was for pid, was in zip(pids, before, strict=True)))
        if used[-1] < 10:
            return
    pytest.fail(f"somebody has used {used} hundredths of a second between ticks")


@pytest.mark.table(quick=[], slow=["tcp"])
@pytest.mark.parametrize(
    "address",
    [
        pytest.param("tcp", marks=pytest.mark.cluster(**TICKING)),
        pytest.param(
            "unix", marks=pytest.mark.cluster(**{**TICKING, "settings": {"keepalive": 60, "bind": "unix:routed.sock"}})
        ),
    ],
)
def test_nine_hundred_slow_clients_hold_up_nobody_and_cost_the_primary_nothing(cluster: Cluster, address: str) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(RoutedClient(cluster)) for _ in range(900)]
        for number, client in enumerate(slow):
            client.sock.sendall(b"GET /?EIO=4&sid=" + SID.encode()[: number % 20])
        client = stack.enter_context(RoutedClient(cluster))
        for worker in ids(cluster) * 20:
            assert client.ask(client.session(worker))["worker"] == worker
        check_idle(cluster)
        for one in slow:
            one.sock.sendall(b"\r\n")
            one.sock.close()


@pytest.mark.slow
@pytest.mark.cluster(**ROUTED)
def test_more_slow_clients_than_the_primary_has_descriptors_hold_up_nobody(cluster: Cluster) -> None:
    """They wait in workers: a primary that waited for heads would have no descriptor left for anybody else."""
    limits = resource.prlimit(cluster.primary.pid, resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        for one in (cluster.primary, *cluster.workers):
            resource.prlimit(one.pid, resource.RLIMIT_NOFILE, (256, limits[1]))
            stack.callback(resource.prlimit, one.pid, resource.RLIMIT_NOFILE, limits)
        for _ in range(400):
            stack.enter_context(RoutedClient(cluster)).sock.sendall(b"GET /?EIO=4&sid=" + SID.encode())
        client = stack.enter_context(RoutedClient(cluster))
        for worker in ids(cluster) * 20:
            assert client.ask(client.session(worker))["worker"] == worker


@pytest.mark.cluster(
    app="routed:app",
    workers=3,
    config=f"import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))\n{CONF.format('socketio')}",
    settings={"keepalive": 60},
)
def test_what_workers_hand_on_at_once_beyond_what_the_primary_takes_is_served(cluster: Cluster) -> None:
    """They wait in the workers that have read them, while their own is blocked: none is closed or goes astray."""
    first = cluster.workers[0]
    with ExitStack() as stack:
        clients = [stack.enter_context(RoutedClient(cluster)) for _ in range(180)]
        whole = head(clients[0].session(first.id))
        for client in clients:
            client.sock.sendall(whole[:1])
        wait(lambda: all(unread_by_peer(one.sock) == 0 for one in clients), "that their first bytes are read", cluster)
        before = open_fds(cluster.primary.pid)
        freeze(cluster, first.pid)
        try:
            for client in clients:
                client.sock.sendall(whole[1:])
            wait(lambda: open_fds(cluster.primary.pid) >= before + 64, "that many wait in the primary", cluster)
        finally:
            os.kill(first.pid, signal.SIGCONT)
        assert [client.answer()["worker"] for client in clients] == [first.id] * len(clients)
    assert "were closed" not in cluster.log


@pytest.mark.cluster(**TICKING)
def test_clients_that_send_half_a_head_cost_nothing(cluster: Cluster) -> None:
    clients = []
    try:
        for number in range(200):
            clients.append(socket.create_connection((cluster.host, cluster.port)))
            clients[-1].sendall(b"GET /?EIO=4&sid=" + SID.encode()[: number % 20])
        with RoutedClient(cluster) as client:
            for worker in ids(cluster):
                assert client.ask(client.session(worker))["worker"] == worker
        check_idle(cluster)
    finally:
        for one in clients:
            one.close()
