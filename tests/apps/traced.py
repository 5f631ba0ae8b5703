"""Says the id of its request, as the application sees it, and logs a line with it; for WSGI and for ASGI."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from nodecluster_compat import http

log = logging.getLogger("shop")
handler = logging.StreamHandler()
handler.addFilter(http.RequestIdFilter())
handler.setFormatter(logging.Formatter("APP %(request_id)s %(message)s"))
log.addHandler(handler)


def said(variable: str | None) -> bytes:
    log.warning("priced")
    return f"{http.request_id()} {variable}".encode()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = said(environ.get("HTTP_X_REQUEST_ID"))
    fields = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    if environ["PATH_INFO"] == "/own":
        fields.append(("x-request-id", "own"))
    start_response("200 OK", fields)
    return [body]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    body = said(dict(scope["headers"]).get(b"x-request-id", b"None").decode())
    fields = [(b"content-length", b"%d" % len(body))]
    if scope["path"] == "/own":
        fields.append((b"X-Request-Id", b"own"))
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})
