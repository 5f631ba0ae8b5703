"""Bytes for clients that poll and for websockets of one worker, whichever is first."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest
from engineio.async_socket import AsyncSocket
from engineio.payload import Payload
from engineio.socket import Socket
from socketio import AsyncServer, Server

from nodecluster_compat.socketio import AsyncClusterManager, ClusterManager

SENT: Final = b"\0\xff"
TRANSPORTS: Final = [["polling", "websocket", "polling"], ["websocket", "polling", "websocket"]]


def with_clients(server: Any, kind: Any, number: int) -> list[Any]:
    sockets = [kind(server.eio, f"eio-{number}") for number in range(number)]
    for socket in sockets:
        server.eio.sockets[socket.sid] = socket
        for room in (None, "room"):
            server.manager.basic_enter_room(f"sid of {socket.sid}", "/", room, eio_sid=socket.sid)
    return sockets


def as_read(transport: str, packets: list[Any]) -> Any:
    """What a client of a transport reads of the second packet, which has the bytes."""
    if transport == "polling":
        return Payload(packets=packets).encode().split("\x1e")[1]
    return [packet.encode() for packet in packets][1]


def expected(transports: list[str]) -> list[Any]:
    return ["bAP8=" if one == "polling" else SENT for one in transports]


@pytest.mark.parametrize("recovery", [None, 60])
@pytest.mark.parametrize("transports", TRANSPORTS, ids=lambda one: one[0])
def test_each_client_reads_bytes_as_its_transport_has_them(transports: list[str], recovery: float | None) -> None:
    server = Server(async_mode="threading", client_manager=ClusterManager(recovery=recovery))
    sockets = with_clients(server, Socket, len(transports))
    server.manager.emit("told", SENT, namespace="/", room="room")
    read = [as_read(transport, socket.poll()) for transport, socket in zip(transports, sockets, strict=True)]
    assert read == expected(transports)


@pytest.mark.parametrize("recovery", [None, 60])
@pytest.mark.parametrize("transports", TRANSPORTS, ids=lambda one: one[0])
def test_so_does_each_client_of_an_event_loop(transports: list[str], recovery: float | None) -> None:
    async def run() -> list[Any]:
        server = AsyncServer(async_mode="asgi", client_manager=AsyncClusterManager(recovery=recovery))
        sockets = with_clients(server, AsyncSocket, len(transports))
        await server.manager.emit("told", SENT, namespace="/", room="room")
        return [as_read(transport, await socket.poll()) for transport, socket in zip(transports, sockets, strict=True)]

    assert asyncio.run(run()) == expected(transports)
