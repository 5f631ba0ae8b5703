"""One application with every way of answering, to compare two servers byte by byte."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "parity.txt")


OURS = ("nodecluster.client_gone", "nodecluster.request_timeout", "nodecluster.slot")  # on top of what gunicorn gives


def describe(environ: dict[str, Any]) -> bytes:
    """What the application was told, without what names this process or connection."""
    own = {"REMOTE_PORT", "SERVER_PORT", "HTTP_HOST", "wsgi.errors", "wsgi.input", "gunicorn.socket"}
    told = {
        key: value if isinstance(value, str | int | tuple) else type(value).__name__
        for key, value in environ.items()
        if key not in OURS
    }
    for key in own & set(told):
        told[key] = "present"
    return json.dumps(told, sort_keys=True).encode() + environ["wsgi.input"].read()


def stream() -> Iterator[bytes]:
    yield b"first,"
    yield b""
    yield b"second"


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return stream()
    if path == "/write":
        write = start_response("200 OK", [("Content-Length", "11")])
        write(b"hello ")
        return [b"world, too long"]
    if path == "/file":
        start_response("200 OK", [("Content-Length", "70000")])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"x" * 70000))  # type: ignore[no-any-return]
    if path == "/disk":
        start_response("200 OK", [("Content-Length", str(os.path.getsize(FILE)))])
        return environ["wsgi.file_wrapper"](open(FILE, "rb"))  # type: ignore[no-any-return]
    if path == "/hints":
        environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload")])
    if path == "/raise":
        raise ValueError("before the response")
    if path == "/badheader":
        start_response("200 OK", [("X-Bad", "a\r\nb")])
        return [b""]
    if path == "/notbytes":
        start_response("200 OK", [])
        return ["text"]  # type: ignore[list-item]
    if path == "/empty":
        start_response("204 No Content", [])
        return []
    if path == "/304":
        start_response("304 Not Modified", [("ETag", '"x"')])
        return []
    if path == "/large":
        start_response("200 OK", [("Content-Length", "300000")])
        return [b"y" * 300000]
    body = describe(environ)
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
