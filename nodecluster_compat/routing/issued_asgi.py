"""Add issued keys to the answers of an ASGI application, and strip them from its requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .issued import IssuingKey

__all__ = ["issued_asgi"]

_Fields = list[tuple[bytes, bytes]]
_STARTS: Final = ("http.response.start", "websocket.accept", "websocket.http.response.start")


def issued_asgi(
    application: Callable[..., Awaitable[Any]], keys: list[IssuingKey], worker_id: int
) -> Callable[..., Awaitable[Any]]:
    """Return ``application`` with the cookies and suffixes of ``keys``.

    Args:
        application: any ASGI callable.
        keys: that issue something.
        worker_id: of this worker.
    """
    by_name = {key.field.encode("latin-1"): key for key in keys if key.field is not None}

    async def call(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> object:
        """Serve a request or a websocket with what the keys add to its answer, and without what they had added."""
        if scope["type"] not in ("http", "websocket"):
            return await application(scope, receive, send)
        fields: _Fields = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
        sent = "; ".join(value.decode("latin-1") for name, value in fields if name.lower() == b"cookie")
        is_secure = scope.get("scheme") in ("https", "wss")
        added = [key.added(sent, worker_id, is_secure=is_secure) for key in keys]
        cookies = [(b"set-cookie", cookie.encode("latin-1")) for cookie in added if cookie is not None]

        async def send_issued(message: dict[str, Any]) -> object:
            """Send the application's message; the head of an answer carries what was issued."""
            if message["type"] in _STARTS:
                said = [
                    _said(bytes(name), bytes(value), by_name, worker_id) for name, value in message.get("headers", ())
                ]
                message = {**message, "headers": [*said, *cookies]}
            return await send(message)

        heard = [_heard(name, value, by_name) for name, value in fields]
        return await application({**scope, "headers": heard}, receive, send_issued)

    return call


def _heard(name: bytes, value: bytes, keys: dict[bytes, IssuingKey]) -> tuple[bytes, bytes]:
    key = keys.get(name.lower())
    return name, (value if key is None else key.heard(value.decode("latin-1")).encode("latin-1"))


def _said(name: bytes, value: bytes, keys: dict[bytes, IssuingKey], worker_id: int) -> tuple[bytes, bytes]:
    key = keys.get(name.lower())
    return name, (value if key is None else key.said(value.decode("latin-1"), worker_id).encode("latin-1"))
