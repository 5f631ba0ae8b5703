"""``parity`` for ASGI: one application with every way of answering, to compare two servers byte by byte."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

LENGTHS = {"/large": 300_000, "/short": 5, "/wrong": 2}


def described(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, list | tuple):
        return [described(one) for one in value]
    return value


def scope_of(scope: Event) -> dict[str, Any]:
    """What the application was told, without what names this connection."""
    told = {name: described(value) for name, value in scope.items() if name not in {"state", "extensions", "server"}}
    client = scope.get("client")
    told["client"] = client[0] if client else None
    told["extensions"] = sorted(scope.get("extensions") or ())
    return told


async def body_of(receive: Receive) -> str:
    body = b""
    while (event := await receive())["type"] == "http.request":
        body += event.get("body", b"")
        if not event.get("more_body"):
            return body.decode("latin-1")
    return body.decode("latin-1") + " and then " + event["type"]


async def answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], *bodies: Any) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for body in bodies:
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def app(scope: Event, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    path = scope["path"]
    if path == "/raise":
        raise ValueError("before the response")
    if path == "/nothing":
        return
    if path == "/stream":
        await answer(send, 200, [(b"content-type", b"text/plain")], b"first,", b"", b"second")
    elif path == "/torn":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        raise ValueError("within the response")
    elif path == "/badheader":
        await answer(send, 200, [(b"x-bad", b"a\r\nb")], b"")
    elif path == "/notbytes":
        await answer(send, 200, [], "text")
    elif path == "/empty":
        await answer(send, 204, [])
    elif path == "/304":
        await answer(send, 304, [(b"etag", b'"x"')])
    elif path in LENGTHS:
        length = LENGTHS[path]
        await answer(send, 200, [(b"content-length", b"%d" % length)], b"y" * (length if path == "/large" else 3))
    else:
        told = json.dumps([scope_of(scope), await body_of(receive)], sort_keys=True).encode()
        await answer(send, 200, [(b"content-length", b"%d" % len(told))], told)
