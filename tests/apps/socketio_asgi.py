"""A Socket.IO server for ASGI workers that does what its clients ask."""

from __future__ import annotations

import json
import os

import socketio

from nodecluster_compat import cluster
from nodecluster_compat.socketio import AsyncClusterManager

manager = AsyncClusterManager(**json.loads(os.environ.get("SIO_MANAGER", "{}")))
sio = socketio.AsyncServer(async_mode="asgi", client_manager=manager, cors_allowed_origins="*")


def here() -> int:
    return cluster.worker.id if cluster.worker else 0


@sio.event
async def connect(sid, environ, auth=None):
    async with sio.session(sid) as session:
        session["born in"] = here()


@sio.event
async def echo(sid, value):
    return here(), value


@sio.event
async def join(sid, room):
    await sio.enter_room(sid, room)
    return sorted(set(sio.rooms(sid)) - {sid})


@sio.event
async def put(sid, other, room):
    await sio.enter_room(other, room)


@sio.event
async def close(sid, room):
    await sio.close_room(room)


@sio.event
async def tell(sid, room, value):
    await sio.emit("told", value, room=room)


@sio.event
async def count(sid, room, number):
    for one in range(number):
        await sio.emit("told", one, room=room)


@sio.event
async def others(sid, value):
    await sio.emit("told", value, skip_sid=sid)


@sio.event
async def ask(sid, other, value):
    return await sio.call("asked", value, to=other, timeout=10)


@sio.event
async def kick(sid, other):
    await sio.disconnect(other)


farewells = {}


@sio.event
async def farewell(sid, other):
    farewells[sid] = other


@sio.event
async def disconnect(sid, reason=None):
    if sid in farewells:
        other = farewells.pop(sid)
        await sio.emit("told", await sio.get_session(other), room=other)


@sio.event
async def rooms(sid, other):
    return sorted(await manager.rooms_of(other))


@sio.event
async def whence(sid):
    scope = sio.get_environ(sid)["asgi.scope"]  # python-engineio names neither in what it makes of it
    return [scope["scheme"].replace("ws", "http"), scope["client"][0]]


@sio.event
async def session(sid, other):
    try:
        return await sio.get_session(other)
    except KeyError as error:
        return f"KeyError: {error}"


@sio.event
async def note(sid, other, value):
    await sio.save_session(other, {"note": value})


@sio.event
async def sockets(sid, room):
    found = await manager.fetch_sockets(room)
    return [[one.sid, one.worker_id, sorted(one.rooms), one.session, one.transport] for one in found]


@sio.event
async def servers(sid, value):
    return {str(number): answer for number, answer in (await manager.server_side_call("double", value)).items()}


@sio.event
async def leave_ack_open(sid, other):
    await sio.emit("silent", to=other, callback=lambda *_: None)
    return len(manager.callbacks)


@sio.event
async def open_acks(sid):
    return sorted(set(manager.callbacks) - {sid})


@sio.event
async def add(sid, other, key, value):
    async with sio.session(other) as session:
        session[key] = value


@sio.event
async def announce(sid, room, value):
    await manager.server_side_emit("announced", room, value)


@manager.on_server_side("announced")
async def announced(room, value):
    await sio.emit("told", [here(), value], room=room)


@sio.on("join", namespace="/second")
async def join_second(sid, room):
    await sio.enter_room(sid, room, namespace="/second")


@sio.on("tell", namespace="/second")
async def tell_second(sid, room, value):
    await sio.emit("told", value, room=room, namespace="/second")


@sio.on("add", namespace="/second")
async def add_second(sid, other, key, value):
    async with sio.session(other, namespace="/second") as session:
        session[key] = value


@sio.on("session", namespace="/second")
async def session_second(sid, other):
    return await sio.get_session(other, namespace="/second")


@sio.on("kick", namespace="/second")
async def kick_second(sid, other):
    await sio.disconnect(other, namespace="/second")


@manager.on_server_side("double")
async def double(value):
    if value == "raise":
        raise ValueError("as it was told")
    return [here(), 2 * value]


async def page(scope, receive, send):
    path = scope["path"].split("/")[1:]
    answer = await sio.call("asked", "from a page", to=path[1], timeout=10) if path[0] == "call" else "here"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps([here(), answer]).encode()})


app = socketio.ASGIApp(sio, page)
