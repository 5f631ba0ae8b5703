"""Socket.IO on several workers: rooms, acknowledgements, what workers ask each other, and who goes on when one ends."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from uuid import uuid4

import pytest
from raw_http import Certificate
from socketio_clients import Caller, CallerInTwo, callers

from pytest_cluster import Cluster, ClusterFactory

WORKERS: Final = 3
GEVENT: Final[dict[str, Any]] = {
    "app": "socketio_app:app",
    "worker_class": "nodecluster_compat.Worker",
    "workers": WORKERS,
}
THREADS: Final[dict[str, Any]] = {
    "app": "socketio_app:app",
    "worker_class": "nodecluster_compat.ThreadWorker",
    "workers": WORKERS,
    "settings": {"threads": 16},
    "env": {"SIO_MODE": "threading"},
}
ASGI: Final[dict[str, Any]] = {
    "app": "socketio_asgi:app",
    "worker_class": "nodecluster_compat.ASGIWorker",
    "workers": WORKERS,
}


def of_kinds(**kinds: dict[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    params = [pytest.param(name, marks=pytest.mark.cluster(**options)) for name, options in kinds.items()]
    parametrize = pytest.mark.parametrize("kind", params, indirect=True, scope="module")
    return lambda test: pytest.mark.usefixtures("kind")(parametrize(test))


every_kind = of_kinds(gevent=GEVENT, threads=THREADS, asgi=ASGI)


@pytest.fixture(scope="module")
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def of_two_workers(clients: list[Caller]) -> tuple[Caller, Caller]:
    first = clients[0]
    return first, next(one for one in clients if one.worker != first.worker)


@pytest.mark.table(quick=["gevent"])
@every_kind
def test_rooms_reach_the_clients_of_all_workers_and_nobody_else(cluster: Cluster) -> None:
    """Text and bytes, each once; a client may be put into a room, and a room closed, by way of another worker."""
    with callers(cluster, 4) as clients:
        assert {one.worker for one in clients} == {1, 2, 3}
        inside, outside = clients[:3], clients[3]
        for one in inside:
            assert one.ask("join", "room") == ["room"]
        outside.say("tell", "room", {"text": "hello", "bytes": b"\0\xff"})
        for one in inside:
            one.wait_told({"text": "hello", "bytes": b"\0\xff"})

        one, other = of_two_workers(clients)
        one.ask("put", other.sid, "second")
        one.say("tell", "second", "in order")
        other.wait_told("in order")
        one.ask("close", "second")
        one.ask("tell", "second", "nobody hears that")
        one.say("tell", other.sid, "to one")
        other.wait_told("to one")
        assert [client.told for client in clients] == [[], [], [], []]


@pytest.mark.table(quick=["gevent", "asgi"])
@every_kind
def test_acknowledgements_come_from_other_workers(cluster: Cluster) -> None:
    """To an event handler, and to a request to a worker that has no client; bytes as well."""
    with callers(cluster, 2) as clients:
        one, other = of_two_workers(clients)
        assert one.ask("ask", other.sid, b"\1\2") == [other.sid, b"\1\2"]
        served = {}
        while len(served) < WORKERS:
            worker, answer = cluster.get(f"/call/{other.sid}").json()
            served[worker] = answer
        assert list(served.values()) == [[other.sid, "from a page"]] * WORKERS


@pytest.mark.table(quick=["gevent", "asgi"])
@every_kind
def test_nothing_is_left_of_an_acknowledgement_that_cannot_come(cluster: Cluster) -> None:
    """The client leaves, or has left, and its worker tells who waits."""
    with callers(cluster, 2) as clients:
        one, other = of_two_workers(clients)
        sid = other.sid
        one.ask("leave_ack_open", sid)
        assert one.ask("open_acks") == [sid]
        one.say("kick", sid)
        other.wait(lambda client: not client.client.connected, "disconnected by way of another worker")
        while one.ask("open_acks"):
            pass
        one.ask("leave_ack_open", sid)
        while one.ask("open_acks"):
            pass


@pytest.mark.table(quick=["gevent", "asgi"])
@every_kind
def test_a_worker_knows_the_clients_of_others(cluster: Cluster) -> None:
    """Their rooms, their sessions, and who is where; and it asks the other workers something of its own."""
    with callers(cluster, 3) as clients:
        one, other = of_two_workers(clients)
        other.ask("join", "room")
        assert one.ask("rooms", other.sid) == sorted([other.sid, "room"])
        assert one.ask("session", other.sid) == {"born in": other.worker}
        one.ask("note", other.sid, 7)
        assert other.ask("session", other.sid) == one.ask("session", other.sid) == {"note": 7}
        gone = "A" * 20
        for nobody in ("nobody", f"{gone}.{other.worker}", f"{gone}.4711"):
            assert one.ask("rooms", nobody) == []
            assert one.ask("session", nobody) == "KeyError: 'Session not found'"

        one.ask("join", "room")
        expected = [
            [one.sid, one.worker, sorted([one.sid, "room"]), {"born in": one.worker}, "websocket"],
            [other.sid, other.worker, sorted([other.sid, "room"]), {"note": 7}, "websocket"],
        ]
        assert one.ask("sockets", "room") == sorted(expected, key=lambda found: found[1])
        others = {1, 2, 3} - {one.worker}
        assert one.ask("servers", 21) == {str(worker): [worker, 42] for worker in others}


@pytest.mark.table(quick=["gevent"])
@every_kind
def test_namespaces_of_one_connection_are_apart(cluster: Cluster) -> None:
    """A room of the same name, a session and an id in each; one ends, and the other goes on."""
    with callers(cluster, 2, kind=CallerInTwo) as clients:
        one, other = of_two_workers(clients)
        one.ask("join", "same")
        other.ask_in_second("join", "same")
        one.ask_in_second("tell", "same", 1)
        other.wait_told(["/second", 1])
        other.ask("tell", "same", 2)
        one.wait_told(2)
        one.ask_in_second("tell", other.second_sid, 3)
        other.wait_told(["/second", 3])
        one.ask_in_second("add", other.second_sid, "second", True)
        one.ask("add", other.sid, "first", True)
        assert one.ask_in_second("session", other.second_sid) == {"second": True}
        assert one.ask("session", other.sid) == {"born in": other.worker, "first": True}
        one.ask_in_second("kick", other.second_sid)
        other.wait(lambda client: "/second" not in client.client.namespaces, "the end of a namespace")
        one.ask_in_second("tell", "same", 4)
        one.ask("tell", other.sid, 5)
        other.wait_told(5)
        assert one.told == []


@pytest.mark.table(quick=["gevent"])
@every_kind
def test_several_clients_and_all_other_workers_are_told_at_once(cluster: Cluster) -> None:
    """Each once, by a list of ids and rooms; and the servers, without an answer."""
    with callers(cluster, 3) as clients:
        one, other = of_two_workers(clients)
        one.ask("join", "room")
        other.ask("join", "room")
        one.ask("tell", ["room", other.sid, "nobody's"], 1)
        one.wait_told(1)
        other.wait_told(1)
        one.ask("others", 2)
        other.wait_told(2)
        one.ask("announce", other.sid, "hear")
        other.wait(lambda client: len(client.told) == WORKERS - 1, "what the other workers say")
        assert sorted(other.told) == [[worker, "hear"] for worker in sorted({1, 2, 3} - {one.worker})]
        assert one.told == []


@pytest.mark.table(quick=["gevent"])
@pytest.mark.parametrize("options", [GEVENT, THREADS, ASGI], ids=["gevent", "threads", "asgi"])
def test_bytes_reach_those_that_poll_beside_websockets(
    cluster_factory: ClusterFactory, options: dict[str, Any]
) -> None:
    """Clients of one worker: a packet is made once for all of them."""
    cluster = cluster_factory(**{**options, "workers": 1})
    with callers(cluster, 1) as sockets, callers(cluster, 1, ["polling"]) as polling, callers(cluster, 1) as others:
        clients = [*sockets, *polling, *others]
        for one in clients:
            one.ask("join", "room")
        for number, one in enumerate(clients):
            one.say("tell", "room", bytes([0, 255, number]))
            for client in clients:
                client.wait_told(bytes([0, 255, number]))
        polling[0].be_kicked()  # as in ``check_session``


@pytest.mark.table(quick=["asgi"])
@every_kind
def test_handler_of_a_client_that_another_worker_disconnects_may_ask_that_worker(cluster: Cluster) -> None:
    """It runs beside what brings the answer."""
    with callers(cluster, 2) as clients:
        one, other = of_two_workers(clients)
        other.ask("farewell", one.sid)
        one.say("kick", other.sid)
        one.wait_told({"born in": one.worker})


@pytest.mark.table(quick=[], slow=["threads"])
@every_kind
def test_all_is_received_once_and_in_order(cluster: Cluster) -> None:
    """A flood of one worker to a room with clients of others: more than may wait unread."""
    with callers(cluster, 3) as clients:
        for one in clients:
            one.ask("join", "room")
        clients[0].say("count", "room", 6000)
        for one in clients:
            one.wait_told(*range(6000))


@pytest.mark.slow
def test_workers_that_are_forked_with_the_application_loaded_are_not_one(cluster_factory: ClusterFactory) -> None:
    """python-socketio's managers take each other's messages for their own then."""
    cluster = cluster_factory(**GEVENT, preload=True)
    with callers(cluster, 3) as clients:
        for one in clients:
            one.ask("join", "room")
        clients[0].say("tell", "room", 1)
        for one in clients:
            one.wait_told(1)
        one, other = of_two_workers(clients)
        assert one.ask("ask", other.sid, 1) == [other.sid, 1]


def check_session(cluster: Cluster, transports: tuple[str, ...], certificate: str | None = None) -> None:
    """Each poll finds the worker that made the session; bytes, rooms and acknowledgements as by websocket."""
    room = f"room-{uuid4()}"  # a client of an earlier test may be in its own until it is missed
    with callers(cluster, 4, transports, certificate=certificate) as clients:
        for one in clients:
            assert {one.worker for _ in range(5)} == {one.worker}
            one.ask("join", room)
        one, other = of_two_workers(clients)
        one.say("tell", room, b"\0\xff")
        for client in clients:
            client.wait_told(b"\0\xff")
        assert one.ask("ask", other.sid, 5) == [other.sid, 5]
        assert [found[4] for found in one.ask("sockets", room)] == [transports[-1]] * 4
        scheme = "http" if certificate is None else "https"
        assert [client.ask("whence") for client in clients] == [[scheme, "127.0.0.1"]] * 4
        one.ask("close", room)
        one.ask("tell", room, "nobody hears that")
        one.ask("put", other.sid, f"{room}-second")
        one.say("tell", f"{room}-second", "in order")
        other.wait_told("in order")
        for client in clients if transports == ("polling",) else ():
            client.be_kicked()  # under ASGI python-engineio answers no poll of a client that leaves by itself
        assert [client.told for client in clients] == [[], [], [], []]


@pytest.mark.table(quick=["gevent"])
@every_kind
def test_session_by_polling_stays_where_it_is(cluster: Cluster) -> None:
    check_session(cluster, ("polling",))


@pytest.mark.slow
def test_session_by_polling_stays_where_it_is_whatever_else_is_routed(cluster_factory: ClusterFactory) -> None:
    """A key of the program's, which finds nothing in requests of Socket.IO."""
    config = (
        "from nodecluster_compat import cluster\nfrom nodecluster_compat.routing import Query\n"
        "cluster.setup_primary(routing=Query('upload_id'))\n"
    )
    check_session(cluster_factory(**GEVENT, config=config), ("polling",))


@pytest.mark.table(quick=[], slow=["upgrade-gevent", "polling-asgi"])
@pytest.mark.parametrize("options", [GEVENT, THREADS, ASGI], ids=["gevent", "threads", "asgi"])
@pytest.mark.parametrize(
    "transports",
    [("polling",), ("polling", "websocket"), ("websocket",)],
    ids=["polling", "upgrade", "websocket"],
)
def test_session_through_tls_stays_where_it_is(
    cluster_factory: ClusterFactory, certificate: Certificate, options: dict[str, Any], transports: tuple[str, ...]
) -> None:
    """With a client that trusts nothing but the certificate's authority."""
    cluster = cluster_factory(**through_tls(options, certificate))
    check_session(cluster, transports, certificate.cert)


@pytest.mark.table(quick=[], slow=["asgi"])
@pytest.mark.parametrize("options", [GEVENT, THREADS, ASGI], ids=["gevent", "threads", "asgi"])
def test_clients_that_a_worker_relays_go_on_when_it_is_drained(
    cluster_factory: ClusterFactory, certificate: Certificate, options: dict[str, Any]
) -> None:
    """A client's websocket comes by another worker than its session is of; the drain has no end but that of clients."""
    cluster = cluster_factory(**through_tls(options, certificate, graceful_timeout=1000))
    ways = ("polling", "websocket")
    with callers(cluster, 6, ways, reconnects=True, certificate=certificate.cert) as clients:
        assert len({one.worker for one in clients}) > 1
        for worker in (1, 2, 3):
            cluster.worker(worker).kill(signal.SIGTERM)
            cluster.journal.wait_for("exit", worker=worker)
            for one in clients:
                one.insist("join", "room")
            clients[0].say("tell", "room", worker)
            for one in clients:
                one.wait_told(worker)


def through_tls(options: dict[str, Any], certificate: Certificate, **settings: Any) -> dict[str, Any]:
    """The options of a cluster that speaks TLS."""
    tls = {"keyfile": certificate.key, "certfile": certificate.cert, **settings}
    return {**options, "settings": {**options.get("settings", {}), **tls}}


@pytest.mark.table(quick=["gevent", "asgi"])
@every_kind
def test_session_that_is_upgraded_stays_where_it_is(cluster: Cluster) -> None:
    check_session(cluster, ("polling", "websocket"))


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "warnings"), [("gevent", 1), ("threading", 0)], ids=["gevent", "threading"])
def test_the_log_says_once_which_mode_threads_need(cluster_factory: ClusterFactory, mode: str, warnings: int) -> None:
    """Engine.IO takes gevent where it is installed, and its greenlets do not run there."""
    cluster = cluster_factory(**{**THREADS, "env": {"SIO_MODE": mode}})
    assert cluster.get("/").status == 200
    assert cluster.stop() == 0
    assert cluster.log.count('write async_mode="threading"') == warnings


def begin_and_post(cluster: Cluster) -> int:
    """Begin a session, and post to it at once over another connection; return the status of that."""
    begun = cluster.get("/socket.io/?EIO=4&transport=polling").text
    sid = json.loads(begun[1:])["sid"]
    return cluster.request("POST", f"/socket.io/?EIO=4&transport=polling&sid={sid}", body=b"1").status


@pytest.mark.slow
@pytest.mark.cluster(**GEVENT)
def test_no_request_overtakes_what_is_known_of_its_session(cluster: Cluster) -> None:
    """A session is posted to before anybody could be told of it: its id says where it is."""
    with ThreadPoolExecutor(10) as pool:
        statuses = Counter(pool.map(lambda _: begin_and_post(cluster), range(2000)))
    assert statuses == {200: 2000}


@pytest.mark.table(
    quick=["drained asgi websocket"],
    slow=["drained threads polling", "killed websocket", "killed threads websocket"],
)
@pytest.mark.parametrize(
    ("options", "end", "transport"),
    [
        pytest.param(GEVENT, "killed", "polling", id="killed polling"),
        pytest.param(GEVENT, "killed", "websocket", id="killed websocket"),
        pytest.param(GEVENT, "drained", "polling", id="drained polling"),
        pytest.param(GEVENT, "drained", "websocket", id="drained websocket"),
        pytest.param(THREADS, "drained", "polling", id="drained threads polling"),
        pytest.param(THREADS, "drained", "websocket", id="drained threads websocket"),
        pytest.param(THREADS, "killed", "polling", id="killed threads polling"),
        pytest.param(THREADS, "killed", "websocket", id="killed threads websocket"),
        pytest.param(ASGI, "drained", "polling", id="drained asgi polling"),
        pytest.param(ASGI, "drained", "websocket", id="drained asgi websocket"),
        pytest.param(ASGI, "killed", "polling", id="killed asgi polling"),
        pytest.param(ASGI, "killed", "websocket", id="killed asgi websocket"),
    ],
)
def test_clients_go_on_with_another_worker(
    cluster_factory: ClusterFactory, transport: str, options: dict[str, Any], end: str
) -> None:
    """At once: not when the time of the drain is over, which is never here."""
    settings = {**options.get("settings", {}), "graceful_timeout": 1000}
    cluster = cluster_factory(**{**options, "settings": settings})
    with callers(cluster, 3, [transport], reconnects=True) as clients:
        one, other = of_two_workers(clients)
        before = one.worker
        cluster.worker(before).kill(signal.SIGTERM if end == "drained" else signal.SIGKILL)
        one.wait(lambda client: client.connects == 2, "it has connected again")
        assert one.worker != before
        assert one.ask("ask", other.sid, 1) == [other.sid, 1]
        cluster.journal.wait_for("exit", worker=before)
        for client in clients if transport == "polling" else ():
            client.be_kicked()  # as in ``check_session``
