"""What is put into the answers of applications, of either interface, and taken out of what they are asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from nodecluster_compat.routing import IssuedField, StickyCookie
from nodecluster_compat.routing.issued_asgi import issued_asgi
from nodecluster_compat.routing.issued_wsgi import issued_wsgi

KEYS: Any = [StickyCookie(secret="s"), IssuedField("Mcp-Session-Id")]
COOKIE = f"NODECLUSTER={StickyCookie(secret='s').value(7)}"
ISSUED = f"{COOKIE}; Path=/; HttpOnly; SameSite=Lax"

Fields = list[tuple[str, str]]


def by_wsgi(asked: Fields, scheme: str) -> tuple[Fields, Fields]:
    """Return what the application was asked, and the fields of the answer."""
    heard: list[dict[str, Any]] = []
    said: list[Any] = []

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        heard.append(environ)
        start_response("200 OK", [("Mcp-Session-Id", "made"), ("X", "y")], None)
        return [b""]

    environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in asked}
    answered = issued_wsgi(application, KEYS, 7)(
        {**environ, "wsgi.url_scheme": scheme}, lambda status, fields, *rest: said.append((status, fields, rest))
    )
    assert list(answered) == [b""]
    ((status, fields, rest),) = said
    assert (status, rest) == ("200 OK", (None,))
    names = {"HTTP_MCP_SESSION_ID": "mcp-session-id", "HTTP_COOKIE": "cookie"}
    return [(names[key], value) for key, value in heard[0].items() if key in names], fields


def by_asgi(asked: Fields, scheme: str) -> tuple[Fields, Fields]:
    heard: list[Any] = []
    said: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        heard.append(scope)
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"Mcp-Session-Id", b"made"), (b"X", b"y")]}
        )
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Any: ...

    async def send(message: Any) -> None:
        said.append(message)

    scope = {"type": "http", "scheme": scheme, "headers": [(n.lower().encode(), v.encode()) for n, v in asked]}
    asyncio.run(issued_asgi(application, KEYS, 7)(scope, receive, send))
    assert [message["type"] for message in said] == ["http.response.start", "http.response.body"]
    return _text(heard[0]["headers"]), _text(said[0]["headers"])


def _text(fields: Any) -> Fields:
    return [(name.decode(), value.decode()) for name, value in fields]


@pytest.mark.parametrize("by", [by_wsgi, by_asgi])
def test_a_new_client_gets_a_cookie_and_a_session_with_the_workers_id(by: Any) -> None:
    heard, said = by([], "http")
    assert heard == []
    assert [(name.lower(), value) for name, value in said] == [
        ("mcp-session-id", "made.7"), ("x", "y"), ("set-cookie", ISSUED)
    ]  # fmt: skip


@pytest.mark.parametrize("by", [by_wsgi, by_asgi])
def test_a_client_that_has_both_is_left_alone(by: Any) -> None:
    heard, said = by([("Cookie", f"a=b; {COOKIE}"), ("Mcp-Session-Id", "made.7")], "http")
    assert dict(heard) == {"cookie": f"a=b; {COOKIE}", "mcp-session-id": "made"}
    assert "set-cookie" not in [name.lower() for name, _ in said]


@pytest.mark.parametrize("by", [by_wsgi, by_asgi])
def test_over_https_the_cookie_is_secure(by: Any) -> None:
    assert by([], "https")[1][-1][1] == f"{ISSUED}; Secure"


def test_other_scopes_are_passed_on_as_they_are() -> None:
    seen: list[Any] = []

    async def application(*given: Any) -> None:
        seen.extend(given)

    scope = {"type": "lifespan"}
    asyncio.run(issued_asgi(application, KEYS, 7)(scope, len, any))
    assert seen == [scope, len, any]
