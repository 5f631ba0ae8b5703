"""Websockets by whatever package: ``/flask-sock``, ``/simple`` by simple-websocket, ``/gevent`` by gevent-websocket."""

from __future__ import annotations

import os

import flask
import flask_sock
import simple_websocket

from nodecluster_compat import cluster

if os.environ.get("WITH_GEVENT_WEBSOCKET") == "1":
    import geventwebsocket  # noqa: F401

pages = flask.Flask(__name__)


@flask_sock.Sock(pages).route("/flask-sock")
def by_flask_sock(websocket):
    while True:
        message = websocket.receive()
        websocket.send(message if isinstance(message, bytes) else f"{cluster.worker.id} {message}")


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/flask-sock":
        return pages(environ, start_response)
    if path == "/simple" and environ.get("HTTP_UPGRADE"):
        return simple(environ)
    if path == "/gevent" and environ.get("wsgi.websocket") is not None:
        return by_gevent_websocket(environ["wsgi.websocket"])
    start_response("200 OK", [("Content-Length", "5")])
    return [b"plain"]


def simple(environ):
    websocket = simple_websocket.Server.accept(environ)
    try:
        while (message := websocket.receive()) != "bye":
            websocket.send(f"{cluster.worker.id} {message}")
        websocket.close()
    except simple_websocket.ConnectionClosed:
        pass
    raise StopIteration


def by_gevent_websocket(websocket):
    while (message := websocket.receive()) is not None:
        websocket.send(message if isinstance(message, bytes | bytearray) else f"{cluster.worker.id} {message}")
    return []
