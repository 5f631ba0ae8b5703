"""Wrap the ASGI application: mark each response with the worker's id, count requests, reach failpoints.

A websocket is a request: its handshake is marked, and it has ended when the application returns.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from ..wire.records import HEADER
from ..wire.tallies import Tallies
from .armed import Answer
from .steps import Steps

__all__ = ["ASGIApplication", "WrappedASGIApplication"]

Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]
ASGIApplication: TypeAlias = Callable[[Event, Receive, Send], Awaitable[None]]

_MARKED = ("http.response.start", "websocket.accept")


class WrappedASGIApplication:
    """An ASGI application around *application*."""

    def __init__(self, application: ASGIApplication, worker: int, tallies: Tallies, steps: Steps) -> None:
        self._application = application
        self._worker = worker
        self._field = (HEADER.lower().encode(), str(worker).encode())
        self._tallies = tallies
        self._steps = steps

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        self._tallies.begin(self._worker)
        try:
            await self._serve(scope, receive, self._marking(send))
        finally:
            self._tallies.end(self._worker)

    async def _serve(self, scope: Event, receive: Receive, send: Send) -> None:
        try:
            await self._steps.reach_in_task("request")
        except Answer as answer:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1011, "reason": answer.message})
            else:
                await _answer(answer, send)
        else:
            await self._application(scope, receive, send)

    def _marking(self, send: Send) -> Send:
        async def marked(event: Event) -> None:
            if event["type"] in _MARKED:
                event = {**event, "headers": [*event.get("headers", ()), self._field]}
            await send(event)

        return marked


async def _answer(answer: Answer, send: Send) -> None:
    body = f"{answer.message}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
