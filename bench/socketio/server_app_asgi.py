"""The Socket.IO server of bench/socketio/check.py in ASGI workers: what ``server_app.py`` has, awaited."""

import os
from typing import Any
from urllib.parse import urlsplit

import socketio

from nodecluster_compat.socketio import AsyncClusterManager


def is_own(origin: str, environ: dict[str, Any]) -> bool:
    """Whether a page of this server asks, through TLS as well: for python-engineio all of ASGI is ``http``."""
    return urlsplit(origin).netloc == environ["HTTP_HOST"]


sio = socketio.AsyncServer(async_mode="asgi", client_manager=AsyncClusterManager(), cors_allowed_origins=is_own)


async def page(_scope: Any, _receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"4")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"here"})


app = socketio.ASGIApp(sio, page)


@sio.on("echo")
async def echo(_sid: str, value: Any) -> list[Any]:
    return [os.getpid(), value]


@sio.on("join")
async def join(sid: str, room: str) -> bool:
    await sio.enter_room(sid, room)
    return True


@sio.on("put")
async def put(_sid: str, other: str, room: str) -> bool:
    await sio.enter_room(other, room)
    return True


@sio.on("close")
async def close(_sid: str, room: str) -> bool:
    await sio.close_room(room)
    return True


@sio.on("tell")
async def tell(_sid: str, room: str, what: str, value: Any) -> bool:
    await sio.emit(what, value, room=room)
    return True


@sio.on("ask")
async def ask(_sid: str, other: str, value: Any) -> Any:
    return await sio.call("asked", value, to=other, timeout=20)


@sio.on("kick")
async def kick(_sid: str, other: str) -> None:
    await sio.disconnect(other)


@sio.on("whence")
async def whence(sid: str) -> list[str]:
    scope = sio.get_environ(sid)["asgi.scope"]  # python-engineio names neither in what it makes of it
    return [scope["scheme"].replace("ws", "http"), scope["client"][0]]
