"""The Socket.IO server of bench/socketio/run.py: ``MANAGER`` is ``cluster`` or ``redis``."""

import os
import sys
import time
from typing import Any

sys.modules["geventwebsocket"] = None  # Engine.IO prefers it where it finds it, and it needs a worker of its own

import socketio  # noqa: E402


def made_manager() -> Any:
    if os.environ["MANAGER"] == "redis":
        return socketio.RedisManager(os.environ["REDIS"])
    from nodecluster_compat.socketio import ClusterManager

    return ClusterManager()


sio = socketio.Server(async_mode="gevent", client_manager=made_manager())
app = socketio.WSGIApp(sio)


@sio.event
def connect(sid: str, _environ: Any, _auth: Any = None) -> None:
    sio.enter_room(sid, "room")


@sio.event
def flood(_sid: str, number: int, text: str) -> None:
    for one in range(number):
        sio.emit("told", (one, text), room="room")


@sio.event
def burn(_sid: str, seconds: float) -> bool:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return True


@sio.event
def whoami(_sid: str) -> int:
    return os.getpid()
