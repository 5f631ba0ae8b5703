"""A client that has answered no ping ends beside what is sent to others, whatever its handlers wait for."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any, Final

import pytest
from engineio.async_socket import AsyncSocket
from engineio.socket import Socket
from socketio import AsyncServer, Server

from nodecluster_compat.socketio import AsyncClusterManager, ClusterManager

MOST_SECONDS: Final = 10
EVENT: Final[dict[str, Any]] = {
    "method": "emit", "event": "told", "data": [1], "binary": False, "namespace": "/", "room": None, "skip_sid": None,
    "callback": None, "host_id": "abc.3",
}  # fmt: skip


def with_clients(server: Any, kind: Any) -> Any:
    """Return the connections of two clients, of which the first has not answered."""
    sockets = [kind(server.eio, name) for name in ("silent", "well")]
    for socket in sockets:
        server.eio.sockets[socket.sid] = socket
        server.manager.basic_enter_room(f"sid of {socket.sid}", "/", None, eio_sid=socket.sid)
    sockets[0].last_ping = time.time() - 1000
    return sockets


@pytest.mark.parametrize("recovery", [None, 60])
def test_handler_of_a_client_that_is_gone_may_wait_for_who_emits(recovery: float | None) -> None:
    server = Server(async_mode="threading", client_manager=ClusterManager(recovery=recovery))
    silent, well = with_clients(server, Socket)
    emitted, ended, found = threading.Event(), threading.Event(), []

    def disconnect(eio_sid: str, _: object) -> None:
        found.append((eio_sid, emitted.wait(MOST_SECONDS)))
        ended.set()

    server.eio.on("disconnect", disconnect)
    for _ in range(2):
        server.manager._handle_emit(dict(EVENT))
    emitted.set()
    assert ended.wait(MOST_SECONDS)
    assert found == [(silent.sid, True)]
    assert well.queue.qsize() == 2


@pytest.mark.parametrize("recovery", [None, 60])
def test_awaited_handler_of_a_client_that_is_gone_may_wait_for_who_emits(recovery: float | None) -> None:
    async def run() -> None:
        server = AsyncServer(async_mode="asgi", client_manager=AsyncClusterManager(recovery=recovery))
        silent, well = with_clients(server, AsyncSocket)
        emitted, ended, found = asyncio.Event(), asyncio.Event(), []

        async def disconnect(eio_sid: str, _: object) -> None:
            await asyncio.wait_for(emitted.wait(), MOST_SECONDS)
            found.append(eio_sid)
            ended.set()

        server.eio.on("disconnect", disconnect)
        for _ in range(2):
            await server.manager._handle_emit(dict(EVENT))
        emitted.set()
        await asyncio.wait_for(ended.wait(), MOST_SECONDS)
        assert found == [silent.sid]
        assert well.queue.qsize() == 2

    asyncio.run(run())
