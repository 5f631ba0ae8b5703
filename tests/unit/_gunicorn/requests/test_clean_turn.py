"""Connections served in C: nothing but the application leaves it, and what it cannot do is gone on with in Python.

That both answer the same, whatever comes, is shown by the targets ``reads`` and ``turns`` of ``tests/fuzz``, by
``test_ways.py`` and by ``test_http_parity.py``.
"""

from __future__ import annotations

import errno
import gc
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import gevent
import pytest
from gunicorn.config import Config
from gunicorn.http import message
from in_process import ADDRESS, LAST, PATIENCE, PEER, HttpServed, quiet_gunicorn

from nodecluster_compat._gunicorn.requests import clean_connection, clean_loop
from nodecluster_compat._gunicorn.requests.clean_connection import CleanConnection
from nodecluster_compat._gunicorn.requests.clean_loop import CleanLoop
from nodecluster_compat._gunicorn.requests.clean_reader import CleanReader
from nodecluster_compat._gunicorn.requests.responses import AnsweredApplication, CleanResponse
from nodecluster_compat.base.native import PYTHON, Choice, in_force
from nodecluster_compat.base.records import ServedAddress
from nodecluster_compat.gevent_runtime import client_gone
from nodecluster_compat.gevent_runtime.client_gone import KEY, ClientGone, ClientWatch
from nodecluster_compat.gevent_runtime.client_socket import ClientSocket
from nodecluster_compat.routing.router import HERE

needs_native = pytest.mark.skipif(in_force().module is None, reason=str(in_force()))
pytestmark = [
    pytest.mark.skipif(
        not getattr(message, "_check_fast_parser", lambda _: False)(Config()),
        reason="this gunicorn has no C parser, or gunicorn_h1c is not installed",
    ),
    pytest.mark.usefixtures("_quiet"),
]

GET: Final = b"GET /%s HTTP/1.1\r\nHost: example.test\r\nX-Field: value\r\n\r\n"
END: Final = LAST.replace(b"/last", b"/")
MEBIBYTE: Final = 1 << 20
BODIES: Final[dict[str, Sequence[bytes]]] = {
    "/": [b"Hello"],
    "/pieces": [b"Hel", b"", b"lo"],
    "/iterated": (b"Hel", b"", b"lo"),
    "/none": [],
    "/many": [b"x"] * 100,
    "/large": [b"x" * MEBIBYTE, b"y" * MEBIBYTE],
    **{f"/{count}": [b"x" * 9] * count for count in (31, 32, 33)},  # so many are sent at once
    **{f"/large{count}": [b"x" * 4096] * count for count in (31, 32, 33)},
}


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    with quiet_gunicorn():
        yield


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A body by its path; its length is said where the query asks for it."""
    if environ["REQUEST_METHOD"] == "POST":
        sent = environ["wsgi.input"].read()
        body = [str(len(sent)).encode(), sent[:5], sent[-5:]]
    else:
        body = BODIES[environ["PATH_INFO"]]
    length = [("Content-Length", str(sum(map(len, body))))] if environ["QUERY_STRING"] else []
    start_response("200 OK", [("Content-Type", "text/plain"), *length])
    return body


def served(choice: Choice, application: Callable[..., Iterable[bytes]] = app) -> HttpServed:
    one = HttpServed(application, has_loop=True)
    old: Any = one.handler.clean_loop
    one.handler.clean_loop = CleanLoop(one.handler, old.environs, old.waits, one.access_log, choice)
    one.ask(GET % b"", GET % b"pieces?length", END)  # what is new is Python's
    return one


@pytest.fixture(scope="module")
def both() -> tuple[HttpServed, HttpServed]:
    return served(in_force()), served(PYTHON)


@needs_native
def test_ordinary_requests_are_python_only_in_the_application(
    both: tuple[HttpServed, HttpServed], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: CleanConnection, *_: object) -> None:
        raise AssertionError("it is served in C")

    for name in ("_read", "_begun", "_answer", "_respond", "_send", "_body", "_find_greenlet", "note"):
        monkeypatch.setattr(CleanConnection, name, refuse)
    for name in ("start_response", "write", "_take_plain"):
        monkeypatch.setattr(CleanResponse, name, refuse)
    heard = both[0].ask(GET % b"", GET % b"none", GET % b"pieces?1" * 3, GET % b"iterated?1", END)
    assert heard.count(b"HTTP/1.1 200 OK") == 7
    assert heard.count(b"Hello") == 6


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("query", ["", "?length"])
def test_same_answers(both: tuple[HttpServed, HttpServed], path: str, query: str) -> None:
    """Also of many pieces, and of more than the kernel takes at once."""
    request = GET % f"{path[1:]}{query}".encode()
    last = END
    ours, python = (one.ask(request, request, last) for one in both)
    assert ours == python


class Pieces:
    """A body that is iterated, and tells what was done with it."""

    def __init__(self, told: list[object], pieces: Iterable[bytes], fails: str) -> None:
        self._told, self._pieces, self._fails = told, iter(pieces), fails

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self._told.append(piece)
            yield piece
            if self._fails == "amid":
                raise ValueError("amid")
        if self._fails == "at its end":
            raise KeyError("at its end")

    def close(self) -> None:
        self._told.append(("closed", sys.exc_info()[0]))
        if self._fails == "closing":
            raise RuntimeError("closing")


@needs_native
@pytest.mark.parametrize("fails", ["nowhere", "amid", "at its end", "closing"])
@pytest.mark.parametrize("query", ["", "?length"])
@pytest.mark.parametrize("pieces", [[b"Hello"], [b"Hel", b"", b"lo"], [], [b"x" * MEBIBYTE]], ids=len)
def test_same_answers_of_bodies_that_are_iterated(
    both: tuple[HttpServed, HttpServed],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    fails: str,
    query: str,
    pieces: list[bytes],
) -> None:
    """And the same is told to the body, to the log, and to who looks for clients that leave."""
    told: list[object] = []

    def iterated(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        length = [("Content-Length", str(sum(map(len, pieces))))] if environ["QUERY_STRING"] else []
        start_response("200 OK", [("Content-Type", "text/plain"), *length])
        told.append(environ[KEY])
        return Pieces(told, pieces, fails)

    def outcome(one: HttpServed) -> tuple[bytes, list[object], list[str], list[tuple[bool, object]]]:
        told.clear()
        caplog.clear()
        monkeypatch.setattr(one.handler, "wsgi", AnsweredApplication(iterated, one.handler))
        heard = one.ask(GET % query.encode(), GET % query.encode(), END)
        gone = [(each.is_over, each.response) for each in told if isinstance(each, ClientGone)]
        said = [str(record.exc_info and record.exc_info[1]) for record in caplog.records]
        return heard, [each for each in told if not isinstance(each, ClientGone)], said, gone

    ours, python = map(outcome, both)
    assert ours == python
    raised = {"amid": ValueError if pieces else None, "at its end": KeyError}
    assert ours[1][-1] == ("closed", raised.get(fails))


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("is_seen", [False, True])
def test_clients_of_bodies_that_are_iterated_are_looked_at_meanwhile(
    both: tuple[HttpServed, HttpServed], monkeypatch: pytest.MonkeyPatch, asks: bool, is_seen: bool
) -> None:
    """By whichever greenlet iterates, whether or not a sweep sees them, and until the request has ended."""
    watch = ClientWatch()
    monkeypatch.setattr(client_gone, "SWEEP_SECONDS", 0.001)
    monkeypatch.setattr(client_gone, "client_watch", watch)
    monkeypatch.setattr(clean_connection, "client_watch", watch)
    monkeypatch.setattr(clean_loop, "client_watch", watch)
    told: list[object] = []

    def look(gone: ClientGone) -> Iterator[bytes]:
        client, response = gone.response.sock, gone.response
        while is_seen and client not in watch._known:
            gevent.sleep(0.001)
        told.append((gone.stream is gevent.getcurrent(), watch.response_to(client) is response, response.is_watched))
        yield b"Hello"

    def iterated(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        gone = environ[KEY]
        waiting.append((gone, gevent.spawn(gone.wait) if asks else None))
        gevent.sleep(0)
        return look(gone)

    for one in both:
        told.clear()
        waiting: list[tuple[ClientGone, Any]] = []
        used = one.handler.clean_loop
        assert used is not None
        loop = CleanLoop(one.handler, used.environs, used.waits, one.access_log, PYTHON if used.turns is None else None)
        monkeypatch.setattr(one.handler, "clean_loop", loop)
        monkeypatch.setattr(one.handler, "wsgi", AnsweredApplication(iterated, one.handler))
        assert one.ask(GET % b"", GET % b"", GET % b"", END, ends=False).count(b"Hello") == 4
        assert told == [(True, True, True)] * 4
        assert [each.get(timeout=10) for _, each in waiting if each is not None] == [False] * 4 * asks
        assert [(gone.is_over, gone.stream, gone.response) for gone, _ in waiting] == [(True, None, None)] * 4
        assert (watch._new, watch._known) == ({}, {})
    while watch._timer is not None:
        gevent.sleep(0.001)
    watch.abandon()


@pytest.mark.parametrize("size", [0, 5, 8000, 10_240, 65_536, 300_000])
@pytest.mark.parametrize("is_cut", [False, True])
def test_same_bodies(both: tuple[HttpServed, HttpServed], size: int, is_cut: bool) -> None:
    """With the head or behind it, held or received as they are asked for; what follows them is the next request."""
    head = b"POST / HTTP/1.1\r\nHost: example.test\r\nContent-Length: %d\r\n\r\n" % size
    body = bytes(ord("a") + number % 26 for number in range(size)) + GET % b""
    parts = [head + body[: size // 2], body[size // 2 :]] if is_cut else [head + body]
    ours, python = (one.ask(*parts, *parts, END) for one in both)
    assert ours == python
    assert ours.count(b"200 OK") == 5


def test_only_requests_that_may_be_anothers_are_asked_about(
    both: tuple[HttpServed, HttpServed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a worker routes: those whose first line has what its key looks for, or is not whole."""
    asked: list[bytes] = []

    class Here:
        hint, early = b"sid=", b""

        def decide(self, data: bytes, is_reused: bool) -> int:
            asked.append(data.split(b"\r\n")[0])
            return HERE

    monkeypatch.setattr(ClientSocket, "passage", Here())
    parts = [
        GET % b"",
        GET % b"?sid=1",
        GET % b"none",
        GET % b"?a=b" + GET % b"?sid=2",
        (GET % b"")[:9],
        (GET % b"")[9:],
    ]
    ours, python = (one.ask(*parts, END) for one in both)
    assert ours == python
    assert asked == [b"GET /?sid=1 HTTP/1.1", b"GET /?sid=2 HTTP/1.1", b"GET / HTT"] * 2


@pytest.mark.parametrize("choice", [pytest.param(in_force(), id="in force"), pytest.param(PYTHON, id="python")])
def test_answer_to_a_client_that_has_reset_is_not_counted(choice: Choice) -> None:
    """So that gunicorn, which is told of the error, sees an answer that was not begun."""
    CleanResponse.of(Config(), None, choice)
    ours, theirs = socket.socketpair()
    client = ClientSocket(socket.AF_UNIX, socket.SOCK_STREAM, 0, ours.detach())
    theirs.close()
    reader = CleanReader(Config(), choice)
    heads = [reader.read(GET % b"", {}, ("127.0.0.1", 1)) for _ in range(2)]
    for head in heads:
        assert head is not None
        response = CleanResponse.of(Config(), None, choice)(head[0], client, False)
        write = response.start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        with pytest.raises(OSError, match="Broken pipe") as raised:
            write(b"ok")
        assert raised.value.errno == errno.EPIPE
        assert (response.headers_sent, response.sent, response.status) == (False, 0, "200 OK")
    client.close()


@pytest.mark.parametrize("choice", [pytest.param(in_force(), id="in force"), pytest.param(PYTHON, id="python")])
def test_connection_is_idle_only_between_its_requests(choice: Choice) -> None:
    """A client that has sent nothing yet has just come to ask for something."""
    one = served(choice)
    loop: Any = one.handler.clean_loop
    ours, theirs = socket.socketpair()
    theirs.settimeout(PATIENCE)
    server = ClientSocket(socket.AF_UNIX, socket.SOCK_STREAM, 0, ours.detach())
    serving = gevent.spawn(one.handler.serve, ServedAddress(0, socket.AF_INET, ADDRESS), server, PEER)

    def end_idle() -> bool:
        loop.waits.end_idle({serving: server})
        gevent.sleep(0)
        gevent.sleep(0)
        return bool(serving.dead)

    gevent.sleep(0)
    assert loop.waits.waiting == [serving]
    assert not end_idle()
    theirs.send(GET % b"")
    heard = gevent.get_hub().threadpool.apply(theirs.recv, (4096,))
    assert heard.startswith(b"HTTP/1.1 200 OK")
    gevent.sleep(0)
    assert loop.waits.waiting == [serving]
    assert end_idle()
    assert loop.waits.waiting == []
    theirs.close()


@needs_native
def test_requests_leave_nothing_behind(both: tuple[HttpServed, HttpServed]) -> None:
    """Neither what is tracked by the garbage collector, nor references to what every request uses."""
    requests = (GET % b"" + GET % b"pieces?1" + GET % b"none" + GET % b"many" + GET % b"iterated") * 20
    both[0].ask(requests, END)
    counts = []
    for _ in range(2):
        both[0].ask(requests, END)
        gc.collect()
        counts.append(len(gc.get_objects()))
    assert counts[1] - counts[0] < 40


@pytest.mark.parametrize("name", ["is_last", "sent", "status", "must_close", "headers_sent"])
@pytest.mark.parametrize("choice", [pytest.param(in_force(), id="in force"), pytest.param(PYTHON, id="python")])
def test_application_that_deletes_an_attribute_of_its_answer(choice: Choice, name: str) -> None:
    """It may have cut its own connection; the next one is served."""
    deleted: list[str] = []

    def deletes(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        yield b"ok"
        if environ["PATH_INFO"] == "/pieces":
            delattr(start_response.__self__, name)
            deleted.append(name)

    one = served(choice, deletes)
    deleted.clear()
    one.ask(GET % b"pieces", GET % b"", END)
    assert deleted == [name]
    assert one.ask(GET % b"", END).count(b"HTTP/1.1 200 OK") == 2


@needs_native
def test_objects_that_were_not_begun_are_pythons() -> None:
    """They have none of the attributes: their methods say so, as those of Python would."""
    native: Any = in_force().module
    response = CleanResponse.of(Config(), None, in_force())
    made = response.__new__(response)
    for call in (lambda: made.start_response("200 OK", []), lambda: made.write(b""), lambda: made.status):
        with pytest.raises(AttributeError):
            call()
    turn = type("CleanConnection", (native.CleanTurn, CleanConnection), {})
    with pytest.raises(AttributeError):
        turn.__new__(turn).next_unserved()


@needs_native
def test_wrong_arguments_are_refused() -> None:
    native: Any = in_force().module
    reader = CleanReader(Config(), in_force())
    heads: dict[str, Any] = {"keys": {}, "http10": {}, "http11": {}, "unquote": str, "line": 1, "count": 1, "size": 1}
    heads |= {"schemes": (), "tell_scheme": bool}
    for make, arguments, error in (
        (native.CleanHeads, {**heads, "request": str}, ValueError),
        (native.CleanHeads, {**heads, "request": reader.request, "count": 0}, ValueError),
        (native.CleanHeads, {**heads, "request": reader.request, "keys": []}, TypeError),
        (native.CleanHeads, {**heads, "request": reader.request, "schemes": []}, TypeError),
        (native.Answers, {"statuses": {}, "names": {}, "client": 1, "process": 1, "end_if_child": 1}, TypeError),
        (native.Turns, {}, TypeError),
    ):
        with pytest.raises(error):
            make(**arguments)
    for wrong in ((b"",), ("", {}), (bytearray(), {}), (b"", [])):
        with pytest.raises(TypeError):
            reader.heads.read(*wrong)
