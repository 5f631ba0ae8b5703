"""An application of the interface that ``INTERFACE`` or the file ``interface`` names: ``asgi``, ``wsgi``, ``none``."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

from nodecluster_compat import process

HEARD: list[Any] = []


@process.on("message")
def hear(message: Any, _: object) -> None:
    HEARD.append(message)


def tell(message: Any) -> None:
    process.send(message)


async def asgi(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Awaitable[None]]) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"asgi"})


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "4")])
    return [b"wsgi"]


name = os.environ.get("INTERFACE", "asgi")
if os.path.exists("interface"):
    with open("interface") as file:
        name = file.read()
app: Callable[..., Any] = {"asgi": asgi, "wsgi": wsgi}[name]
