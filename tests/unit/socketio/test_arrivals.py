"""A client comes back: what a handler of ``connect`` can know of it, and what stays where its connection ends."""

from __future__ import annotations

import asyncio
import inspect
from types import SimpleNamespace
from typing import Any

import pytest
import socketio

from nodecluster_compat.socketio import AsyncClusterManager, ClusterManager
from nodecluster_compat.socketio.recovery.claims import Arrival
from nodecluster_compat.socketio.recovery.offsets import Offset, encode_offset
from nodecluster_compat.socketio.recovery.reservations import Claim
from nodecluster_compat.socketio.recovery.sessions import Session


class Rig:
    """A server with one Engine.IO connection, ``eio``; ``recovered`` is what its handlers were told, by namespace."""

    def __init__(self, manager: Any, server: Any) -> None:
        self.manager, self.server = manager, server
        self.socket = SimpleNamespace(session={}, closed=False, closing=False, upgraded=True)
        self.recovered: list[tuple[str, object]] = []
        server.eio.sockets["eio"] = self.socket
        server.environ["eio"] = {}
        for namespace in ("/", "/admin"):
            server.on("connect", self._handler(namespace), namespace=namespace)

    def _handler(self, namespace: str) -> Any:
        def connect(_: str, environ: dict[str, Any], __: object) -> None:
            self.recovered.append((namespace, environ["nodecluster.recovered"]))

        return connect

    def connect(self, namespace: str, data: Any = None) -> None:
        outcome = self.server._handle_connect("eio", namespace, data)
        if inspect.isawaitable(outcome):
            asyncio.run(_awaited(outcome))

    def arrives(self, namespace: str) -> None:
        """The client has claimed a session."""
        memory = self.manager.memory
        offset = Offset(memory.clock(), {})
        had = Session("p", "sid of p", namespace, ["room"], {}, 2, encode_offset(offset), 0)
        self.manager._arrivals["eio", namespace] = Arrival(Claim("p", namespace, "by", 1), had, offset, [])


async def _awaited(outcome: Any) -> None:
    await outcome


def _sent(*_: Any) -> None:
    pass


async def _sent_soon(*_: Any) -> None:
    pass


@pytest.fixture(params=["waiting", "awaiting"])
def rig(request: pytest.FixtureRequest) -> Rig:
    manager: Any
    if request.param == "waiting":
        manager = ClusterManager(recovery=60)
        made = Rig(manager, socketio.Server(async_mode="threading", client_manager=manager))
        made.server._send_packet = _sent
    else:
        manager = AsyncClusterManager(recovery=60)
        made = Rig(manager, socketio.AsyncServer(async_mode="asgi", client_manager=manager))
        made.server._send_packet = _sent_soon
    return made


def test_a_handler_knows_of_its_namespace_whether_the_client_was_recovered(rig: Rig) -> None:
    """Both namespaces are of one connection."""
    rig.arrives("/")
    rig.connect("/")
    rig.connect("/admin")
    assert rig.recovered == [("/", True), ("/admin", False)]
    assert set(rig.manager.rooms["/"]) == {None, "sid of p", "room"}


def test_of_a_connection_that_ends_while_its_session_is_looked_for_nothing_stays(rig: Rig) -> None:
    """Also where there is no such session, and the client would begin anew."""

    def closed(*_: Any) -> Any:
        rig.socket.closed = True

    async def closed_soon(*_: Any) -> Any:
        closed()

    rig.manager._session_of = closed if isinstance(rig.manager, ClusterManager) else closed_soon
    rig.connect("/", {"pid": "nobody", "offset": None})
    assert rig.recovered == []
    assert "/" not in rig.manager.rooms
