"""Ids of requests that are served in C: the answer has them by itself, and is what it is in Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context, copy_context
from typing import Any, Final

import pytest
from gunicorn.config import Config
from gunicorn.http import message
from in_process import LAST, HttpServed, quiet_gunicorn

from nodecluster_compat._gunicorn.requests.clean_loop import CleanLoop
from nodecluster_compat._gunicorn.requests.request_ids import with_request_ids
from nodecluster_compat._gunicorn.requests.responses import AnsweredApplication
from nodecluster_compat.base.native import PYTHON, Choice, in_force
from nodecluster_compat.base.this_request import ASKERS, ID_KEY, request_id
from nodecluster_compat.gevent_runtime.client_gone import KEY

pytestmark = [
    pytest.mark.skipif(
        not getattr(message, "_check_fast_parser", lambda _: False)(Config()),
        reason="this gunicorn has no C parser, or gunicorn_h1c is not installed",
    ),
    pytest.mark.usefixtures("_quiet"),
]

SAID: Final = b"GET / HTTP/1.1\r\nHost: example.test\r\nX-Request-ID: a1-b2\r\n\r\n"
NEW: Final = b"GET / HTTP/1.1\r\nHost: example.test\r\n\r\n"
PLAIN: Final = [("Content-Type", "text/plain"), ("Content-Length", "5")]
Start = Callable[..., Any]


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    with quiet_gunicorn():
        yield


class Name(str):
    """Text of another class."""

    __slots__ = ()


def begin_twice(start: Start) -> None:
    start("200 OK", PLAIN)
    try:
        raise LookupError
    except LookupError as error:
        start("404 Not Found", PLAIN, (LookupError, error, None))


def change_later(start: Start) -> None:
    headers = [*PLAIN]
    start("200 OK", headers)
    headers.append(("X-Late", "1"))


BEGINNINGS: Final[dict[str, Callable[[Start], Any]]] = {
    "plain": lambda start: start("200 OK", PLAIN),
    "without a length": lambda start: start("200 OK", PLAIN[:1]),
    "its own": lambda start: start("200 OK", [*PLAIN, ("x-request-id", "own")]),
    "lists": lambda start: start("200 OK", [list(pair) for pair in PLAIN]),
    "no list": lambda start: start("200 OK", tuple(PLAIN)),
    "names of another class": lambda start: start("200 OK", [(Name(name), value) for name, value in PLAIN]),
    "more than is plain": lambda start: start("200 OK", [*PLAIN, *[("X-Field", "1")] * 100]),
    "named": lambda start: start(status="200 OK", headers=PLAIN),
    "twice": begin_twice,
    "changed later": change_later,
    "written": lambda start: start("200 OK", PLAIN)(b"Hello"),
    "not to be sent": lambda start: start("200 OK", [*PLAIN, ("X-Field", "a\r\nb")]),
    "no pair": lambda start: start("200 OK", [3]),
    "nothing": lambda start: start(),
}


class Answering:
    """A server whose requests have ids."""

    def __init__(self, choice: Choice, begin: Callable[[Start], Any] = BEGINNINGS["plain"]) -> None:
        self.begin = begin
        self.told: list[tuple[str, Any]] = []
        self.one = HttpServed(self.app, has_loop=True)
        handler = self.one.handler
        old: Any = handler.clean_loop
        handler.wsgi = AnsweredApplication(with_request_ids(self.app, self.one.cfg, "X-Request-ID", choice), handler)
        handler.clean_loop = CleanLoop(handler, old.environs, old.waits, self.one.access_log, choice)

    def app(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        assert environ[ID_KEY] == environ["HTTP_X_REQUEST_ID"]
        self.begin(start_response)
        self.told.append((environ[ID_KEY], environ[KEY].response.headers))
        return [] if self.begin is BEGINNINGS["written"] else [b"Hello"]

    def ask(self, *requests: bytes) -> bytes:
        """Return the answers but the last one."""
        return self.one.ask(*requests, LAST)


@pytest.mark.parametrize("begin", BEGINNINGS)
def test_answers_with_ids_are_what_they_are_in_python(begin: str, caplog: pytest.LogCaptureFixture) -> None:
    """On the wire, and to whoever looks at the headers; before the server has learnt what is plain, and after."""

    def outcome(choice: Choice) -> list[object]:
        caplog.clear()
        server = Answering(choice, BEGINNINGS[begin])
        heard = [server.ask(*[SAID] * 3).partition(b"HTTP/1.1 200 OK\r\n")[::2] for _ in range(2)]
        said = [ident for ident, _ in server.told].count("a1-b2")
        headers = [[pair for pair in headers if pair[0] != "X-Request-ID"] for _, headers in server.told]
        ids = [dict(headers).get("X-Request-ID") in (ident, None) for ident, headers in server.told]
        return [[re.sub(rb"[0-9a-f]{32}", b"new", one) for pair in heard for one in pair], said, headers, ids]

    assert outcome(in_force()) == outcome(PYTHON)


@pytest.mark.parametrize("choice", [pytest.param(in_force(), id="in force"), pytest.param(PYTHON, id="python")])
def test_each_answer_has_the_id_of_its_request(choice: Choice) -> None:
    server = Answering(choice)
    heard = server.ask(*[NEW] * 5) + server.ask(SAID, NEW)
    ids = re.findall(rb"X-Request-ID: (.*)\r\n", heard)
    assert len(set(ids)) == 9
    assert ids[6] == b"a1-b2"
    assert [(ident.encode(), headers[-1]) for ident, headers in server.told] == [
        (ident, ("X-Request-ID", ident.decode())) for ident in ids
    ]


@pytest.mark.parametrize("choice", [pytest.param(in_force(), id="in force"), pytest.param(PYTHON, id="python")])
def test_whoever_comes_to_ask_is_told(choice: Choice) -> None:
    """Also amid the first request, before which nobody could ask; and a copy of a context keeps the id of its time."""
    server = Answering(choice)
    copies: list[Context] = []
    found: list[tuple[str | None, str | None]] = []
    server.ask(NEW, NEW)  # what is new is Python's
    server.told.clear()
    askers, ASKERS[:] = ASKERS[:], []

    def begin(start: Start) -> None:
        if len(found) == 2:
            ASKERS.append("somebody")
        found.append((request_id(), Context().run(request_id) if len(found) > 2 else None))
        copies.append(copy_context())
        start("200 OK", PLAIN)

    server.begin = begin
    try:
        server.ask(*[NEW] * 4)
    finally:
        ASKERS[:] = askers
    assert found == [(ident, None) for ident, _ in server.told]
    assert [one.run(request_id) for one in copies[3:]] == [ident for ident, _ in server.told[3:]]
    assert request_id() is None


@pytest.mark.skipif(in_force().module is None, reason=str(in_force()))
def test_plain_answers_have_their_ids_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where C serves, no call to Python is made for an id, and no start_response is put between."""
    server = Answering(in_force())
    kind: Any = server.one.handler.clean_loop.response
    server.ask(NEW, NEW)

    def refuse(*_: object) -> None:
        raise AssertionError("it is answered in C")

    monkeypatch.setattr(kind, "_take_plain", refuse)
    seen: list[object] = []

    def begin(start: Any) -> None:
        seen.append(type(start.__self__))
        start("200 OK", PLAIN)

    server.begin = begin
    assert server.ask(NEW, NEW).count(b"X-Request-ID") == 3
    assert seen == [kind] * 3
