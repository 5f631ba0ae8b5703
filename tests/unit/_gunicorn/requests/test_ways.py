"""The table of ways: an example of each line goes the way it says, and is answered as gunicorn answers it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import gevent
import pytest
from drawing import drawn
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.http import message, wsgi
from gunicorn.instrument.statsd import Statsd
from gunicorn.workers.base_async import ALREADY_HANDLED
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from in_process import LAST, HttpServed, ServerWorker, configured, quiet_gunicorn
from refused import BROKEN_BODIES, REFUSED
from smuggling import SMUGGLING

from nodecluster_compat._gunicorn.requests.http_handler import HttpHandler
from nodecluster_compat._gunicorn.requests.ways import ANSWERS, REQUESTS, SETTINGS, Way, is_read_here, way_of

pytestmark = [
    pytest.mark.skipif(
        not getattr(message, "_check_fast_parser", lambda _: False)(Config()),
        reason="this gunicorn has no C parser, or gunicorn_h1c is not installed",
    ),
    pytest.mark.usefixtures("_quiet"),
]

FILE: Final = os.path.abspath(__file__)
TEXT: Final = [("Content-Type", "text/plain")]
OBJECTS: Final = {"wsgi.errors", "wsgi.input", "gunicorn.socket", "wsgi.early_hints", "nodecluster.client_gone"} | {
    "nodecluster.request_timeout"
}


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    with quiet_gunicorn():
        yield


class Closing:
    """An iterable that is to be closed."""

    def __init__(self, pieces: list[bytes], error: BaseException | None = None) -> None:
        self.pieces, self.error = pieces, error

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        CLOSED.append(self)


CLOSED: list[Closing] = []


def told(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The environ, and the body."""
    facts = {key: value for key, value in environ.items() if key not in OBJECTS}
    body = repr(sorted(facts.items())).encode() + environ["wsgi.input"].read()
    start_response("200 OK", [*TEXT, ("Content-Length", str(len(body)))])
    return [body]


def listed(_: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, ("Content-Length", "4")])
    return [b"bo", b"dy"]


def closing(_: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, ("Content-Length", "4")])
    return Closing([b"bo", b"", b"dy"])


def chunked(_: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    return Closing([b"bo", b"", b"dy"])


def writes(_: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", TEXT)(b"written ")
    return [b"and returned"]


def file(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, ("Content-Length", str(os.path.getsize(FILE)))])
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](open(FILE, "rb"))  # noqa: SIM115 - the server closes it
    return wrapped


def memory_file(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](io.BytesIO(b"x" * 20_000))
    return wrapped


def empty(_: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("204 No Content", [("Content-Length", "4")])
    return [b"body"]


def unchanged(_: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("304 Not Modified", [("ETag", '"x"')])
    return []


def replaced(_: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, ("Content-Length", "2")])
    try:
        raise ValueError("replaced")
    except ValueError as error:
        start_response("500 Oops", [("Content-Length", "4")], (ValueError, error, None))
    return [b"oops"]


def unread(_: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def takes_over(environ: dict[str, Any], _: Callable[..., Any]) -> Iterable[bytes]:
    environ["gunicorn.socket"].sendall(b"HTTP/1.1 101 Mine\r\n\r\nmine")
    raise StopIteration


def handled(environ: dict[str, Any], _: Callable[..., Any]) -> Any:
    environ["gunicorn.socket"].sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine")
    return ALREADY_HANDLED


def raises(_: dict[str, Any], __: Callable[..., Any]) -> Iterable[bytes]:
    raise ValueError("before the head")


def raises_late(_: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "9")])
    return Closing([b"body"], ValueError("behind the head"))


def exits(_: dict[str, Any], __: Callable[..., Any]) -> Iterable[bytes]:
    raise SystemExit(3)


def killed(_: dict[str, Any], __: Callable[..., Any]) -> Iterable[bytes]:
    raise gevent.GreenletExit


def left(_: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "4")])
    raise BrokenPipeError(32, "Broken pipe")


APPS: Final[dict[str, Callable[..., Any]]] = {
    f"/{app.__name__}": app
    for app in (
        *(listed, closing, chunked, writes, file, memory_file, empty, unchanged, replaced, unread),
        *(takes_over, handled, raises, raises_late, exits, killed, left),
    )
}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """What the path asks for; else what was told."""
    return APPS.get(environ["PATH_INFO"], told)(environ, start_response)


def get(path: str = "/", fields: str = "", line: str = "GET {} HTTP/1.1") -> bytes:
    return f"{line.format(path)}\r\nHost: example.test\r\n{fields}\r\n".encode("latin-1")


def post(body: bytes, fields: str = "", path: str = "/") -> bytes:
    return get(path, f"Content-Length: {len(body)}\r\n{fields}", "POST {} HTTP/1.1") + body


CHUNKS: Final = b"3\r\nabc\r\n0\r\n\r\n"
EXAMPLES: Final[dict[str, tuple[bytes, ...]]] = {
    "clean": (get("/a%20b?c=d", "Cookie: a=b\r\nX-A: \xe9\r\n"), get("/", 'Accept: */*\r\nX-B: "q"\r\n')),
    "body of a known length": (post(b"body\nGET /"), post(b"x" * 70_000), post(b""), post(b"body", "", "/unread")),
    "pipelined": (get("/1") + get("/2") + post(b"3") + get("/4"),),
    "HTTP/1.0": (
        get("/", "Connection: keep-alive\r\n", "GET {} HTTP/1.0"),
        get("/chunked", "Connection: keep-alive\r\n", "GET {} HTTP/1.0"),
        get("/", "", "GET {} HTTP/1.0"),
    ),
    "HEAD": (get("/", "", "HEAD {} HTTP/1.1"), get("/chunked", "", "HEAD {} HTTP/1.1")),
    "scheme of a proxy": (get("/", "X-Forwarded-Proto: https\r\n"), get("/", "X-Forwarded-Ssl: off\r\n")),
    "chunked body": (get("/", "Transfer-Encoding: chunked\r\n", "POST {} HTTP/1.1") + CHUNKS,),
    "Expect": (post(b"body", "Expect: 100-continue\r\n"), post(b"body", "Expect: nonsense\r\n")),
    "Upgrade": (get("/", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),),
    "script name of a proxy": (get("/", "Script-Name: /x\r\n"), get("/a/b", "SCRIPT_NAME: /a\r\n")),
    "underscore in a name": (get("/", "X_A: 1\r\n"), get("/", "Content_Length: 3\r\n")),
    "field twice": (get("/", "X-A: 1\r\nX-A: 2\r\n"), get("/", "host: evil.test\r\n")),
    "schemes of a proxy": (
        get("/", "X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: on\r\n"),
        get("/", "X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n"),
    ),
    "odd length": (get("/", "Content-Length: +3\r\n") + b"abc", get("/", f"Content-Length: {'9' * 400}\r\n")),
    "odd target": (get("http://x.test/y?z"), get("*", "", "OPTIONS {} HTTP/1.1"), get("/a#b"), get("//a"), get("/<>")),
    "CONNECT": (get("x.test:443", "", "CONNECT {} HTTP/1.1"),),
    "refused by the parser": (get("/", "X A: 1\r\n"), b"\x16\x03\x01\r\n\r\n", get("/", "X-A: 1\x002\r\n")),
}
REST: Final[dict[str, dict[str, Any]]] = {
    "log level debug": {"loglevel": "debug"},
    "unix socket": {"address": "/run/x.sock", "peer": ""},
}
"""Lines about a request whose examples are :func:`get`, and what else is to be so."""

SAID: Final[dict[str, tuple[bytes, ...]]] = {
    "list": (get("/listed"),),
    "iterable with close": (get("/closing"),),
    "write()": (get("/writes"),),
    "file_wrapper": (get("/file"), get("/memory_file"), get("/file", "", "HEAD {} HTTP/1.1")),
    "chunked answer": (get("/chunked"), get("/chunked", "", "GET {} HTTP/1.0")),
    "204, 304": (get("/empty"), get("/unchanged"), get("/empty", "", "HEAD {} HTTP/1.1")),
    "second start_response": (get("/replaced"),),
    "body not read": (post(b"x" * 100_000, "", "/unread"), post(b"x" * 9000, "Connection: close\r\n", "/unread")),
    "socket taken over": (get("/takes_over"),),
    "ALREADY_HANDLED": (get("/handled"), get("/handled", "Connection: close\r\n")),
    "exception before the head": (get("/raises"),),
    "exception after the head": (get("/raises_late"),),
    "exit, or killed": (get("/exits"), get("/killed")),
    "client that left meanwhile": (get("/left"),),
}
WAYS: Final = {row.what: row.way for row in (*REQUESTS, *ANSWERS)}
FIRST: Final = get("/first")


@pytest.fixture(scope="module")
def ours() -> HttpServed:
    """With the loop, which has learnt of gunicorn what it has to."""
    server = HttpServed(app, has_loop=True)
    server.ask(FIRST, LAST)
    return server


@pytest.fixture(scope="module")
def gunicorns() -> HttpServed:
    """Without it."""
    return HttpServed(app, has_loop=False)


def examples() -> list[Any]:
    pairs = [(what, one) for table in (EXAMPLES, SAID) for what, some in table.items() for one in some]
    return [pytest.param(what, one, id=f"{what}-{index}") for index, (what, one) in enumerate(pairs)]


@pytest.mark.parametrize(("what", "example"), examples())
def test_example_goes_the_way_of_its_line(ours: HttpServed, gunicorns: HttpServed, what: str, example: bytes) -> None:
    """First, later and pipelined on a connection: gunicorn's bytes, whoever serves; and the loop goes on behind it."""
    positions = ((example, LAST), (FIRST, example, LAST), (FIRST + example + LAST,), (FIRST, example + LAST))
    for parts in positions:
        ours.served_by_gunicorn.clear()
        CLOSED.clear()
        said, closed = ours.ask(*parts), len(CLOSED)
        assert set(ours.served_by_gunicorn) <= {WAYS[what]} - {Way.LOOP}
        CLOSED.clear()
        assert said == gunicorns.ask(*parts)
        assert closed == len(CLOSED)
    if WAYS[what] is Way.REQUEST:
        assert ours.served_by_gunicorn == [Way.REQUEST]


@pytest.mark.parametrize("what", REST)
def test_worker_that_shows_its_requests_to_others(what: str) -> None:
    """Debug lines; a socket without a port: what it is called is in each request."""
    one, other = (HttpServed(app, has_loop=has_loop, **REST[what]) for has_loop in (True, False))
    for parts in ((get(), LAST), (get(),), (get() + get("/2", "X-A: 1\r\n") + LAST,)):
        asked = [*parts, LAST] if parts[-1] is not LAST else parts
        assert one.ask(*asked) == other.ask(*asked)
    one.served_by_gunicorn.clear()
    one.ask(get(), LAST)
    assert set(one.served_by_gunicorn) == {WAYS[what]} - {Way.LOOP}


def test_first_request_to_an_address_is_served_by_gunicorn() -> None:
    """What the loop tells of the server is what gunicorn has told; a key that is not known is never told by it."""
    server = HttpServed(app, has_loop=True, address=("127.0.0.1", 8001))
    server.ask(get(), get(), LAST)
    assert server.served_by_gunicorn == [WAYS["first to an address"]]


def test_script_name_of_the_process_is_gunicorns(ours: HttpServed, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken off the path, and put up with again."""
    monkeypatch.setenv("SCRIPT_NAME", "/app")
    ours.served_by_gunicorn.clear()
    assert b"('SCRIPT_NAME', '/app')" in ours.ask(get("/app/x"), get("/app/y", "Connection: close\r\n"))
    assert ours.served_by_gunicorn == [WAYS["SCRIPT_NAME of the process"]] * 2


@pytest.mark.parametrize(("what", "count"), [("last before max_requests", 2), ("worker that ends", 0)])
def test_end_of_a_worker_is_gunicorns_to_say(what: str, count: int) -> None:
    """``max_requests`` is said in a line of the log, and the answer is the last one of its connection."""
    answers = []
    for has_loop in (True, False):
        server = HttpServed(app, has_loop=has_loop)
        server.ask(FIRST, LAST)
        server.handler.max_requests = server.handler.nr + count + 1 if count else server.handler.max_requests
        server.handler.alive = bool(count)
        server.served_by_gunicorn.clear()
        answers.append(server.ask(get("/1"), get("/2"), get("/3"), LAST))
        assert not has_loop or server.served_by_gunicorn == [WAYS[what]]
        assert not server.handler.alive
    assert answers[0] == answers[1]


def test_drain_that_begins_is_told_by_the_answer(ours: HttpServed) -> None:
    """Within the request, before its head."""
    assert WAYS["drain begins"] is Way.LOOP

    def drains(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        server.handler.ends_connections = True
        return told(environ, start_response)

    server = HttpServed(drains, has_loop=True)
    said = server.ask(get(), LAST)
    assert said.count(b"HTTP/1.1 200 OK") == 1
    assert b"Connection: close" in said


def test_line_of_the_access_log_is_written_in_the_loop(tmp_path: Any) -> None:
    """As gunicorn's, of the same answers; also where the application raises behind the head."""
    lines = []
    for has_loop in (True, False):
        log = tmp_path / f"access-{has_loop}.log"
        layout = "%(h)s %(r)s %(s)s %(b)s %(B)s %(f)s %(a)s %({x-a}i)s %({content-type}o)s %({raw_uri}e)s %(m)s%(U)s"
        server = HttpServed(app, has_loop=has_loop, accesslog=str(log), access_log_format=layout)
        server.ask(FIRST, LAST)
        server.served_by_gunicorn.clear()
        for path in ("/listed?x=1", "/closing", "/empty", "/file", "/handled", "/raises", "/raises_late"):
            server.ask(get(path, "X-A: 1\r\nReferer: r\r\n"), LAST)
        assert not has_loop or server.served_by_gunicorn == [Way.REQUEST] * 2
        lines.append(log.read_text().splitlines())
        for handler in server.log.access_log.handlers:
            handler.close()
    assert WAYS["access log"] is Way.LOOP
    assert lines[0] == lines[1]
    assert len(lines[0]) > 8


def test_idle_and_leaving_clients_end_in_the_loop(ours: HttpServed) -> None:
    """Nothing of them is gunicorn's: the time that an idle connection has, and the end that a client makes."""
    assert {WAYS["idle connection"], WAYS["client that leaves"]} == {Way.LOOP}
    idle = HttpServed(app, has_loop=True, keepalive=1)
    idle.handler._waits._seconds = 0.05
    idle.ask(FIRST, LAST)
    idle.served_by_gunicorn.clear()
    assert idle.ask(get(), ends=False).count(b"HTTP/1.1 200 OK") == 1
    ours.served_by_gunicorn.clear()
    assert ours.ask(get(), get()).count(b"HTTP/1.1 200 OK") == 2
    assert (idle.served_by_gunicorn, ours.served_by_gunicorn) == ([], [])


def test_every_line_about_requests_has_an_example() -> None:
    """No line without one, and no example of nothing."""
    alone = {"first to an address", "SCRIPT_NAME of the process", "last before max_requests", "worker that ends"}
    alone |= {"drain begins", "access log", "idle connection", "client that leaves"}
    elsewhere = {"TLS", "head in pieces", "limit without a slot"}  # test_settings_tls.py; below; test_time_limits.py
    assert {*EXAMPLES, *SAID, *REST, *alone, *elsewhere} == WAYS.keys()


SEQUENCE: Final = FIRST + post(b"body\r\nGET /no", "X-A: 1\r\n") + get("/closing") + get("/chunked") + get("/file")
ODD_SEQUENCE: Final = (
    get("/", "X-A: 1\r\nX-A: 2\r\n")
    + get("/", "Transfer-Encoding: chunked\r\n", "POST {} HTTP/1.1")
    + CHUNKS
    + FIRST
    + post(b"body", "Expect: 100-continue\r\n")
    + get("/unchanged")
)


@settings(max_examples=drawn(50), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([SEQUENCE, ODD_SEQUENCE, SEQUENCE + ODD_SEQUENCE + SEQUENCE]), st.data())
def test_answers_do_not_depend_on_how_the_bytes_come(
    ours: HttpServed, gunicorns: HttpServed, sequence: bytes, data: st.DataObject
) -> None:
    """Cut anywhere, amid heads and bodies; pieces as the network makes them are ``head in pieces``."""
    stream = sequence + LAST
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=12)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert ours.ask(*pieces) == gunicorns.ask(stream)


HOSTILE: Final = {**SMUGGLING, **REFUSED, **BROKEN_BODIES}
POSITIONS: Final[dict[str, Callable[[bytes], tuple[bytes, ...]]]] = {
    "first": lambda request: (request, LAST),
    "later": lambda request: (FIRST, request, LAST),
    "pipelined": lambda request: (FIRST + request + LAST,),
    "behind a body": lambda request: (post(b"x" * 3000, "", "/unread") + request + LAST,),
    "behind an odd one": lambda request: (get("/", "X-A: 1\r\nX-A: 2\r\n"), request + LAST),
}


@pytest.mark.table(quick=["first", "pipelined"])
@pytest.mark.parametrize("position", POSITIONS)
def test_hostile_requests_are_answered_as_without_the_loop(
    ours: HttpServed, gunicorns: HttpServed, position: str
) -> None:
    """Wherever they stand on a connection; integration tests compare with the stock worker."""
    asked = {name: POSITIONS[position](request) for name, request in HOSTILE.items()}
    answers = {name: (ours.ask(*parts), gunicorns.ask(*parts)) for name, parts in asked.items()}
    assert {name: pair for name, pair in answers.items() if pair[0] != pair[1]} == {}


def test_head_in_pieces_is_read_by_gunicorn(ours: HttpServed) -> None:
    """Which counts what comes and waits for it; the next one is the loop's."""
    ours.served_by_gunicorn.clear()
    example = get("/", "X-A: 1\r\n")
    ours.ask(FIRST, example[:9], example[9:], FIRST, LAST)
    assert ours.served_by_gunicorn == [WAYS["head in pieces"]]


# --- workers -----------------------------------------------------------------------------------


class OwnLogger(Logger):  # type: ignore[misc]  # gunicorn has no type hints
    """Somebody's."""

    def access(self, *_: object) -> None:
        """Somebody writes it elsewhere."""


def hook(_: object, __: object) -> None:
    """Somebody's."""


WORKERS: Final[dict[str, list[dict[str, Any]]]] = {
    "another protocol": [{"protocol": "uwsgi"}],
    "PROXY protocol": [{"proxy_protocol": True}],
    "parser in Python": [{"http_parser": "python"}],
    "parser flags": [{"permit_unconventional_http_method": True}, {"casefold_http_method": True}],
    "request hooks": [{"pre_request": hook}, {"post_request": lambda worker, req, environ, resp: None}],
}


def way(worker: type[HttpHandler] = HttpHandler, logger: type[Logger] = Logger, **changes: Any) -> Way:
    """Of a worker with such settings."""
    cfg: Any = configured(**changes)
    one = object.__new__(worker)
    return way_of(cfg, logger(cfg), one)


@pytest.mark.parametrize("what", WORKERS)
def test_settings_decide_about_a_worker(what: str) -> None:
    """Each alone."""
    row = next(row for row in SETTINGS if row.what == what)
    for changes in WORKERS[what]:
        assert way(**changes) is row.way
        assert is_read_here(configured(**changes)) is (row.way is not Way.GUNICORN)


def test_everything_else_is_served_in_the_loop() -> None:
    """Defaults, and what changes nothing about a request."""
    for changes in ({}, {"keepalive": 0}, {"accesslog": "-"}, {"header_map": "refuse"}, {"limit_request_fields": 3}):
        assert way(**changes) is Way.LOOP


def test_somebody_who_looks_is_shown_the_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subclass, a logger that is not gunicorn's own, and parts of gunicorn that were replaced."""
    ways = {row.what: row.way for row in SETTINGS}
    assert way(extended("handle_request", [])) is ways["methods of a subclass"]
    assert way(logger=OwnLogger) is ways["own logger"]
    monkeypatch.setattr(wsgi, "Response", type("Mine", (wsgi.Response,), {}))
    assert way() is ways["parts of gunicorn replaced"]
    monkeypatch.undo()
    monkeypatch.setattr(wsgi.Response, "default_headers", lambda self: [])
    assert way() is ways["parts of gunicorn replaced"]
    monkeypatch.undo()


def test_statsd_is_shown_the_requests() -> None:
    """gunicorn's own logger for it, whatever the level of the log."""
    cfg: Any = configured(statsd_host="127.0.0.1:9")
    log = Statsd(cfg)
    try:
        assert way_of(cfg, log, object.__new__(HttpHandler)) is Way.REQUEST
    finally:
        log.sock.close()


def extended(name: str, seen: list[str]) -> type[HttpHandler]:
    """Somebody's handler, which notes each call of one method and goes on."""

    def method(self: Any, *args: Any) -> Any:
        seen.append(name)
        return getattr(super(kind, self), name)(*args)

    kind = type("Extended", (ServerWorker,), {name: method})
    return kind


@pytest.mark.parametrize("name", ["handle", "handle_request", "serve_request", "is_already_handled"])
def test_methods_of_a_subclass_are_called_for_each_request(gunicorns: HttpServed, name: str) -> None:
    """As gunicorn calls them: once for a connection, or once for a request."""
    seen: list[str] = []
    server = HttpServed(app, has_loop=True, kind=extended(name, seen))
    server.ask(FIRST, LAST)
    seen.clear()
    asked = (get("/listed"), post(b"body"), get("/handled"), LAST)
    assert server.ask(*asked) == gunicorns.ask(*asked)
    assert len(seen) == (1 if name == "handle" else 4)


def changes_header(_: object, req: Any) -> None:
    req.headers = [(name, "scrubbed" if name == "X-A" else value) for name, value in req.headers]


def adds_header(_: object, req: Any) -> None:
    if req.path == "/changed":
        req.headers.append(("X-ADDED", "1"))


def changes_path(_: object, req: Any) -> None:
    req.path = "/elsewhere"


def changes_scheme(_: object, req: Any) -> None:
    req.scheme = "https"


def changes_method(_: object, req: Any) -> None:
    req.method = "PUT"


@pytest.mark.parametrize("hook", [changes_header, adds_header, changes_path, changes_scheme, changes_method])
def test_what_a_hook_changes_of_a_request_is_what_the_application_sees(hook: Callable[..., None]) -> None:
    """As with gunicorn, also behind the first request, from which the loop learns."""
    asked = (FIRST, get("/changed", "X-A: 1\r\n"), post(b"body", "X-A: 2\r\n"), LAST)
    said = [HttpServed(app, has_loop=has_loop, pre_request=hook).ask(*asked) for has_loop in (True, False)]
    assert said[0] == said[1]
    assert said[0] != HttpServed(app, has_loop=False).ask(*asked)


class Forwarded(ServerWorker):
    """Somebody's, who knows better where a request comes from."""

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Extends gunicorn's."""
        super().handle_request(("192.0.2.9", 99), req, sock, ("192.0.2.1", 1))


def test_addresses_that_a_subclass_says_are_what_the_application_sees() -> None:
    """Of the client, and of the server."""
    said = [HttpServed(app, has_loop=has_loop, kind=Forwarded).ask(FIRST, get(), LAST) for has_loop in (True, False)]
    assert said[0] == said[1]
    assert said[0].count(b"('REMOTE_ADDR', '192.0.2.1')") == said[0].count(b"('SERVER_NAME', '192.0.2.9')") == 3


@pytest.mark.parametrize("name", ["handle", "handle_request", "serve_request", "is_already_handled"])
def test_methods_that_somebody_replaced_are_to_be_called(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """On the class, as a tool that measures does it, or on the worker."""
    row = next(row for row in SETTINGS if row.what == "methods of a subclass")
    monkeypatch.setattr(HttpHandler, name, hook, raising=False)
    assert way() is row.way
    monkeypatch.undo()
    worker: Any = object.__new__(HttpHandler)
    setattr(worker, name, hook)
    cfg: Any = configured()
    assert way_of(cfg, Logger(cfg), worker) is row.way


def test_lax_parser_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whatever release."""
    from nodecluster_compat._gunicorn.requests import ways

    monkeypatch.setattr(ways, "has_lax_parser", lambda: True)
    assert way() is next(row.way for row in SETTINGS if row.what == "lax parser in C")
    monkeypatch.undo()
    monkeypatch.setattr(ways, "has_quick_parser", lambda: False)
    assert way() is next(row.way for row in SETTINGS if row.what == "parser in Python")


def test_every_line_about_workers_has_an_example() -> None:
    """As above."""
    alone = {"lax parser in C", "parts of gunicorn replaced", "methods of a subclass", "own logger"}
    assert {*WORKERS, *alone} == {row.what for row in SETTINGS}
