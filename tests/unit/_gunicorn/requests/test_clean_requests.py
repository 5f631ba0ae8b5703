"""The short way gives what gunicorn gives: the same request, the same environ, the same exception."""

from __future__ import annotations

import gc
import logging
import socket
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from drawing import drawn
from gunicorn.config import Config
from gunicorn.http import message, wsgi
from gunicorn.http.parser import RequestParser
from hypothesis import given, settings
from hypothesis import strategies as st

from nodecluster_compat._gunicorn.requests.access_log import AccessLog
from nodecluster_compat._gunicorn.requests.clean_connection import CleanConnection
from nodecluster_compat._gunicorn.requests.clean_loop import CleanLoop
from nodecluster_compat._gunicorn.requests.clean_request import CleanRequest
from nodecluster_compat._gunicorn.requests.environs import Environs
from nodecluster_compat._gunicorn.requests.head_limits import prepare_limits
from nodecluster_compat._gunicorn.requests.metering import Metering
from nodecluster_compat._gunicorn.requests.refusals import strict_request
from nodecluster_compat.gevent_runtime.idle_limit import IdleLimit
from nodecluster_compat.operations.metrics.request_meter import NO_SLOT

# gunicorn's way: its own class, or that with what the newest gunicorn refuses.
GunicornParser = type("GunicornParser", (RequestParser,), {"mesg_class": strict_request()})

PEER = ("127.0.0.1", 4711)
SERVER = ("127.0.0.1", 8000)
NOT_COMPARED = {
    "cfg",
    "unreader",
    "body",
    "environ",
    "length",
    "created",
    "may_be_changed",
    "line",
    "started",
    "fields",
    "minor_version",
    "ends",
    "_use_fast",
    "_fast_limit_request_line",
}

pytestmark = pytest.mark.skipif(
    not getattr(message, "_check_fast_parser", lambda _: False)(Config()),
    reason="this gunicorn has no C parser, or gunicorn_h1c is not installed",
)

tokens = st.sampled_from(["GET", "HEAD", "POST", "CONNECT", "OPTIONS", "get", "G", ""])
targets = st.one_of(
    st.sampled_from(
        ["/", "/a/b?c=d", "//x", "/%41?%41", "*", "http://x/y", "/a#b", "/a?b#c", "/a b", "/\xff", "", "/?"]
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12).map("/{}".format),
)
versions = st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/1.9", "http/1.1", ""])
names = st.sampled_from(
    [
        "Host",
        "host",
        "X-A",
        "x-a",
        "X_A",
        "Content-Length",
        "Content-Type",
        "Connection",
        "Transfer-Encoding",
        "Expect",
        "X-Forwarded-Proto",
        "X-Forwarded-Ssl",
        "Script-Name",
        "Cookie",
        "X A",
        "",
        "X\xff",
        "Upgrade",
        "Authorization",
    ]
)
values = st.sampled_from(
    [
        "",
        "a",
        " a ",
        "x, y",
        "5",
        "+5",
        "05",
        "\xb2",
        "close",
        "keep-alive",
        "chunked",
        "100-continue",
        "https",
        "on",
        "\xe9",
    ]
)
fields = st.lists(st.tuples(names, values), max_size=5)


def raw(method: str, target: str, version: str, headers: list[tuple[str, str]], end: str = "\r\n") -> bytes:
    lines = [f"{method} {target} {version}", *(f"{name}: {value}" for name, value in headers)]
    return (end.join(lines) + end + end).encode("latin-1")


class Source:
    """A client's socket, as far as it is read from: what is asked for, of one piece at a time."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = [piece for piece in pieces if piece]

    def recv(self, size: int) -> bytes:
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if piece[size:]:
            self.pieces.insert(0, piece[size:])
        return piece[:size]


class Answer:
    """What reading one request gives: its attributes and environ, or the exception."""

    def __init__(self, parser: Callable[..., Any], create: Callable[..., Any], cfg: Config, data: bytes) -> None:
        requests = parser(cfg, Source(data, b"12345GET /next"), PEER)
        unreader = requests.unreader
        self.error: Any = None
        self.is_clean = False
        try:
            request = next(requests)
        except Exception as error:  # noqa: BLE001 - compared
            self.error = (type(error), str(error))
            return
        self.is_clean = isinstance(request, CleanRequest)
        attributes = {name: getattr(request, name) for name in dir(request) if not name.startswith("__")}
        self.attributes = {
            name: value for name, value in attributes.items() if name not in NOT_COMPARED and not callable(value)
        }
        self.should_close = request.should_close()
        ours, theirs = socket.socketpair()
        try:
            _, environ = create(request, ours, PEER, SERVER, cfg)
            environ["wsgi.multithread"] = True  # as gunicorn's handle_request
            self.body = environ["wsgi.input"].read()
        except Exception as error:  # noqa: BLE001 - compared
            self.error = (type(error), str(error))
            return
        finally:
            ours.close()
            theirs.close()
        self.rest = unreader.read()
        objects = ("wsgi.input", "gunicorn.socket", "wsgi.errors", "wsgi.early_hints")
        self.keys = set(environ)
        self.environ = {name: value for name, value in environ.items() if name not in objects}

    def compared(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "is_clean"}


class Log:
    """gunicorn's, where nothing is logged."""

    def __init__(self, cfg: Config) -> None:
        self.cfg: Any = cfg
        self.error_log = logging.getLogger("gunicorn.error")

    def access(self, *_: object) -> None:
        """Of a logger that somebody has written."""


class Pair:
    """gunicorn's way and the short one, with the same settings."""

    def __init__(self, **changes: Any) -> None:
        self.cfg = Config()
        self.strict = Config()
        self.strict.set("http_parser", "python")
        for name, value in changes.items():
            self.cfg.set(name, value)
            self.strict.set(name, value)
        self.original = wsgi.create
        environs = Environs(self.cfg, self.original)
        self.create = environs.create
        log: Any = Log(self.cfg)
        worker: Any = SimpleNamespace(cfg=self.cfg, log=log, metering=Metering(), wsgi=None)
        self.loop = CleanLoop(worker, environs, IdleLimit(1), AccessLog(log, None))

    def connection(self, cfg: Config, source: object, peer: object) -> CleanConnection:
        """A parser that reads what is clean, and serves nothing: a logger wants to see the requests."""
        listener: Any = SimpleNamespace(getsockname=lambda: SERVER)
        return self.loop.connect(listener, source, peer, NO_SLOT)

    def both(self, data: bytes) -> tuple[Answer, Answer]:
        return (
            Answer(self.connection, self.create, self.cfg, data),
            Answer(GunicornParser, self.original, self.cfg, data),
        )

    def check(self, data: bytes) -> None:
        """The same as gunicorn with the same parser; and what is clean is no different to its parser in Python."""
        ours, theirs = self.both(data)
        assert ours.compared() == theirs.compared()
        if ours.is_clean:
            assert ours.compared() == Answer(GunicornParser, self.original, self.strict, data).compared()


@pytest.fixture(scope="module")
def pair() -> Pair:
    return Pair()


ORDINARY = [
    raw("GET", "/", "HTTP/1.1", [("Host", "x")]),
    raw("GET", "/a/b.c?d=e&f", "HTTP/1.0", [("Host", "x"), ("Cookie", "a=b"), ("Connection", "keep-alive")]),
    raw("POST", "/%41", "HTTP/1.1", [("Host", "x"), ("Content-Length", "5"), ("Content-Type", "text/plain")]),
    raw("DELETE", "/x", "HTTP/1.1", [("Host", "x"), ("Content-Length", "0"), ("Accept", "*/*"), ("X-B", '"q"')]),
]


@settings(max_examples=drawn(600), deadline=None)
@given(tokens, targets, versions, fields, st.sampled_from(["\r\n", "\n", "\r\n "]))
def test_any_request_is_read_as_gunicorn_reads_it(
    pair: Pair, method: str, target: str, version: str, headers: list[tuple[str, str]], end: str
) -> None:
    """Odd, broken and ordinary ones: attributes, environ, body, what is left over, or the exception."""
    pair.check(raw(method, target, version, headers, end))


@settings(max_examples=drawn(300), deadline=None)
@given(st.binary(max_size=80))
def test_garbage_is_refused_as_gunicorn_refuses_it(pair: Pair, data: bytes) -> None:
    """Whatever bytes."""
    pair.check(data)


@settings(max_examples=drawn(400), deadline=None)
@given(st.sampled_from(ORDINARY), st.integers(0, 400), st.binary(min_size=1, max_size=3), st.booleans())
def test_one_byte_that_is_odd_is_gunicorns_to_judge(
    pair: Pair, data: bytes, position: int, bytes_: bytes, replaces: bool
) -> None:
    """Bytes put anywhere into ordinary requests: bare line ends, control characters, spaces, another request."""
    position %= len(data)
    pair.check(data[:position] + bytes_ + data[position + replaces :])


@pytest.mark.parametrize("data", ORDINARY)
def test_ordinary_requests_take_the_short_way(pair: Pair, data: bytes) -> None:
    """It is not only correct because it is never taken, and its second environ is no different from the first."""
    pair.both(data)
    ours, theirs = pair.both(data)
    assert (ours.is_clean, theirs.is_clean) == (True, False)
    assert ours.compared() == theirs.compared()


def test_limits_are_those_of_the_settings(pair: Pair) -> None:
    """Also where the limits of other settings are known: the primary's, before a hook or a reload changed them."""
    prepare_limits(pair.cfg)
    data = raw("GET", "/" + "a" * 60, "HTTP/1.1", [("Host", "x"), ("X-A", "b" * 60)])
    assert pair.both(data)[0].is_clean
    for changes in ({"limit_request_line": 40}, {"limit_request_fields": 1}, {"limit_request_field_size": 40}):
        other = Pair(**changes)
        other.check(data)
        assert not other.both(data)[0].is_clean


def test_connection_leaves_nothing_to_the_garbage_collector(pair: Pair) -> None:
    """Its parser, which has its socket and its last request, is gone when nobody holds it any more."""
    requests = pair.connection(pair.cfg, Source(ORDINARY[0]), PEER)
    ours, theirs = socket.socketpair()
    pair.create(next(requests), ours, PEER, SERVER, pair.cfg)
    gone = weakref.ref(requests)
    gc.disable()
    try:
        del requests
        assert gone() is None
    finally:
        gc.enable()
        ours.close()
        theirs.close()


@pytest.mark.parametrize(
    "headers",
    [
        [("X_A", "1")],
        [("X-A", "1"), ("x-a", "2")],
        [("Transfer-Encoding", "chunked")],
        [("Expect", "100-continue")],
        [("X-Forwarded-Proto", "https"), ("X-Forwarded-Protocol", "ssl")],
        [("Content-Length", "9" * 5000)],
        [("Content-Length", "+5")],
        [("Upgrade", "websocket")],
    ],
)
def test_requests_that_need_a_decision_are_gunicorns(pair: Pair, headers: list[tuple[str, str]]) -> None:
    """What could be merged, dropped, trusted or smuggled never takes the short way."""
    ours, _ = pair.both(raw("GET", "/", "HTTP/1.1", headers))
    assert not ours.is_clean
