"""What the newest gunicorn refuses is refused with any; what it takes is read as it reads it."""

from __future__ import annotations

from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import (
    ChunkMissingTerminator,
    InvalidChunkSize,
    InvalidHeader,
    InvalidHeaderName,
    LimitRequestHeaders,
    ParseException,
)
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import IterUnreader
from gunicorn_settings import known
from refused import BROKEN_BODIES, REFUSED

from nodecluster_compat._gunicorn.requests import refusals
from nodecluster_compat._gunicorn.requests.c_parser import PROBES, is_strict
from nodecluster_compat._gunicorn.requests.chunks import StrictChunkedReader
from nodecluster_compat._gunicorn.requests.http2_refusals import strict_stream_request
from nodecluster_compat._gunicorn.requests.refusals import StrictRequest, refuse_repeats, strict_request

PEER = ("192.0.2.7", 4711)
NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"


def config(**chosen: Any) -> Config:
    cfg = Config()
    for name, value in known(chosen).items():
        cfg.set(name, value)
    return cfg


def served(data: bytes, parser: str = "auto", one_byte: bool = False) -> list[tuple[str, bytes]]:
    """The requests of a connection, and their bodies, up to the first fault."""
    pieces = [data[at : at + 1] for at in range(len(data))] if one_byte else [data]
    requests = RequestParser(config(http_parser=parser), iter(pieces), PEER)
    requests.mesg_class = StrictRequest
    all_served = []
    for request in requests:
        try:
            all_served.append((request.uri, request.body.read()))
        except (OSError, ParseException):
            continue  # as an application does that catches everything
    return all_served


@pytest.mark.parametrize("parser", ["auto", "python"])
@pytest.mark.parametrize("name", REFUSED)
def test_head_is_refused(name: str, parser: str) -> None:
    with pytest.raises(ParseException):
        served(REFUSED[name], parser)


@pytest.mark.parametrize("one_byte", [False, True])
@pytest.mark.parametrize("name", BROKEN_BODIES)
def test_nothing_is_served_behind_a_broken_body(name: str, one_byte: bool) -> None:
    """Even if the application goes on after the error: nobody knows where the next request begins."""
    assert served(BROKEN_BODIES[name], one_byte=one_byte) == []


CHUNKED = b"POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: %b\r\n\r\n%b"


@pytest.mark.parametrize("one_byte", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        b"3\r\nabc\r\n0\r\n\r\n",
        b'3;a="b;\\"c";d\r\nabc\r\n0 ; e = f\r\n\r\n',
        b"0003\r\nabc\r\n0\r\nX-T: 1\r\nx-u:\t2\xe9\r\n\r\n",
        b"1\r\na\r\n2\r\nbc\r\n000\r\n\r\n",
    ],
)
@pytest.mark.parametrize("coding", [b"chunked", b"\tCHUNKED \t", b"gzip, chunked", b"identity,chunked"])
def test_good_chunks_are_read(coding: bytes, body: bytes, one_byte: bool) -> None:
    expected = [("/p", b"abc")] + [("/next", b"")] * (b"gzip" not in coding)
    assert served(CHUNKED % (coding, body) + NEXT, one_byte=one_byte) == expected


def test_trailers_are_kept() -> None:
    data = CHUNKED % (b"chunked", b"0\r\nX-T: 1\r\n\r\n")
    request = StrictRequest(config(), IterUnreader([data]), PEER)
    request.body.read()
    assert request.trailers == [("X-T", "1")]


def test_nothing_is_served_behind_a_connect() -> None:
    assert served(b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n" + NEXT) == [("x:1", b"")]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"1" * 20000, InvalidChunkSize),
        (b"0\r\nX: " + b"x" * 2000000, LimitRequestHeaders),
        (b"0\r\nX: 1\r\n", ChunkMissingTerminator),
        (b"0\r\n", ChunkMissingTerminator),
    ],
)
def test_lines_and_trailers_have_an_end(body: bytes, error: type[Exception]) -> None:
    pieces = [CHUNKED % (b"chunked", b""), *(body[at : at + 8192] for at in range(0, len(body), 8192))]
    request = StrictRequest(config(), IterUnreader(iter(pieces)), PEER)
    request.body.reader = StrictChunkedReader(request, request.unreader)
    with pytest.raises(error):
        request.body.read()
    assert request.should_close()


def test_single_fields() -> None:
    refuse_repeats([("HOST", "a"), ("X", "1"), ("X", "2"), ("COOKIE", "1"), ("COOKIE", "2")], None)
    with pytest.raises(InvalidHeader):
        refuse_repeats([("HOST", "a"), ("X", "1"), ("HOST", "a")], None)


def test_newest_gunicorn_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "has_lax_parser", lambda: False)
    assert strict_request((27, 0, 1)) is strict_request((28, 0, 0)) is Request
    assert strict_request((26, 2, 0)) is strict_request((24, 1, 1)) is StrictRequest
    monkeypatch.setattr(refusals, "has_lax_parser", lambda: True)
    assert strict_request((27, 0, 1)) is StrictRequest


def test_parser_that_is_too_old_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """gunicorn would use it, with ``http_parser="fast"`` too; with an old gunicorn there is none to use."""
    monkeypatch.setattr(refusals, "has_lax_parser", lambda: True)
    monkeypatch.setattr(Request, "_parse_fast", lambda *_: pytest.fail("the parser in C was used"), raising=False)
    assert served(NEXT) == [("/next", b"")]


@pytest.mark.parametrize("parser", ["auto", "python"])
def test_nobody_sets_the_path_who_is_not_trusted(parser: str) -> None:
    """``forwarder_headers`` has SCRIPT_NAME and PATH_INFO; the peer here is not one of ``forwarded_allow_ips``."""
    data = b"GET / HTTP/1.1\r\nHost: x\r\nSCRIPT_NAME: /evil\r\nX_A: 1\r\n\r\n"
    request = StrictRequest(config(http_parser=parser), IterUnreader([data]), PEER)
    assert request.headers == [("HOST", "x")]


def test_probes_tell_a_lax_parser() -> None:
    def strict(data: bytes, **_: object) -> None:
        raise ValueError

    def takes_bare_lf(data: bytes, **_: object) -> None:
        if data.count(b"\n") == data.count(b"\r\n"):
            raise ValueError

    def has_no_limits(data: bytes) -> None:
        raise ValueError

    assert is_strict(strict)
    assert not is_strict(takes_bare_lf)
    assert not is_strict(has_no_limits)


@pytest.mark.parametrize("probe", PROBES)
def test_probes_are_refused(probe: bytes) -> None:
    """By the parser that is installed, or in Python."""
    with pytest.raises((ParseException, OSError)):
        served(probe)
    assert is_strict(lambda data, **_: served(data))


class StreamRequest:
    """What gunicorn 25 made of a stream: everything that came."""

    def __init__(self, stream: Stream, cfg: Config, peer: object) -> None:
        self.method = stream.pseudo.get(":method", "GET")
        self.scheme = stream.pseudo.get(":scheme", "https")
        self.headers = [(name.upper(), value) for name, value in stream.fields]
        self.trailers = [(name.upper(), value) for name, value in stream.trailers]


class Stream:
    def __init__(self, *fields: tuple[str, str], trailers: tuple[tuple[str, str], ...] = (), **pseudo: str) -> None:
        self.fields, self.trailers = list(fields), trailers
        self.pseudo = {f":{name}": value for name, value in pseudo.items()}

    def get_pseudo_headers(self) -> dict[str, str]:
        return self.pseudo

    def get_regular_headers(self) -> list[tuple[str, str]]:
        return self.fields


def over_http2(stream: Stream, peer: tuple[str, int] = PEER, **chosen: Any) -> Any:
    return strict_stream_request(StreamRequest)(stream, config(**chosen), peer)


@pytest.mark.parametrize(
    "stream",
    [
        Stream(("host", "a"), ("host", "b")),
        Stream(("content-type", "a"), ("content-type", "b")),
        Stream(("x-a", "1\x0b")),
        Stream(("x-a", "1\r\nX: 2")),
        Stream(("x-a", "1" * 9000)),
        Stream(*[("x", "1")] * 101),
        Stream(method="G T"),
        Stream(path="/" + "a" * 9000),
    ],
)
def test_stream_is_refused(stream: Stream) -> None:
    with pytest.raises(ParseException):
        over_http2(stream)


def test_stream_is_mapped_as_http_1_is() -> None:
    request = over_http2(Stream(("x-a", "1"), ("x_a", "2"), scheme="http+unix", trailers=(("host", "x"), ("t", "1"))))
    assert request.headers == [("X-A", "1")]
    assert request.scheme == "http"  # of the transport: nobody vouches for the peer
    assert request.trailers == [("T", "1")]


def test_stream_of_a_trusted_peer() -> None:
    stream = Stream(("path_info", "/x"), ("remote_user", "me"), scheme="https")
    request = over_http2(stream, ("127.0.0.1", 1), forwarder_headers="PATH_INFO")
    assert request.scheme == "https"
    assert request.headers == [("PATH_INFO", "/x")]
    with pytest.raises(InvalidHeaderName):
        over_http2(stream, ("127.0.0.1", 1), forwarder_headers="PATH_INFO", header_map="refuse")
