"""``chatty`` for ASGI: GET / answers at once, /slow after 20 ms, /talk after a message to the primary and back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from nodecluster_compat import process

TICKETS = count()
WAITING: dict[int, asyncio.Future[Any]] = {}
TEXT = "x" * 2000


@process.on("message")
async def answered(message: Any, handle: object) -> None:
    WAITING.pop(message["ticket"]).set_result(message["text"])


async def talk() -> str:
    ticket = next(TICKETS)
    WAITING[ticket] = waiting = asyncio.get_running_loop().create_future()
    await process.send_async({"ticket": ticket, "text": TEXT})
    text: str = await asyncio.wait_for(waiting, 20)
    return text


async def app(scope: dict[str, Any], receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    text = "hello"
    if scope["path"] == "/slow":
        await asyncio.sleep(0.02)
    elif scope["path"] == "/talk":
        text = await talk()
    body = text.encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
