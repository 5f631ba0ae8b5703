"""Socket.IO on two hosts with one Redis: rooms, acknowledgements, sessions and questions know no border."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import socketio
from redis_server import RedisServer, needs_redis, running
from socketio_clients import Caller, Comer, callers, comer

from pytest_cluster import ClusterFactory
from pytest_cluster.waiting import poll

pytest.importorskip("redis")
pytestmark = [needs_redis, pytest.mark.timeout(120)]

GEVENT: dict[str, Any] = {"app": "socketio_app:app", "worker_class": "nodecluster_compat.Worker"}
ASGI: dict[str, Any] = {"app": "socketio_asgi:app", "worker_class": "nodecluster_compat.ASGIWorker"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running(tmp_path) as server:
        yield server


def know_each_other(clients: list[Caller], workers: int) -> bool:
    """Whether all workers are asked by each, and answer."""
    try:
        return all(len(one.ask("servers", 4)) == workers - 1 for one in clients)
    except socketio.exceptions.TimeoutError:  # one of another host was to answer that has just gone
        return False


@pytest.mark.parametrize(
    "kind", [pytest.param(GEVENT, id="gevent"), pytest.param(ASGI, id="asgi", marks=pytest.mark.slow)]
)
def test_two_hosts(cluster_factory: ClusterFactory, server: RedisServer, kind: dict[str, Any]) -> None:
    """Ids of workers are the same on both, and yet each client is found where it is."""
    env = {"NODECLUSTER_BUS": server.url}
    one, other = (cluster_factory(**kind, workers=2, env=env) for _ in range(2))
    with callers(one, 2) as here, callers(other, 2) as there:
        assert {client.worker for client in here} == {client.worker for client in there} == {1, 2}
        assert poll(lambda: know_each_other([*here, *there], 4), 40)
        answers = here[0].ask("servers", 21)
        assert sorted(value[1] for value in answers.values()) == [42, 42, 42]
        check_rooms(here, there)
        check_one_client(here, there)
        other.stop()
        assert poll(lambda: know_each_other(here[:1], 2), 40)


def check_rooms(here: list[Caller], there: list[Caller]) -> None:
    for client in (here[0], there[0]):
        assert client.ask("join", "room") == ["room"]
    there[1].say("tell", "room", {"text": "hello", "bytes": b"\0\xff"})
    for client in (here[0], there[0]):
        client.wait_told({"text": "hello", "bytes": b"\0\xff"})
    here[0].ask("put", there[1].sid, "second")
    here[0].say("tell", "second", "in order")
    there[1].wait_told("in order")
    here[0].ask("close", "second")
    here[0].ask("tell", "second", "nobody hears that")
    here[0].say("tell", there[1].sid, "to one")
    there[1].wait_told("to one")
    assert [client.told for client in (*here, *there)] == [[], [], [], []]


def check_one_client(here: list[Caller], there: list[Caller]) -> None:
    for asks, asked in ((here[0], there[0]), (there[1], here[1]), (here[1], here[0])):
        assert asks.ask("ask", asked.sid, 5) == [asked.sid, 5]
        assert asks.ask("session", asked.sid)["born in"] == asked.worker
        asks.ask("note", asked.sid, "seen")
        assert asks.ask("session", asked.sid) == {"note": "seen"}
    assert here[1].ask("rooms", there[0].sid) == sorted([there[0].sid, "room"])
    assert {one[0] for one in there[1].ask("sockets", "room")} == {here[0].sid, there[0].sid}
    assert here[0].ask("session", "A" * 20 + ".1") == "KeyError: 'Session not found'"
    there[0].say("kick", here[1].sid)
    assert poll(lambda: not here[1].client.connected, 20)


@pytest.mark.slow
def test_recovery_on_two_hosts(cluster_factory: ClusterFactory, server: RedisServer) -> None:
    """What another host sends is missed by nobody and comes once; who comes back to another host begins anew."""
    env = {"NODECLUSTER_BUS": server.url, "SIO_MANAGER": '{"recovery": 60}'}
    here, there = (cluster_factory(**GEVENT, workers=count, env=env) for count in (3, 1))
    with callers(there, 1) as [far], callers(here, 1) as [near], comer(here) as one:
        assert poll(lambda: know_each_other([far, near, one], 4), 40)
        sid = one.sid
        one.ask("join", "room")
        come_back_elsewhere(one, far)
        for sender in (far, near):
            sender.say("tell", sid, "to it, once")
            sender.say("tell", "room", "to the room")
            one.wait_told("to it, once", "to the room")
        one.break_connection()
        far.say("tell", "room", "while all workers are replaced")
        assert here.reload().state == "succeeded"
        assert one.come_back() == sid
        one.wait_told("while all workers are replaced")
        one.break_connection()
        one.url = there.url
        assert one.come_back() != sid
        assert one.ask("rooms", one.sid) == [one.sid]


def come_back_elsewhere(one: Comer, far: Caller) -> None:
    """Come back until it is another worker's than its id says."""
    sid, home = one.sid, one.worker
    while one.worker == home:
        one.break_connection()
        far.say("tell", "room", "meanwhile")
        far.say("tell", sid, {"to it": b"bytes"})
        assert one.come_back() == sid
        one.wait_told("meanwhile", {"to it": b"bytes"})
