"""What a test says of a request, as it goes out."""

from __future__ import annotations

import io
from typing import Any

import pytest

from pytest_cluster.errors import MissingLibrary, OptionError, UnknownKeyword
from pytest_cluster.requests.outgoing import Outgoing, check_keywords, cookies_of, encode, own_path, redirected


@pytest.mark.parametrize(
    ("path", "params", "target"),
    [
        ("/a", {"b": 1, "c": ["2", "3"]}, "/a?b=1&c=2&c=3"),
        ("/a?b=1", [("c", "ä b")], "/a?b=1&c=%C3%A4+b"),
        ("a", "?b=1", "/a?b=1"),
        ("/a#part", {"b": None}, "/a"),
        ("*", None, "*"),
        ("/ä ö%20%2F?a=ü", None, "/%C3%A4%20%C3%B6%20%2F?a=%C3%BC"),
        ("/a", {"b": ("2", "3"), "c": range(2)}, "/a?b=2&b=3&c=0&c=1"),
        ("/a", b"b=%20", "/a?b=%20"),
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
        ({"data": {"a": (1, 2), "b": b"bytes", "c": None}}, b"a=1&a=2&b=bytes", "application/x-www-form-urlencoded"),
        ({"data": io.BytesIO(b"read")}, b"read", None),
        ({"data": iter([b"in ", "parts"])}, b"in parts", None),
        ({"data": iter([("a", 1), ("a", 2)])}, b"a=1&a=2", "application/x-www-form-urlencoded"),
        ({"data": memoryview(b"view")}, b"view", None),
        ({"data": {}, "files": [], "json": {"a": 1}}, b'{"a": 1}', "application/json"),
        ({"json": False}, b"false", "application/json"),
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


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ((None, b"content"), b'name="doc"\r\n\r\ncontent'),
        ((None, "{}", "application/json"), b'name="doc"\r\nContent-Type: application/json\r\n\r\n{}'),
        (("a.txt", b"content"), b'filename="a.txt"\r\nContent-Type: text/plain\r\n\r\ncontent'),
        (("a", b"", "text/x", {"X-Part": "1"}), b'filename="a"\r\nContent-Type: text/x\r\nX-Part: 1\r\n\r\n'),
        (bytearray(b"content"), b'name="doc"; filename="doc"\r\n'),
    ],
)
def test_shapes_of_a_file(file: Any, part: bytes) -> None:
    """Without a name it is a plain field, as in requests and httpx; a fourth part is its header fields."""
    request = encode("POST", "/", files={"doc": file}, data={"bytes": b"raw", "several": ("1", "2")})

    assert request.body is not None
    assert part in request.body
    assert b'name="bytes"\r\n\r\nraw\r\n' in request.body
    assert request.body.count(b'name="several"') == 2


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"X-A": None, "X-B": 1, "X-C": b"bytes"}, {"X-B": "1", "X-C": "bytes"}),
        ([("X-A", "1"), ("x-a", "2")], {"X-A": "1, 2"}),
        ({"X-A": "é"}, {"X-A": "é"}),
        ([], {}),
    ],
)
def test_header_fields(given: Any, fields: dict[str, str]) -> None:
    assert encode("GET", "/", headers=given).headers == fields


def test_cookies() -> None:
    class Morsel:
        name, value = "a", "1"

    for given in ({"a": 1, "b": None}, [("a", "1")], iter([Morsel()])):
        assert cookies_of(given) == {"a": "1"}
    with pytest.raises(OptionError, match=r"cookies: expected a mapping from names to values, got \['a=b'\]"):
        cookies_of(["a=b"])


def test_open_file(tmp_path: Any) -> None:
    (tmp_path / "b.txt").write_bytes(b"content")
    with open(tmp_path / "b.txt", "rb") as file:
        request = encode("POST", "/", files={"doc": file})
    assert b'filename="b.txt"' in (request.body or b"")


def test_authentication() -> None:
    for given in (("Ada", "secret"), ["Ada", "secret"], (b"Ada", b"secret")):
        assert encode("GET", "/", auth=given).headers == {"Authorization": "Basic QWRhOnNlY3JldA=="}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"data": {"a": 1}, "json": {}}, "one body, and data and json are given"),
        ({"data": "text", "files": {"a": b""}}, "data as a mapping, not as text"),
        ({"data": 3}, "data: expected a mapping or pairs, got 3"),
        ({"params": [1]}, r"params: expected a mapping or pairs, got \[1\]"),
        ({"files": {"a": 3}}, "files: expected bytes, text or an open file for 'a', got 3"),
        (
            {"files": {"a": ("name",)}},
            r"files: expected \(filename, content\), and its type .* for 'a', got \('name',\)",
        ),
        ({"data": iter([3])}, "data: expected parts that are bytes or text, got 3"),
        ({"auth": "token"}, "auth: expected a name and a password, got 'token'; .* digest is spoken by requests"),
        ({"headers": {"X-A": "☃"}}, "headers: 'X-A' has characters that no header field can carry: 'X-A☃'"),
        ({"headers": ["X-A: 1"]}, "headers: expected a mapping from names to values, got"),
        ({"headers": 3}, "headers: expected a mapping from names to values, got 3"),
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
     ("hooks", "(say nothing: look at the answer)"), ("secure", "(say headers={'X-Forwarded-Proto': 'https'})"),
     ("HTTP_X_TENANT", "(say headers={'X-Tenant': …})"), ("nothing_like_it", "; it has params, headers, cookies")],
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
    [("POST", 302, "GET"), ("POST", 303, "GET"), ("PUT", 302, "GET"), ("DELETE", 303, "GET"), ("POST", 307, "POST"),
     ("HEAD", 303, "HEAD"), ("POST", 301, "GET"), ("PUT", 301, "PUT"), ("DELETE", 308, "DELETE")],
)  # fmt: skip
def test_method_after_a_redirect(method: str, status: int, after: str) -> None:
    request = Outgoing(method, "/a", {"Content-Type": "text/plain", "X": "y", "Cookie": "a=b"}, b"body")

    followed = redirected(request, status, "/b")

    assert (followed.method, followed.target) == (after, "/b")
    assert followed.body == (b"body" if after == method else None)
    assert ("Content-Type" in followed.headers) == (after == method)
    assert (followed.headers["X"], "Cookie" in followed.headers) == ("y", False)


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
