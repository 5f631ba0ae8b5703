"""What routing reads in the head of a request."""

from __future__ import annotations

from typing import Any

import pytest

from nodecluster_compat.routing.head import RequestHead, first_line_ends, head_ends

HEAD = (
    b"\r\nPOST /send/7?upload=a%20b&upload=c&e= HTTP/1.1\r\nHost: x\r\nMCP-Session-ID:  abc \r\n"
    b'Cookie: one=1; two="2"; one=3\r\n\r\nbody=x\r\nCookie: not=this'
)


def test_a_head_has_its_parts() -> None:
    head = RequestHead(HEAD)
    assert (head.method, head.path) == ("POST", "/send/7")
    assert (head.query("upload"), head.query("e"), head.query("send")) == ("a b", "", None)
    assert (head.field("mcp-session-id"), head.field("Mcp-Session-Id"), head.field("x")) == ("abc", "abc", None)
    assert (head.cookie("one"), head.cookie("two"), head.cookie("not")) == ("1", "2", None)


@pytest.mark.parametrize(
    "data", [b"", b"\r\n", b"\x16\x03\x01\x00", b"\xff" * 99 + b"\n\n", b"GET", b"\n\n\n", b"::\n:\n\n"]
)
def test_garbage_has_no_parts(data: Any) -> None:
    head = RequestHead(data)
    assert (head.path, head.query("a"), head.field("a"), head.cookie("a")) == ("", None, None, None)


def test_it_is_known_when_enough_has_come() -> None:
    for size in range(len(HEAD)):
        assert first_line_ends(HEAD[:size]) is (b"HTTP/1.1\r\n" in HEAD[:size])
        assert head_ends(HEAD[:size]) is (b"\r\n\r\n" in HEAD[:size])
