"""Give the requests of an ASGI application their ids: in the scope, in the answer, and for the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from ....base.request_ids import NewIds, said_id
from ....base.this_request import ID_KEY, REQUEST_ID
from ...requests.trusted_peers import is_trusted

if TYPE_CHECKING:
    from ...gunicorn_types import Settings

__all__ = ["with_request_ids"]

ASGIApplication = Callable[[Any, Any, Any], Awaitable[None]]

_BEGINNINGS: Final = ("http.response.start", "websocket.accept")


def with_request_ids(application: ASGIApplication, cfg: Settings, header: str | None) -> ASGIApplication:
    """Return ``application``, whose requests and websockets have ids.

    Args:
        application: any ASGI callable.
        cfg: gunicorn's settings, which say whom to trust.
        header: has the id, of requests and answers; ``None``: they have none, and the application is what it was.
    """
    if header is None:
        return application
    name, new_id = header.lower().encode(), NewIds()

    async def call(scope: Any, receive: object, send: Callable[[Any], Awaitable[None]]) -> None:  # noqa: ANN401 - ASGI's
        """Serve a request or a websocket: give it the id that a trusted peer has sent, or a new one."""
        if scope["type"] not in ("http", "websocket"):
            await application(scope, receive, send)
            return
        fields = list(scope["headers"])
        said = {key: value.decode("latin-1") for key, value in fields if key in (name, b"traceparent")}
        is_said = bool(said) and is_trusted(cfg, scope.get("client"))
        found = (said_id(said.get(name), said.get(b"traceparent")) if is_said else None) or new_id()
        REQUEST_ID.set(found)
        value = found.encode()

        async def send_with_id(message: Any) -> None:  # noqa: ANN401 - ASGI's
            """Send the application's message; the head of an answer carries the id, unless it has that already."""
            if message["type"] in _BEGINNINGS:
                headers = list(message.get("headers", ()))
                if not any(key.lower() == name for key, _ in headers):
                    message = {**message, "headers": [*headers, (name, value)]}
            await send(message)

        headers = [*((key, one) for key, one in fields if key != name), (name, value)]
        await application({**scope, "headers": headers, ID_KEY: found}, receive, send_with_id)

    return call
