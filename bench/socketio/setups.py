"""List the servers that check.py checks, and what stands in front of each."""

from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True)
class Setup:
    """A server, and what stands in front of it.

    Attributes:
        worker: the class.
        workers: how many.
        options: of gunicorn.
        env: of the application.
        front: ``nginx``, ``haproxy``, or nothing.
        by_path: whether that reaches the server by a unix socket.
        is_encrypted: whether gunicorn speaks TLS.
        needs: a module without which there is none.
        app: the application.
    """

    worker: str = "nodecluster_compat.Worker"
    workers: int = 4
    options: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    front: str = ""
    by_path: bool = False
    is_encrypted: bool = False
    needs: str = "socketio"
    app: str = "server_app:app"

    @property
    def missing(self) -> str:
        """What is not installed here."""
        if self.front and shutil.which(self.front, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            return self.front
        return "" if importlib.util.find_spec(self.needs) else self.needs


SETUPS: Final = {
    "stock": Setup("gevent", 2, env={"APP": "stock"}),
    "direct": Setup(),
    "tls": Setup(is_encrypted=True),
    "nginx": Setup(front="nginx"),
    "nginx-unix": Setup(front="nginx", by_path=True),
    "haproxy": Setup(front="haproxy"),
    "flask": Setup(env={"APP": "flask"}, needs="flask_socketio"),
    "preload": Setup(options=("--preload",), env={"PATCH": "1"}),
    "gevent-websocket": Setup(
        "nodecluster_compat.WebSocketWorker", env={"GEVENT_WEBSOCKET": "1"}, needs="geventwebsocket"
    ),
    "threads": Setup("nodecluster_compat.ThreadWorker", options=("--threads", "200"), env={"MODE": "threading"}),
    "asgi": Setup("nodecluster_compat.ASGIWorker", app="server_app_asgi:app"),
    "asgi-tls": Setup("nodecluster_compat.ASGIWorker", app="server_app_asgi:app", is_encrypted=True),
}
