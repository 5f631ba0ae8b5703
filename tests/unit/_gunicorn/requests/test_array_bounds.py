"""Arrays of the C extension have bounds: one less, as many and one more are served as Python serves them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import pytest
from gunicorn.config import Config
from gunicorn.http import message
from in_process import LAST, HttpServed, quiet_gunicorn

from nodecluster_compat._gunicorn.requests.clean_loop import CleanLoop
from nodecluster_compat._gunicorn.requests.responses import AnsweredApplication
from nodecluster_compat.base.native import PYTHON, Choice, in_force

pytestmark = [
    pytest.mark.skipif(in_force().module is None, reason=str(in_force())),
    pytest.mark.skipif(
        not getattr(message, "_check_fast_parser", lambda _: False)(Config()),
        reason="this gunicorn has no C parser, or gunicorn_h1c is not installed",
    ),
]

Said = tuple[str, list[tuple[str, str]], Iterable[bytes]]
Answer = Callable[[dict[str, Any]], Said]
GET: Final = b"GET / HTTP/1.1\r\nHost: example.test\r\n\r\n"
MOST_PIECES: Final = 32
JOINED: Final = 4096
MOST_COPIED: Final = 64 * 1024
MOST_HELD: Final = 64 * 1024
MOST_FIELDS: Final = 100
LONGEST_METHOD: Final = 20
MOST_DIGITS: Final = 18
MOST_STARTS: Final = 128
MOST_AT_ONCE: Final = 16_384
HEAD_BYTES: Final = 200  # more than the head of an answer has here


def around(bound: int) -> range:
    return range(bound - 1, bound + 2)


class Pair:
    """A server with the extension, and one without it."""

    def __init__(self, **changes: Any) -> None:
        self._both = [self._served(choice, changes) for choice in (in_force(), PYTHON)]

    def _served(self, choice: Choice, changes: dict[str, Any]) -> HttpServed:
        one = HttpServed(_said, has_loop=True, **changes)
        old: Any = one.handler.clean_loop
        one.handler.clean_loop = CleanLoop(one.handler, old.environs, old.waits, one.access_log, choice)
        one.ask(GET, LAST)  # what is new is Python's
        return one

    def ask(self, answer: Answer, *parts: bytes) -> bytes:
        """Return what both say, which is the same."""

        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            status, fields, body = answer(environ)
            start_response(status, fields)
            return body

        heard = []
        for one in self._both:
            one.handler.wsgi = AnsweredApplication(app, one.handler)
            heard.append(one.ask(*parts, LAST))
        assert heard[0] == heard[1]
        return heard[0]


def _said(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [])
    return [b"said"]


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    with quiet_gunicorn():
        yield


@pytest.fixture(scope="module")
def pair(_quiet: None) -> Pair:
    return Pair()


def body_of(pieces: Sequence[bytes], has_length: bool, kind: Callable[[Any], Iterable[bytes]] = list) -> Answer:
    fields = [("Content-Length", str(sum(map(len, pieces))))] if has_length else []
    return lambda _: ("200 OK", fields, kind(pieces))


@pytest.mark.parametrize("kind", [list, tuple, iter])
@pytest.mark.parametrize("has_length", [False, True])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 127, 128, 300])
def test_pieces_of_a_body(pair: Pair, kind: Any, has_length: bool, size: int) -> None:
    """With a size line each, or none; 2 in a go are none too many for what is iterated."""
    for count in [*around(MOST_PIECES), *around(2 * MOST_PIECES)]:
        pieces = [bytes([ord("a") + number % 26]) * size for number in range(count)]
        heard = pair.ask(body_of(pieces, has_length, kind), GET * 2)
        assert heard.count(b"200 OK") == 3
        assert (b"".join(pieces) in heard) == (has_length or not size)


@pytest.mark.parametrize("pieces", [1, MOST_PIECES])
@pytest.mark.parametrize("has_length", [False, True])
def test_bytes_that_are_joined(pair: Pair, pieces: int, has_length: bool) -> None:
    """Whatever its head takes, one of these answers has as many bytes as the bound says."""
    sizes = range(JOINED - HEAD_BYTES - 10 * pieces, JOINED + 2)

    def answer(environ: dict[str, Any]) -> Said:
        size = int(environ["QUERY_STRING"] or 1)
        body = [b"x" * (size // pieces)] * (pieces - 1)
        body.append(b"y" * (size - len(b"".join(body))))
        return "200 OK", [("Content-Length", str(size))] if has_length else [], body

    heard = pair.ask(answer, b"".join(GET.replace(b"/", b"/?%d" % size, 1) for size in sizes))
    assert heard.count(b"200 OK") == len(sizes) + 1


@pytest.mark.parametrize("first", [0, 150_000, 300_000])
@pytest.mark.parametrize("size", [*around(MOST_COPIED), 4 * MOST_COPIED])
def test_bytes_that_the_kernel_does_not_take_at_once(pair: Pair, first: int, size: int) -> None:
    pieces = [b"a" * first, b"b" * 200_000, b"c" * size]
    for has_length in (False, True):
        assert pair.ask(body_of(pieces, has_length), GET).count(b"c") >= size


@pytest.mark.parametrize("digits", around(MOST_DIGITS))
def test_lengths_of_more_digits_than_are_read(pair: Pair, digits: int) -> None:
    length = "5".zfill(digits)
    pair.ask(lambda _: ("200 OK", [("Content-Length", length)], [b"Hello"]), GET)
    assert b"5 Hello" in pair.ask(_echo, f"POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\nHello".encode())


def test_statuses_that_are_kept(pair: Pair) -> None:
    """As many, one more, and again those that came first."""
    statuses = [f"200 Kind{number}" for number in [*range(MOST_STARTS + 1), 0, MOST_STARTS]]
    for has_length in (False, True):
        fields = [("Content-Length", "1")] if has_length else []
        heard = pair.ask(
            lambda environ, fields=fields: (statuses[int(environ["QUERY_STRING"] or 0)], fields, [b"x"]),  # type: ignore[misc]
            b"".join(GET.replace(b"/", b"/?%d" % number, 1) for number in range(len(statuses))),
        )
        assert heard.count(b"200 Kind") == len(statuses) + 1


def _echo(environ: dict[str, Any]) -> Said:
    body = environ["wsgi.input"].read()
    return "200 OK", [], [b"%d %s" % (len(body), body)]


@pytest.mark.parametrize("size", around(MOST_HELD))
@pytest.mark.parametrize("cut", [0, 1, 5000, 60_000])
def test_bodies_that_are_held(pair: Pair, size: int, cut: int) -> None:
    request = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size + b"b" * size
    parts = [request[: len(request) - cut], request[len(request) - cut :] + GET]
    assert b"%d bbb" % size in pair.ask(_echo, *filter(None, parts))


@pytest.mark.parametrize("bound", [8192, MOST_AT_ONCE])
def test_bytes_that_are_received_at_once(pair: Pair, bound: int) -> None:
    """A body that ends there, or one before or behind it, and what follows in the same bytes."""
    for size in around(bound):
        head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n"
        body = size - len(head % bound)
        assert b"%d bbb" % body in pair.ask(_echo, head % body + b"b" * body + GET)


@pytest.mark.parametrize("limit", [20, MOST_FIELDS, 200])
def test_fields_of_a_request(limit: int) -> None:
    """As many as the setting allows, or as there is room for."""
    pair = Pair(limit_request_fields=limit)
    for count in sorted({*around(limit), *around(MOST_FIELDS)}):
        fields = b"".join(b"X-%d: a\r\n" % number for number in range(count))
        heard = pair.ask(lambda _: ("200 OK", [], [b"Hello"]), b"GET / HTTP/1.1\r\n" + fields + b"\r\n")
        assert (b"200 OK" in heard) == (count <= limit)


def test_methods_and_first_lines(pair: Pair) -> None:
    line = Config().limit_request_line
    for size in around(LONGEST_METHOD):
        pair.ask(_echo, b"M" * size + b" / HTTP/1.1\r\nHost: x\r\n\r\n")
    for size in range(line - 3, line + 4):
        target = b"/" * 1 + b"t" * (size - len(b"GET / HTTP/1.1"))
        pair.ask(_echo, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
