"""What a test says of a request, as it goes out."""

from __future__ import annotations

import io
from typing import Any

import pytest

from pytest_cluster.errors import MissingLibrary, OptionError, UnknownKeyword
from pytest_cluster.requests.outgoing import Outgoing, check_keywords, encode, own_path, redirected


@pytest.mark.parametrize(
    ("path", "params", "target"),
    [
        ("/a", {"b": 1, "c": ["2", "3"]}, "/a?b=1&c=2&c=3"),
        ("/a?b=1", [("c", "ä b")], "/a?b=1&c=%C3%A4+b"),
        ("a", "?b=1", "/a?b=1"),
        ("/a#part", {"b": None}, "/a"),
        ("*", None, "*"),
        ("/ä ö%20%2F?a=ü", None, "/%C3%A4%20%C3%B6%20%2F?a=%C3%BC"),
    ],
)
def test_query(path: str, params: Any, target: str) -> None:
    assert encode("GET", path, params=params).target == target


@pytest.mark.parametrize(
    ("options", "body", "content_type"),
    [
        ({"data": {"a": [1, 2], "b": "ä"}}, b"a=1&a=2&b=%C3%A4", "application/x-www-form-urlencoded"),
        ({"data": [("a", "1")]}, b"a=1", "application/x-www-form-urlencoded"),
        ({"data": "text"}, b"text", None),
        ({"data": b"bytes"}, b"bytes", None),
        ({"json": {"a": 1}}, b'{"a": 1}', "application/json"),
        ({"json": [], "headers": {"content-type": "application/ld+json"}}, b"[]", None),
        ({"body": b"raw"}, b"raw", None),
        ({"data": {}}, None, None),
    ],
)
def test_body(options: Any, body: bytes | None, content_type: str | None) -> None:
    request = encode("POST", "/", **options)
    assert request.body == body
    assert request.headers.get("Content-Type") == content_type


@pytest.mark.parametrize(
    "options",
    [
        {"data": {"name": "Ada"}, "files": {"doc": ("a.txt", b"content", "text/csv")}},
        {"data": {"name": "Ada", "doc": (io.BytesIO(b"content"), "a.txt", "text/csv")}},
    ],
    ids=["requests", "Flask"],
)
def test_files(options: Any) -> None:
    """As requests has them, and as Flask and Werkzeug have them among the data."""
    request = encode("POST", "/", **options)

    assert request.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert request.body is not None
    assert b'name="name"\r\n\r\nAda\r\n' in request.body
    assert b'name="doc"; filename="a.txt"\r\nContent-Type: text/csv\r\n\r\ncontent\r\n' in request.body


def test_open_file(tmp_path: Any) -> None:
    (tmp_path / "b.txt").write_bytes(b"content")
    with open(tmp_path / "b.txt", "rb") as file:
        request = encode("POST", "/", files={"doc": file})
    assert b'filename="b.txt"' in (request.body or b"")


def test_authentication() -> None:
    assert encode("GET", "/", auth=("Ada", "secret")).headers == {"Authorization": "Basic QWRhOnNlY3JldA=="}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"data": {"a": 1}, "json": {}}, "one body, and data and json are given"),
        ({"data": "text", "files": {"a": b""}}, "data as a mapping, not as text"),
        ({"data": 3}, "data: expected a mapping or pairs, got 3"),
        ({"params": [1]}, r"params: expected a mapping or pairs, got \[1\]"),
        ({"files": {"a": 3}}, "files: expected bytes, text or an open file for 'a', got 3"),
        ({"auth": "token"}, "auth: expected a name and a password, got 'token'"),
        ({"headers": 3}, "headers: expected a mapping from names to values, got 3"),
        ({"cookies": ["a=b"]}, r"cookies: expected a mapping from names to values, got \['a=b'\]"),
        ({"body": "text"}, "body: expected bytes, got 'text'; data takes text and forms"),
    ],
)
def test_what_cannot_be(options: Any, sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        encode("POST", "/", **options)


@pytest.mark.parametrize(
    ("method", "path", "sentence"),
    [
        ("G E T", "/", "expected a method as 'GET', got 'G E T'"),
        ("", "/", "expected a method as 'GET', got ''"),
        (3, "/", "expected a method as 'GET', got 3"),
        ("GET", 3, "expected a path as '/login', got 3"),
    ],
)
def test_line_that_cannot_be(method: Any, path: Any, sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        encode(method, path)


def test_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "urllib3.filepost", None)
    with pytest.raises(MissingLibrary, match="sending files needs urllib3, which is not installed: pip "):
        encode("POST", "/", files={"a": b""})


@pytest.mark.parametrize(
    ("name", "hint"),
    [("allow_redirects", "(say follow_redirects)"), ("param", "(say params)"), ("query_string", "(say params)"),
     ("nothing_like_it", "; it has params, headers, cookies")],
)  # fmt: skip
def test_wrong_keyword(name: str, hint: str) -> None:
    """It is a TypeError, as of any call, and says the right ones."""
    with pytest.raises(UnknownKeyword) as found:
        check_keywords([name])
    assert hint in str(found.value)
    assert isinstance(found.value, TypeError)
    check_keywords(["follow_redirects", "timeout", "json"])


@pytest.mark.parametrize(
    ("method", "status", "after"),
    [("POST", 302, "GET"), ("POST", 303, "GET"), ("PUT", 302, "PUT"), ("DELETE", 303, "GET"), ("POST", 307, "POST"),
     ("HEAD", 303, "HEAD")],
)  # fmt: skip
def test_method_after_a_redirect(method: str, status: int, after: str) -> None:
    request = Outgoing(method, "/a", {"Content-Type": "text/plain", "X": "y"}, b"body")

    followed = redirected(request, status, "/b")

    assert (followed.method, followed.target) == (after, "/b")
    assert followed.body == (b"body" if after == method else None)
    assert ("Content-Type" in followed.headers) == (after == method)


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/b?c=1", "/b?c=1"),
        ("b", "/a/b"),
        ("?c=1", "/a/x?c=1"),
        ("http://127.0.0.1:80/b", "/b"),
        ("//LOCALHOST/b", "/b"),
        ("http://127.0.0.1:80", "/"),
        ("https://example.com/", None),
        ("mailto:ada", None),
    ],
)
def test_where_a_redirect_leads(location: str, path: str | None) -> None:
    assert own_path("/a/x?y", location, ["127.0.0.1:80", "localhost"]) == path
