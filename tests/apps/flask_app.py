"""A Flask application: JSON, a form, a stream, an upload, a download, a websocket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, jsonify, request
from simple_websocket import ConnectionClosed, Server

app = Flask(__name__)
MEBIBYTE = 1024 * 1024


@app.get("/json")
def as_json() -> Response:
    return jsonify(path=request.path, args=request.args)


@app.post("/form")
def form() -> dict[str, str]:
    return {"name": request.form["name"]}


@app.get("/stream")
def stream() -> Response:
    return Response((f"{n}," for n in range(5)), mimetype="text/plain")


@app.post("/upload")
def upload() -> dict[str, int]:
    length = 0
    while chunk := request.stream.read(MEBIBYTE):
        length += len(chunk)
    return {"length": length}


@app.get("/download/<int:size>")
def download(size: int) -> Response:
    def body() -> Iterator[bytes]:
        for _ in range(size):
            yield b"x" * MEBIBYTE

    return Response(body(), mimetype="application/octet-stream")


@app.route("/echo", websocket=True)
def echo() -> Any:
    websocket = Server.accept(request.environ)
    try:
        while True:
            websocket.send(websocket.receive())
    except ConnectionClosed:
        return ""
