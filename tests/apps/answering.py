"""Applications of every kind: what they say in ``start_response``, what they return, what else they do.

/answer/<what start_response is told>?<what is returned>
/odd/<what it does>
anything else: the request, told back
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

# What an application may say in start_response, each twice in a row: the second time a server may remember the first.
PLAIN = ("Content-Type", "text/plain")
ANSWERS: dict[str, tuple[Any, Any]] = {
    "plain": ("200 OK", [PLAIN, ("Content-Length", "4")]),
    "status": ("299 Some thing", [PLAIN, ("Content-Length", "4")]),
    "bare-status": ("200", [PLAIN, ("Content-Length", "4")]),
    "no-status": ("", [PLAIN]),
    "long-status": ("2000 OK", [PLAIN]),
    "text-status": ("OK", [PLAIN]),
    "crlf-status": ("200 OK\r\nX-Evil: 1", [PLAIN]),
    "latin-status": ("200 \xe9", [PLAIN, ("Content-Length", "4")]),
    "wide-status": ("200 \u20ac", [PLAIN]),
    "bytes-status": (b"200 OK", [PLAIN]),
    "continue": ("100 Continue", [PLAIN]),
    "204-length": ("204 No Content", [("Content-Length", "4")]),
    "304-length": ("304 Not Modified", [("Content-Length", "4")]),
    "205": ("205 Reset Content", [("Content-Length", "0")]),
    "short": ("200 OK", [("Content-Length", "3")]),
    "missing": ("200 OK", [("Content-Length", "9")]),
    "zero": ("200 OK", [("Content-Length", "0")]),
    "two-lengths": ("200 OK", [("Content-Length", "4"), ("content-length", "2")]),
    "text-length": ("200 OK", [("Content-Length", "four")]),
    "signed-length": ("200 OK", [("Content-Length", "+4")]),
    "negative-length": ("200 OK", [("Content-Length", "-4")]),
    "spaced-length": ("200 OK", [("Content-Length", " 4 ")]),
    "arabic-length": ("200 OK", [("Content-Length", "\u0664")]),
    "huge-length": ("200 OK", [("Content-Length", "9" * 30)]),
    "crlf-value": ("200 OK", [PLAIN, ("X-A", "a\r\nX-Evil: 1")]),
    "lf-value": ("200 OK", [PLAIN, ("X-A", "a\nb")]),
    "nul-value": ("200 OK", [PLAIN, ("X-A", "a\x00b")]),
    "del-value": ("200 OK", [PLAIN, ("X-A", "a\x7fb")]),
    "tab-value": ("200 OK", [("X-A", "\ta\tb\t")]),
    "spaced-value": ("200 OK", [("X-A", "  a b  ")]),
    "empty-value": ("200 OK", [("X-A", "")]),
    "latin-value": ("200 OK", [("X-A", "\xe9")]),
    "wide-value": ("200 OK", [("X-A", "\u20ac")]),
    "bytes-value": ("200 OK", [("X-A", b"a")]),
    "int-value": ("200 OK", [("X-A", 1)]),
    "crlf-name": ("200 OK", [("X-A\r\nX-Evil", "1")]),
    "colon-name": ("200 OK", [("X:A", "1")]),
    "empty-name": ("200 OK", [("", "1")]),
    "spaced-name": ("200 OK", [("X A", "1")]),
    "latin-name": ("200 OK", [("X-\xe9", "1")]),
    "bytes-name": ("200 OK", [(b"X-A", "1")]),
    "underscore-name": ("200 OK", [("X_A", "1"), ("x-a", "2"), ("X-A", "3")]),
    "hop-by-hop": (
        "200 OK",
        [("Connection", "close"), ("Keep-Alive", "9"), ("TE", "x"), ("Trailer", "X"), ("Content-Length", "4")],
    ),
    "transfer-encoding": ("200 OK", [("Transfer-Encoding", "gzip, chunked")]),
    "upgrade": ("200 OK", [("Upgrade", "h2c"), ("Connection", "upgrade"), ("Content-Length", "4")]),
    "websocket": ("101 Switching Protocols", [("Upgrade", "websocket"), ("Connection", "Upgrade")]),
    "own-date": ("200 OK", [("X-Date", "x"), ("Server", "mine"), ("Content-Length", "4")]),
    "tuple": ("200 OK", (PLAIN, ("Content-Length", "4"))),
    "lists": ("200 OK", [["X-A", "1"]]),
    "triples": ("200 OK", [("X-A", "1", "2")]),
    "nothing": ("200 OK", None),
}
BODIES: dict[str, Any] = {
    "": [b"body"],
    "empty": [],
    "empty-piece": [b"", b"bo", b"", b"dy"],
    "tuple": (b"bo", b"dy"),
    "view": [memoryview(b"body")],
    "array": [bytearray(b"body")],
    "text": [b"bo", "dy"],
    "bytes": b"body",
    "none": None,
}


class Closing:
    """An iterable that the server has to close; it says on the error stream that this was done."""

    def __init__(self, environ: dict[str, Any], parts: list[bytes], fails: bool = False) -> None:
        self.environ, self.parts, self.fails = environ, parts, fails

    def __iter__(self) -> Iterator[bytes]:
        yield from self.parts
        if self.fails:
            raise ValueError("amid the body")

    def close(self) -> None:
        self.environ["wsgi.errors"].write(f"closed {self.environ['RAW_URI']}\n")


def twice(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [("X-A", "1")])
    start_response("200 OK", [("X-A", "2")])


def never(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    return [b"no start_response"]


def replaced(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [("X-A", "1"), ("Content-Length", "2")])
    try:
        raise ValueError("replaced")
    except ValueError:
        start_response("500 Oops", [("X-B", "2"), ("Content-Length", "4")], sys.exc_info())
    return [b"oops"]


def too_late(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [("Content-Length", "4")])(b"bo")
    try:
        raise ValueError("too late")
    except ValueError:
        start_response("500 Oops", [], sys.exc_info())


def writes(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"")
    write(b"first ")
    return [b"second"]


def closes(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [("Content-Length", "4")])
    return Closing(environ, [b"bo", b"dy"])


def closes_and_fails(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [("Content-Length", "8")])
    return Closing(environ, [b"bo", b"dy"], fails=True)


def fails_at_once(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [("Content-Length", "8")])
    return Closing(environ, [], fails=True)


def raising(error: BaseException) -> Callable[..., Any]:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        raise error

    return application


def ends_its_greenlet(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    from gevent import GreenletExit

    raise GreenletExit


def changes_what_it_was_given(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    headers = [("Content-Length", "4"), ("X-A", "1")]
    start_response("200 OK", headers)
    headers[:] = [("X-Evil", "a\r\nb")]
    environ.update({"wsgi.input": None, "REQUEST_METHOD": "EVIL", "SERVER_PROTOCOL": "EVIL/1.0"})
    return [b"body"]


def empties_environ(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [("Content-Length", "4")])
    environ.clear()
    return [b"body"]


def takes_the_socket(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    client = environ["gunicorn.socket"]
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nraw")
    client.close()
    return [b"gone"]


def hints_wrong(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    environ["wsgi.early_hints"]([("Link", "a\r\nb")])
    return told_back(environ, start_response)


def hints_late(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    environ["wsgi.early_hints"]([("Link", "</a>"), ("X-B", "b")])
    start_response("200 OK", [("Content-Length", "4")])(b"body")
    environ["wsgi.early_hints"]([("Link", "</late>")])
    return []


def reads_a_part(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    part = environ["wsgi.input"].read(3)
    start_response("200 OK", [("Content-Length", str(len(part)))])
    return [part]


def reads_lines(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    lines = environ["wsgi.input"].readline() + b"|" + b"|".join(environ["wsgi.input"])
    start_response("200 OK", [("Content-Length", str(len(lines)))])
    return [lines]


def reads_nothing(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [("Content-Length", "4")])
    return [b"body"]


def told_back(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    names = ("REQUEST_METHOD", "RAW_URI", "PATH_INFO", "QUERY_STRING", "SERVER_PROTOCOL", "HTTP_CONNECTION")
    body = repr([environ.get(name) for name in names]).encode() + environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


ODD: dict[str, Callable[..., Any]] = {
    one.__name__: one
    for one in (
        *(twice, never, replaced, too_late, writes, closes, closes_and_fails, fails_at_once, ends_its_greenlet),
        *(changes_what_it_was_given, empties_environ, takes_the_socket, hints_wrong, hints_late),
        *(reads_a_part, reads_lines, reads_nothing),
    )
}
ODD |= {
    type(error).__name__: raising(error)
    for error in (SystemExit("leaves"), StopIteration(), OSError("of the application"), BrokenPipeError("too"))
}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    _, kind, name = [*environ["PATH_INFO"].split("/", 2), ""][:3]
    if kind == "answer":
        start_response(*ANSWERS[name])
        return BODIES[environ["QUERY_STRING"]]
    return ODD.get(name, told_back)(environ, start_response)
