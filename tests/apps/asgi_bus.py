"""Topics, requests and locks from tasks: ``/publish/N``, ``/broadcast/N``, ``/ask``; ``/blocks`` must not wait."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from nodecluster_compat import cluster, process
from nodecluster_compat.errors import WouldBlock


def say(**facts: Any) -> None:
    os.write(1, json.dumps(facts).encode() + b"\n")


@cluster.bus.subscribe("slowly.*")
async def hear(topic: str, message: int) -> Any:
    await asyncio.sleep(0.001 if message % 2 else 0)
    if topic == "slowly.told":
        say(heard=message, by=os.getpid())
    return [message, None if cluster.worker is None else cluster.worker.id]


async def ask() -> Any:
    replies = await cluster.bus.request_async("slowly.asked", 99, timeout=20)
    everyone = await cluster.everywhere_async(os.getpid, timeout=20)
    async with cluster.lock("async", timeout=20) as lock:
        return dict(replies), len(everyone), (lock.token or 0) > 0


@process.on("message")
async def told(message: Any) -> None:
    say(told=message, by=os.getpid())


async def broadcast(last: int) -> list[bool]:
    return [await cluster.bus.broadcast_async(number) for number in range(last)]


def blocks() -> str:
    try:
        cluster.bus.request("slowly.asked", 1)
    except WouldBlock as error:
        return type(error).__name__
    return "did not"


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    _, what, *rest = scope["path"].split("/")
    if what == "publish":
        body = json.dumps(cluster.bus.publish("slowly.told", int(rest[0])))
    elif what == "broadcast":
        body = json.dumps(await broadcast(int(rest[0])))
    else:
        body = json.dumps(await ask()) if what == "ask" else blocks()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})
