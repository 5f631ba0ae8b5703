"""Work after an answer: ``/task`` begins what ends soon, ``/endless`` what never does."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

tasks: set[asyncio.Task[None]] = set()


async def soon() -> None:
    await asyncio.sleep(0.1)
    os.write(1, json.dumps({"told": "done"}).encode() + b"\n")


async def never() -> None:
    await asyncio.Event().wait()


async def live(receive: Callable[[], Awaitable[Any]], send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """Something runs from the startup until the shutdown."""
    await receive()
    watching = asyncio.create_task(never())
    await send({"type": "lifespan.startup.complete"})
    await receive()
    watching.cancel()
    os.write(1, json.dumps({"told": "shutdown"}).encode() + b"\n")
    await send({"type": "lifespan.shutdown.complete"})


async def app(scope: dict[str, Any], receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    if scope["path"] == "/task":
        tasks.add(asyncio.create_task(soon()))
    elif scope["path"] == "/endless":
        tasks.add(asyncio.create_task(never()))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
