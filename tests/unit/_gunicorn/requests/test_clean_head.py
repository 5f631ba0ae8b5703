"""The compiled twins put into an environ what the Python ones put there, and stop where those stop."""

from __future__ import annotations

import gc
import sys
from typing import Any

import pytest
from drawing import drawn
from gunicorn.config import Config
from gunicorn.http import message
from hypothesis import given, settings
from hypothesis import strategies as st

from nodecluster_compat._gunicorn.requests.clean_head import TWICE, Taker, taker
from nodecluster_compat._gunicorn.requests.clean_reader import CleanReader
from nodecluster_compat.base.native import PYTHON, in_force

needs_native = pytest.mark.skipif(in_force().module is None, reason=str(in_force()))
needs_parser = pytest.mark.skipif(
    not getattr(message, "_check_fast_parser", lambda _: False)(Config()),
    reason="this gunicorn has no C parser, or gunicorn_h1c is not installed",
)

BASE = {"wsgi.url_scheme": "http", "SCRIPT_NAME": ""}
KEYS = {b"Host": "HTTP_HOST", b"host": "HTTP_HOST", b"X-A": "HTTP_X_A", b"Odd": "SCRIPT_NAME", b"": "HTTP_"}
PEER = ("127.0.0.1", 1)

names = st.sampled_from([*KEYS, b"HOST", b"X-B", b"\xff", b"Host "])
values = st.one_of(st.sampled_from([b"", b"x", b"\xe9", b"\0"]), st.binary(max_size=40))
heads = st.lists(st.tuples(names, values), max_size=8).map(tuple)
targets = st.one_of(
    st.sampled_from([b"/", b"/?", b"/a?b?c", b"/%41", b"/?%41", b"", b"?", b"/\xff"]), st.binary(max_size=30)
)


def both() -> tuple[Taker, Taker]:
    return taker(in_force()), taker(PYTHON)


def taken(one: Taker, fields: Any, start: int) -> tuple[int, dict[str, Any]]:
    environ: dict[str, Any] = dict(BASE)
    return one.fields(environ, KEYS, fields, start), environ


@needs_native
@settings(max_examples=drawn(300), deadline=None)
@given(heads, st.integers(0, 10))
def test_same_fields(fields: Any, start: int) -> None:
    """Known ones and others, twice or once, of any bytes; in the same order."""
    native, python = (taken(one, fields, start) for one in both())
    assert native == python
    assert list(native[1]) == list(python[1])


@needs_native
@settings(max_examples=drawn(300), deadline=None)
@given(st.binary(max_size=10), targets, st.sampled_from([0, 1]))
def test_same_line(method: bytes, target: bytes, minor: int) -> None:
    native, python = ({}, {})
    assert both()[0].line(native, method, target, minor) == both()[1].line(python, method, target, minor)
    assert native == python


@pytest.mark.parametrize("one", [pytest.param(taker(PYTHON), id="python"), pytest.param(both()[0], id="in force")])
def test_where_it_stops(one: Taker) -> None:
    fields = ((b"Host", b"x"), (b"New", b"1"), (b"X-A", b"2"))
    assert taken(one, fields, 0) == (1, {**BASE, "HTTP_HOST": "x"})
    assert taken(one, fields, 2) == (3, {**BASE, "HTTP_X_A": "2"})
    assert taken(one, ((b"Host", b"x"), (b"host", b"y")), 0)[0] == TWICE
    assert taken(one, ((b"Host", b"x"), (b"Host", b"x")), 0)[0] == TWICE
    assert taken(one, ((b"Odd", b""),), 0)[0] == TWICE


@needs_parser
def test_reader_reads_the_same_with_both() -> None:
    """Also behind a name that is new, or says the scheme of a proxy."""
    heads_ = [
        b"GET /a%20b?c=%20 HTTP/1.1\r\nHost: x\r\nCookie: a=b\r\n\r\nrest",
        b"POST / HTTP/1.0\r\nHost: x\r\nX-New: 1\r\nContent-Length: 3\r\nX-Later: 2\r\n\r\nabc",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-Proto: https\r\nAccept: */*\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-New: 1\r\nx-new: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX_Under: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nNew-One: 1\r\nNew-Two: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ]
    readers = [CleanReader(Config(), choice) for choice in (in_force(), PYTHON)]
    for _ in range(2):  # names are new at first
        for head in heads_:
            ours, python = (reader.read(head, dict(BASE), PEER) for reader in readers)
            assert (ours is None) == (python is None)
            if ours is not None and python is not None:
                assert ours[1:] == python[1:]
                assert (ours[0].length, ours[0].fields) == (python[0].length, python[0].fields)


@needs_native
def test_references_are_given_back() -> None:
    """Of names, keys and values, whether it stops or not."""
    native = both()[0]
    name, key, value, new = b"X-Name", "HTTP_X_NAME", b"a value", b"X-Other"
    fields, watched = ((name, value), (name, value), (new, value)), [name, key, value, new]
    before = [sys.getrefcount(one) for one in watched]
    for start in (0, 1, 2, 3) * 250:
        environ: dict[str, Any] = {}
        native.fields(environ, {name: key}, fields, start)
        native.line(environ, name, value, 1)
    environ = {}
    gc.collect(0)
    assert [sys.getrefcount(one) for one in watched] == before


@needs_native
@pytest.mark.parametrize(
    "field", [(b"Host",), [b"Host", b"x"], (b"Host", "x"), ("Host", b"x"), None, (b"Host", b"x", 1)]
)
def test_field_of_another_kind_is_left_to_python(field: Any) -> None:
    assert taken(both()[0], (field,), 0) == (0, BASE)


@needs_native
@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("fields", ({}, {}, ()), TypeError),
        ("fields", ([], {}, (), 0), TypeError),
        ("fields", ({}, None, (), 0), TypeError),
        ("fields", ({}, {}, [], 0), TypeError),
        ("fields", ({}, {}, (), "0"), TypeError),
        ("fields", ({}, {}, (), -1), IndexError),
        ("line", ({}, b"GET", b"/"), TypeError),
        ("line", ({}, "GET", b"/", 1), TypeError),
        ("line", ({}, b"GET", None, 1), TypeError),
        ("line", ({}, b"GET", b"/", 2), IndexError),
        ("line", ({}, b"GET", b"/", -1), IndexError),
        ("line", ({}, b"GET", b"/", None), TypeError),
        ("line", (None, b"GET", b"/", 1), TypeError),
    ],
)
def test_wrong_arguments_are_refused(name: str, arguments: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        getattr(both()[0], name)(*arguments)


def read_in_c(reader: CleanReader, head: bytes, **base: str) -> Any:
    """What C alone makes of a head; ``None``: it leaves it to Python."""
    return reader.heads.read(head, dict(base))


@needs_native
@needs_parser
@pytest.mark.parametrize(("peer", "scheme"), [("127.0.0.1", "https"), ("192.0.2.1", "http")])
def test_scheme_of_a_proxy_is_read_in_c(peer: str, scheme: str) -> None:
    """Of a proxy that is trusted; nearly everybody is behind one."""
    reader = CleanReader(Config(), in_force())
    head = b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-Proto: https\r\n\r\n"
    base = {"REMOTE_ADDR": peer, "REMOTE_PORT": "1", "wsgi.url_scheme": "http"}
    assert reader.read(head, dict(base), (peer, 1)) is not None  # from now on the names are known
    request, environ, _ = read_in_c(reader, head, **base)
    assert (request.scheme, environ["wsgi.url_scheme"]) == (scheme, scheme)
    assert read_in_c(reader, head, **{"wsgi.url_scheme": "http"}) is None  # whose connection it is, nobody has said


@needs_native
@needs_parser
def test_two_schemes_of_a_proxy_are_left_to_gunicorn() -> None:
    """They may contradict each other; what nobody trusts says nothing."""
    reader = CleanReader(Config(), in_force())
    head = b"GET / HTTP/1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n\r\n"
    trusted, other = ({"REMOTE_ADDR": name, "REMOTE_PORT": "1"} for name in ("127.0.0.1", "192.0.2.1"))
    for base in (trusted, other):
        reader.read(head, dict(base), (base["REMOTE_ADDR"], 1))
    assert read_in_c(reader, head, **trusted) is None
    assert read_in_c(reader, head, **other) is not None


@needs_native
@needs_parser
def test_client_that_makes_names_up_slows_nobody_down_for_good() -> None:
    """Names that were met first are forgotten: those that come again are known again."""
    reader = CleanReader(Config(), in_force())
    for number in range(40):
        fields = b"".join(b"X-%d-%d: 1\r\n" % (number, one) for one in range(90))
        reader.read(b"GET / HTTP/1.1\r\n" + fields + b"\r\n", dict(BASE), PEER)
        reader.read(b"GET / HTTP/1.1\r\nConnection: close, %d\r\n\r\n" % number, dict(BASE), PEER)
    head = b"GET / HTTP/1.1\r\nHost: x\r\nX-Useful: 1\r\nConnection: keep-alive\r\n\r\n"
    reader.read(head, dict(BASE), PEER)
    assert read_in_c(reader, head, **BASE) is not None
    assert len(reader._keys) <= 1024
