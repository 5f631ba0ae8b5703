"""Long requests of every kind, and an application that says goodbye.

``/held`` answers when the file ``release`` exists; ``/stream`` sends a line and then waits for it; ``/stream-forever``
sends one line and never ends; ``/socket`` is a websocket that the drain closes; ``/deaf`` is one that nothing closes.
``POST /primary`` has the primary run the body, ``POST /leave`` calls ``cluster.worker.disconnect`` with its arguments.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from simple_websocket import ConnectionClosed, Server

from nodecluster_compat import cluster, process

sockets: set[Server] = set()


def say(**facts: Any) -> None:
    os.write(1, json.dumps(facts).encode() + b"\n")


def wait_for_release() -> None:
    while not os.path.exists("release"):
        time.sleep(0.02)


@process.on("disconnecting")
def goodbye(seconds: float | None) -> None:
    say(told="process", seconds=seconds)
    for one in sockets:
        one.close(1001, "going away")


if cluster.worker is not None:
    cluster.worker.on("disconnecting", lambda seconds: say(told="worker", seconds=seconds))


def stream(end: bool) -> Iterator[bytes]:
    yield b"first\n"
    if end:
        wait_for_release()
        yield b"last\n"
        return
    try:
        while True:
            time.sleep(60)
    finally:
        say(told="cut")


def websocket(environ: dict[str, Any], known: set[Server]) -> Iterable[bytes]:
    one = Server.accept(environ)
    known.add(one)
    try:
        while True:
            one.send(one.receive())
    except ConnectionClosed:
        raise StopIteration from None  # gunicorn's word for a connection that needs no answer
    finally:
        known.discard(one)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path in ("/socket", "/deaf"):
        return websocket(environ, sockets if path == "/socket" else set())
    if path.startswith("/stream"):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return stream(path == "/stream")
    if path == "/held":
        say(told="held")
        wait_for_release()
    if environ["REQUEST_METHOD"] == "POST":
        assert cluster.worker is not None
        body = environ["wsgi.input"].read().decode()
        if path == "/leave":
            cluster.worker.disconnect(**json.loads(body))
        else:
            process.send({"remote": "run", "target": None, "source": body, "reply": False})
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
