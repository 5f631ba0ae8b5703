"""The Socket.IO server of bench/socketio/check.py, in whichever worker.

``APP`` is ``plain``, ``flask``, or ``stock`` for one without our manager; ``PATCH=1`` patches by gevent here;
``GEVENT_WEBSOCKET=1`` lets Engine.IO find that package.
"""

import os
import sys
from typing import Any

KIND = os.environ.get("APP", "plain")
if os.environ.get("PATCH"):
    from gevent import monkey

    monkey.patch_all()
if not os.environ.get("GEVENT_WEBSOCKET"):
    sys.modules["geventwebsocket"] = None  # Engine.IO prefers it where it finds it, and it needs a worker of its own

import socketio  # noqa: E402

MODE = os.environ.get("MODE", "gevent")


def made_server() -> tuple[Any, Any]:
    """Return python-socketio's server and the application of gunicorn."""
    if KIND == "stock":
        server = socketio.Server(async_mode=MODE)
        return server, socketio.WSGIApp(server, page)
    from nodecluster_compat.socketio import ClusterManager

    if KIND == "flask":
        import flask
        import flask_socketio

        app = flask.Flask(__name__)
        app.add_url_rule("/", "page", lambda: "here")
        made = flask_socketio.SocketIO(app, async_mode=MODE, client_manager=ClusterManager())
        return made.server, app
    server = socketio.Server(async_mode=MODE, client_manager=ClusterManager())
    return server, socketio.WSGIApp(server, page)


def page(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"here"]


sio, app = made_server()


@sio.on("echo")
def echo(_sid: str, value: Any) -> list[Any]:
    return [os.getpid(), value]


@sio.on("join")
def join(sid: str, room: str) -> bool:
    sio.enter_room(sid, room)
    return True


@sio.on("put")
def put(_sid: str, other: str, room: str) -> bool:
    sio.enter_room(other, room)
    return True


@sio.on("close")
def close(_sid: str, room: str) -> bool:
    sio.close_room(room)
    return True


@sio.on("tell")
def tell(_sid: str, room: str, what: str, value: Any) -> bool:
    sio.emit(what, value, room=room)
    return True


@sio.on("ask")
def ask(_sid: str, other: str, value: Any) -> Any:
    return sio.call("asked", value, to=other, timeout=20)


@sio.on("kick")
def kick(_sid: str, other: str) -> None:
    sio.disconnect(other)


@sio.on("whence")
def whence(sid: str) -> list[str]:
    environ = sio.get_environ(sid)
    return [environ["wsgi.url_scheme"], environ["REMOTE_ADDR"]]
