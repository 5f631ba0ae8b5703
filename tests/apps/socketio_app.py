"""A Socket.IO server that does what its clients ask, in whichever worker they are: gevent, threads.

``SIO_MODE`` is python-socketio's ``async_mode``; ``SIO_GEVENT_WEBSOCKET=1`` leaves gevent-websocket to be found.
"""

from __future__ import annotations

import json
import os
import sys

mode = os.environ.get("SIO_MODE", "gevent")
if os.environ.get("SIO_GEVENT_WEBSOCKET") != "1":
    sys.modules["geventwebsocket"] = None  # Engine.IO prefers it where it finds it, and it needs a worker of its own

import socketio  # noqa: E402

from nodecluster_compat import cluster  # noqa: E402
from nodecluster_compat.socketio import ClusterManager  # noqa: E402

options = json.loads(os.environ.get("SIO_MANAGER", "{}"))
manager = ClusterManager(**options)
sio = socketio.Server(async_mode=mode, client_manager=manager, cors_allowed_origins="*")


def here() -> int:
    return cluster.worker.id if cluster.worker else 0


@sio.event
def connect(sid, environ, auth=None):
    with sio.session(sid) as session:
        session["born in"] = here()
    if auth and auth.get("room"):
        sio.enter_room(sid, auth["room"])


@sio.event
def echo(sid, value):
    return here(), value


@sio.event
def join(sid, room):
    sio.enter_room(sid, room)
    return sorted(set(sio.rooms(sid)) - {sid})


@sio.event
def put(sid, other, room):
    sio.enter_room(other, room)


@sio.event
def remove(sid, other, room):
    sio.leave_room(other, room)


@sio.event
def close(sid, room):
    sio.close_room(room)


@sio.event
def tell(sid, room, value):
    sio.emit("told", value, room=room)


@sio.event
def count(sid, room, number):
    for one in range(number):
        sio.emit("told", one, room=room)


@sio.event
def others(sid, value):
    sio.emit("told", value, skip_sid=sid)


@sio.event
def ask(sid, other, value):
    return sio.call("asked", value, to=other, timeout=10)


@sio.event
def kick(sid, other):
    sio.disconnect(other)


farewells = {}


@sio.event
def farewell(sid, other):
    farewells[sid] = other


@sio.event
def disconnect(sid, reason=None):
    if sid in farewells:
        other = farewells.pop(sid)
        sio.emit("told", sio.get_session(other), room=other)


@sio.event
def rooms(sid, other):
    return sorted(sio.rooms(other))


@sio.event
def whence(sid):
    environ = sio.get_environ(sid)
    return [environ["wsgi.url_scheme"], environ["REMOTE_ADDR"]]


@sio.event
def session(sid, other):
    try:
        return sio.get_session(other)
    except KeyError as error:
        return f"KeyError: {error}"


@sio.event
def note(sid, other, value):
    sio.save_session(other, {"note": value})


@sio.event
def sockets(sid, room):
    return [
        [one.sid, one.worker_id, sorted(one.rooms), one.session, one.transport] for one in manager.fetch_sockets(room)
    ]


@sio.event
def servers(sid, value):
    return {str(number): answer for number, answer in manager.server_side_call("double", value).items()}


@sio.event
def leave_ack_open(sid, other):
    sio.emit("silent", to=other, callback=lambda *_: None)
    return len(manager.callbacks)


@sio.event
def open_acks(sid):
    return sorted(set(manager.callbacks) - {sid})


@sio.event
def add(sid, other, key, value):
    with sio.session(other) as session:
        session[key] = value


@sio.event
def announce(sid, room, value):
    manager.server_side_emit("announced", room, value)


@manager.on_server_side("announced")
def announced(room, value):
    sio.emit("told", [here(), value], room=room)


@sio.on("join", namespace="/second")
def join_second(sid, room):
    sio.enter_room(sid, room, namespace="/second")


@sio.on("tell", namespace="/second")
def tell_second(sid, room, value):
    sio.emit("told", value, room=room, namespace="/second")


@sio.on("add", namespace="/second")
def add_second(sid, other, key, value):
    with sio.session(other, namespace="/second") as session:
        session[key] = value


@sio.on("session", namespace="/second")
def session_second(sid, other):
    return sio.get_session(other, namespace="/second")


@sio.on("kick", namespace="/second")
def kick_second(sid, other):
    sio.disconnect(other, namespace="/second")


@manager.on_server_side("double")
def double(value):
    if value == "raise":
        raise ValueError("as it was told")
    return [here(), 2 * value]


def page(environ, start_response):
    path = environ["PATH_INFO"].split("/")[1:]
    if path[0] == "call":
        answer = sio.call("asked", "from a page", to=path[1], timeout=10)
    elif path[0] == "emit":
        sio.emit("told", path[2], room=path[1])
        answer = None
    else:
        answer = "here"
    body = json.dumps([here(), answer]).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


app = socketio.WSGIApp(sio, page)
