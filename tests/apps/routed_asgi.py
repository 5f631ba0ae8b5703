"""Say who serves; ``/held`` waits for the file ``release``, ``/working`` goes on until then, behind its answer."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from nodecluster_compat import cluster


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await receive()
    if scope["path"] == "/held":
        say("held")
        await until_released()
    body = json.dumps({"worker": cluster.worker and cluster.worker.id}).encode()
    fields = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})
    if scope["path"] == "/working":
        await work(receive)


async def work(receive: Any) -> None:
    """As a background task of Starlette, which is told if its client leaves."""
    client = asyncio.ensure_future(receive())
    try:
        await until_released()
        say("disconnected" if client.done() else "done")
    except asyncio.CancelledError:
        say("cancelled")
        raise
    finally:
        client.cancel()


async def until_released() -> None:
    while not os.path.exists("release"):
        await asyncio.sleep(0.02)


def say(what: str) -> None:
    os.write(1, json.dumps({"told": what}).encode() + b"\n")
