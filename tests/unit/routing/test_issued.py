"""Keys that we put into answers: the cookie, the suffix."""

from __future__ import annotations

from typing import Any

import pytest

from nodecluster_compat.errors import SettingsError
from nodecluster_compat.routing import IssuedField, RequestHead, StickyCookie


def found(key: Any, field: Any) -> Any:
    return key.find(RequestHead(f"GET / HTTP/1.1\r\n{field}\r\n\r\n".encode("latin-1")))


def test_a_cookie_names_its_worker() -> None:
    cookie = StickyCookie(secret="s")
    assert found(cookie, f"Cookie: a=b; NODECLUSTER={cookie.value(7)}") == 7
    assert found(cookie, "Cookie: a=b") is None


@pytest.mark.parametrize("value", ["7", "7.", "7." + "0" * 32, "x", "", "07.0", "7.é", "-1.0", "7" * 5000])
def test_a_forged_cookie_names_nobody(value: Any) -> None:
    assert found(StickyCookie(secret="s"), f"Cookie: NODECLUSTER={value}") is None


def test_a_cookie_of_another_server_or_name_names_nobody() -> None:
    ours = StickyCookie()
    assert found(ours, f"Cookie: NODECLUSTER={StickyCookie().value(7)}") == 7
    assert found(ours, f"Cookie: NODECLUSTER={StickyCookie(secret='other').value(7)}") is None
    assert found(ours, f"Cookie: NODECLUSTER={StickyCookie('OTHER').value(7)}") is None


def test_the_cookie_that_is_signed_counts_among_those_of_its_name() -> None:
    """A stale one of a longer path comes first, and so may one that a neighbour domain has set."""
    cookie = StickyCookie(secret="s")
    ours = f"NODECLUSTER={cookie.value(7)}"
    assert found(cookie, f"Cookie: NODECLUSTER=9.dead; {ours}") == 7
    assert cookie.added(f"NODECLUSTER=9.dead; {ours}", 7, is_secure=False) is None


def test_cookies_may_come_in_several_fields() -> None:
    """As proxies make them of HTTP/2; gunicorn gives WSGI all of them with commas between."""
    cookie = StickyCookie(secret="s")
    ours = f"NODECLUSTER={cookie.value(7)}"
    assert found(cookie, f"Cookie: a=b\r\nCookie: {ours}") == 7
    assert cookie.added(f"a=b,{ours}", 7, is_secure=False) is None


def test_a_cookie_is_issued_where_the_client_has_none_of_this_worker() -> None:
    cookie = StickyCookie(secret="s")
    issued = cookie.added("", 7, is_secure=False)
    assert issued == f"NODECLUSTER={cookie.value(7)}; Path=/; HttpOnly; SameSite=Lax"
    assert cookie.added(f"NODECLUSTER={cookie.value(8)}", 7, is_secure=False) == issued
    assert cookie.added(f"a=b; NODECLUSTER={cookie.value(7)}", 7, is_secure=False) is None


def test_a_cookie_has_its_attributes() -> None:
    assert StickyCookie().added("", 7, is_secure=True).endswith("; SameSite=Lax; Secure")
    assert StickyCookie(secure=False).added("", 7, is_secure=True).endswith("; SameSite=Lax")
    none = StickyCookie("me", same_site="None", max_age=60, path="/app").added("", 7, is_secure=False)
    assert none.endswith("; Path=/app; Max-Age=60; HttpOnly; SameSite=None; Secure")


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "a b"},
        {"name": 7},
        {"same_site": "lax"},
        {"path": "app"},
        {"path": "/;x"},
        {"max_age": 0},
        {"max_age": True},
        {"same_site": "None", "secure": False},
        {"secret": ""},
        {"secret": b""},
        {"secret": 7},
    ],
)
def test_what_no_cookie_can_be_is_refused(arguments: Any) -> None:
    with pytest.raises(SettingsError, match="expected"):
        StickyCookie(**arguments)


def test_a_suffix_is_added_for_clients_and_taken_off_for_the_application() -> None:
    key = IssuedField("Mcp-Session-Id")
    assert key.said("abc.d", 7) == "abc.d.7"
    assert key.heard("abc.d.7") == "abc.d"
    assert key.heard("abc") == "abc"
    assert found(key, "MCP-SESSION-ID: abc.d.7") == 7
    assert found(key, "Mcp-Session-Id: abc") is None
