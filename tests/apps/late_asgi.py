"""Requests of an ASGI application that take too long."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

from nodecluster_compat import http


def say(**facts: Any) -> None:
    os.write(1, json.dumps(facts).encode() + b"\n")


async def hang() -> None:
    try:
        await asyncio.sleep(20)
    except asyncio.CancelledError:
        say(told="cancelled")
        raise


@http.request_timeout(0.3)
async def quick() -> None:
    await hang()


async def stubborn() -> None:
    try:
        await hang()
    except asyncio.CancelledError:
        await hang()


def limited_in_a_thread() -> None:
    http.limit_request(0.3)
    time.sleep(1)


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        if scope["path"] == "/limited":
            http.limit_request(0.3)
        await hang()
        return
    path = scope["path"]
    kind = b"text/event-stream" if path == "/events" else b"text/plain"
    if path in ("/stream", "/events"):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await hang()
    elif path == "/hang":
        await hang()
    elif path == "/quick":
        await quick()
    elif path == "/stubborn":
        await stubborn()
    elif path == "/thread":
        await asyncio.to_thread(limited_in_a_thread)
    elif path == "/unlimited":
        http.limit_request(0)
        await asyncio.sleep(1.2)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"7")]})
    await send({"type": "http.response.body", "body": b"in time"})
    if path == "/background":
        await asyncio.sleep(1.2)
        say(told="background")
