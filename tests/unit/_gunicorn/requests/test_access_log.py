"""A composed line of the access log is gunicorn's to the byte; what could be told apart is gunicorn's to write."""

from __future__ import annotations

import io
import logging
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Final, TypeAlias

import pytest
from drawing import drawn
from gunicorn import glogging
from gunicorn.config import Config
from gunicorn.glogging import Logger, SafeAtoms
from gunicorn.instrument.statsd import Statsd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodecluster_compat._gunicorn.log_lines import keep_lines_whole
from nodecluster_compat._gunicorn.requests import access_log
from nodecluster_compat._gunicorn.requests.access_format import compile_format
from nodecluster_compat._gunicorn.requests.access_log import AccessLog, has_access_of_its_own, use_access_log

COMBINED: Final = Config().access_log_format
EVERY_ATOM: Final = "hlutrsmUqHbBfaTDMLp"
BARE: Final[Any] = SimpleNamespace(headers=[])  # a request without fields
ENVIRON: Final = {
    "REMOTE_ADDR": "127.0.0.1",
    "REQUEST_METHOD": "GET",
    "RAW_URI": "/a?b",
    "PATH_INFO": "/a",
    "QUERY_STRING": "b",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
}


@dataclass
class Request:
    """What gunicorn's request has for its log."""

    headers: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Answer:
    """What gunicorn's response has for its log."""

    status: Any = "200 OK"
    headers: list[tuple[str, str]] = field(default_factory=list)
    sent: Any = 2


@dataclass
class Log:
    """gunicorn's logger of a test, whose lines go into memory."""

    gunicorns: Any
    bytes: io.BytesIO
    clock: Any
    handler: Any
    turns: list[Callable[[], None]] = field(default_factory=list)

    def ours(self) -> AccessLog:
        return AccessLog(self.gunicorns, self.turns.append)

    def written(self, call: Callable[[], object]) -> tuple[bytes, Any]:
        """What a call writes, and what it raises."""
        begin, error = self.bytes.tell(), None
        try:
            call()
        except Exception as raised:  # noqa: BLE001 - compared
            error = type(raised), str(raised)
        self.handler.stream.flush()
        return self.bytes.getvalue()[begin:], error


@pytest.fixture
def make_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Log]]:
    """Make gunicorn's logger, whose clock stands still; put the standard library's back afterwards."""
    monkeypatch.setattr(glogging, "time", SimpleNamespace(strftime=lambda _: "[now]"))
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(access_log, "time", SimpleNamespace(time=lambda: clock.now))
    monkeypatch.setattr(logging, "raiseExceptions", False)
    loggers = [logging.getLogger(f"gunicorn.{name}") for name in ("access", "error")]
    before = [(one, vars(one).copy(), [*one.handlers], [*one.filters]) for one in loggers]
    for one in loggers:
        one.propagate = True  # a test before may have made gunicorn's logger: pytest adds a handler to what does not

    made: list[Any] = []

    def make(kind: type[Logger] = Logger, **changes: object) -> Log:
        cfg = Config()
        for name, value in {"accesslog": "-", **changes}.items():
            cfg.set(name, value)
        log, written = kind(cfg), io.BytesIO()
        made.extend([*log.access_log.handlers, *log.error_log.handlers, getattr(log, "sock", None)])
        handler = next(iter(log.access_log.handlers), None)
        if type(handler) is logging.StreamHandler:
            handler.setStream(io.TextIOWrapper(written, encoding="utf-8"))
        keep_lines_whole(log)
        return Log(log, written, clock, handler)

    yield make
    for one in made:
        if one is not None:
            one.close()
    for logger, attributes, handlers, filters in before:
        vars(logger).clear()
        vars(logger).update({**attributes, "handlers": handlers, "filters": filters})
    logging.getLogger("nodecluster_compat").filters.clear()


# --- the same lines ----------------------------------------------------------------------------------

VALUES: Final = st.text(st.sampled_from("ab/% \"'\\\t\n\r\x00\x1b\x7f\x85\x9b\xe9\u2028\u20ac"), max_size=8)
NAMES: Final = st.sampled_from(["X-A", "x-a", "Referer", "ETag", "x_y", "\u0130"])
FIELDS: Final = st.lists(st.tuples(NAMES, VALUES), max_size=3)
BRACED: Final = st.builds(
    lambda name, kind: f"{{{name}}}{kind}",
    st.sampled_from(["X-A", "x-A", "etag", "wsgi.version", "WSGI.url_scheme", "path_info", "none", "\u0130", ""]),
    st.sampled_from("ioeIx"),
)
ATOMS: Final = st.builds(
    lambda name, conversion: f"%({name}){conversion}",
    st.one_of(st.sampled_from([*EVERY_ATOM, "", "z", "hh", "r ", "(h)"]), BRACED),
    st.sampled_from(["s", "s", "s", "s", "d", "r", "-12s", ".2s", "05d", "x", "%", "c", "*s"]),
)
WORDS: Final = st.sampled_from([" ", '"', "\t", "%%", "%%s", "-", "{", "\xe9", "\n"])
ODD: Final = st.sampled_from(["%s", "%", "%(", "%(h", "%d", "% (h)s"])
FORMATS: Final = st.lists(st.one_of(ATOMS, ATOMS, WORDS, ATOMS, WORDS, ODD), max_size=6).map("".join)
PLAIN_FORMATS: Final = st.lists(
    st.one_of(st.sampled_from(EVERY_ATOM).map("%({})s".format), BRACED.map("%({})s".format), WORDS), max_size=8
).map("".join)
USERS: Final = st.one_of(
    VALUES.map(lambda name: f"Basic {b64encode(f'{name}:secret'.encode()).decode()}"),
    st.sampled_from(["Basic", "basic x", "BASIC YQ==", "Bearer x", "", "Basic \xe9", "basic  YTpi "]),
)
ENVIRONS: Final = st.builds(
    lambda changes, more: {**ENVIRON, **changes, **more},
    st.dictionaries(st.sampled_from([*ENVIRON, "HTTP_REFERER", "HTTP_USER_AGENT", "X-A"]), VALUES, max_size=4),
    st.one_of(st.just({}), USERS.map(lambda value: {"HTTP_AUTHORIZATION": value})),
)
STATUSES: Final = st.sampled_from(["200 OK", "404 Not Found", "299", "500  x", '2"0 OK', "", " "])
TIMES: Final = st.one_of(st.integers(-5, 5_000_000), st.integers(86_399_999_990, 90_000_000_000)).map(
    lambda micros: timedelta(microseconds=micros)
)
ENOUGH: Final = settings(
    max_examples=drawn(200), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def compared(log: Log, text: str, answer: Answer, request: Request, environ: dict[str, Any], took: timedelta) -> bytes:
    """Log it twice, and return the line; it and what was raised must be the same."""
    log.gunicorns.cfg.settings["access_log_format"].value = text
    theirs = log.written(lambda: Logger.access(log.gunicorns, answer, request, environ, took))
    ours = log.ours()
    assert log.written(lambda: ours.access(answer, request, environ, took)) == theirs
    return theirs[0]


@ENOUGH
@given(FORMATS, STATUSES, FIELDS, FIELDS, ENVIRONS, st.integers(0, 10**12), TIMES)
def test_any_line_is_gunicorns(
    make_log: Callable[..., Log],
    text: str,
    status: str,
    fields: list[tuple[str, str]],
    headers: list[tuple[str, str]],
    environ: dict[str, Any],
    sent: int,
    took: timedelta,
) -> None:
    """Of whatever format, also such as gunicorn itself cannot use."""
    compared(make_log(), text, Answer(status, headers, sent), Request(fields), environ, took)


@ENOUGH
@given(PLAIN_FORMATS, FIELDS, FIELDS, ENVIRONS, st.integers(0, 10**12), st.integers(0, 200_000_000_000))
def test_composed_line_is_gunicorns(
    make_log: Callable[..., Log],
    text: str,
    fields: list[tuple[str, str]],
    headers: list[tuple[str, str]],
    environ: dict[str, Any],
    sent: int,
    micros: int,
) -> None:
    """What a loop without requests and responses says; and these formats are composed."""
    log = make_log(access_log_format=text)
    assert compile_format(text) is not None
    took, answer = timedelta(microseconds=micros), Answer("200 OK", headers, sent)
    theirs = log.written(lambda: Logger.access(log.gunicorns, answer, Request(fields), environ, took))
    log.clock.now = micros / 1_000_000
    ours, done = log.ours(), []
    line = log.written(lambda: done.append(ours.line(environ, "200 OK", headers, sent, Request(fields), 0.0)))
    is_text = isinstance(environ["wsgi.version"], str) or "{wsgi.version}e" not in text.lower()
    assert done == [is_text]
    assert line == (theirs if is_text else (b"", None))


# --- what is gunicorn's to write -----------------------------------------------------------------------


def is_composed(log: Log) -> bool:
    """Whether the next line is, and is written."""
    done: list[bool] = []
    ours = log.ours()
    written, _ = log.written(lambda: done.append(ours.line(ENVIRON, "200 OK", [], 2, BARE, 0.0)))
    assert done == [bool(written)]
    return done[0]


@pytest.mark.parametrize("text", [COMBINED, "%(D)d %(B)d", "%%", "", "no atom", "%(h)s\t%(u)s"])
def test_plain_formats_are_composed(make_log: Callable[..., Log], text: str) -> None:
    log = make_log(access_log_format=text)
    assert is_composed(log)
    assert compared(log, text, Answer(), Request(), ENVIRON, timedelta(0)).endswith(b"\n")


@pytest.mark.parametrize("text", ["%(h)-20s", "%(s)d", "%s", "%(h", "%", "%(h)r", "%(h)*s", "%(a(b))s"])
def test_other_formats_are_not_compiled(text: str) -> None:
    assert compile_format(text) is None


class OwnAtoms(Logger):  # type: ignore[misc]  # gunicorn has no type hints
    def atoms(self, *args: Any) -> dict[str, Any]:
        return {**super().atoms(*args), "h": "mine"}


class OwnAccess(Logger):  # type: ignore[misc]
    def access(self, *args: Any) -> None:
        super().access(*args)


class OwnNow(Logger):  # type: ignore[misc]
    def now(self) -> str:
        return "then"


class OwnUser(Logger):  # type: ignore[misc]
    def _get_user(self, environ: dict[str, Any]) -> str:
        return "me"


class OwnWrapper(Logger):  # type: ignore[misc]
    class Wrapper(SafeAtoms):  # type: ignore[misc]
        def __getitem__(self, name: str) -> str:
            return f"<{name}>"

    atoms_wrapper_class = Wrapper


class Quiet(Logger):  # type: ignore[misc]
    """Overrides what has no part in a line."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)

    def info(self, *args: Any, **more: Any) -> None:
        pass


@pytest.mark.parametrize("kind", [OwnAtoms, OwnAccess, OwnNow, OwnUser, OwnWrapper, Statsd])
def test_logger_with_lines_of_its_own_writes_them(make_log: Callable[..., Log], kind: type[Logger]) -> None:
    log = make_log(kind, statsd_host="127.0.0.1:9")
    ours = use_access_log(log.gunicorns, log.turns.append)
    assert (ours.is_on, ours.stream) == (True, None)
    assert "access" not in vars(log.gunicorns)
    assert not is_composed(log)


def test_logger_of_ones_own_without_other_lines_is_spared(make_log: Callable[..., Log]) -> None:
    assert is_composed(make_log(Quiet))


def test_nothing_is_written_where_nothing_is_logged(make_log: Callable[..., Log]) -> None:
    log = make_log(accesslog=None)
    ours = log.ours()
    assert not ours.is_on
    assert not ours.line(ENVIRON, "200 OK", [], 2, BARE, 0.0)
    ours.access(Answer(), Request(), ENVIRON, timedelta(0))


class Rejects(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return False


class Shouts(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).upper()


def a_formatter(log: Log) -> None:
    log.handler.setFormatter(logging.Formatter("ACCESS %(message)s"))


def a_formatter_class(log: Log) -> None:
    log.handler.setFormatter(Shouts("%(message)s"))


def a_filter(log: Log) -> None:
    log.gunicorns.access_log.addFilter(Rejects())


def a_handlers_filter(log: Log) -> None:
    log.handler.addFilter(Rejects())


def a_handler(log: Log) -> None:
    log.gunicorns.access_log.addHandler(logging.StreamHandler(io.TextIOWrapper(io.BytesIO())))


def a_level(log: Log) -> None:
    log.gunicorns.access_log.setLevel(logging.WARNING)


def a_handlers_level(log: Log) -> None:
    log.handler.setLevel(logging.WARNING)


def a_terminator(log: Log) -> None:
    log.handler.terminator = "|"


def a_parent(log: Log) -> None:
    log.gunicorns.access_log.propagate = True


def a_method(log: Log) -> None:
    log.gunicorns.access_log.handle = lambda record: None


def another_logger(log: Log) -> None:
    log.gunicorns.access_log = logging.getLogger("gunicorn.access.other")


def another_wrapper(log: Log) -> None:
    log.gunicorns.atoms_wrapper_class = OwnWrapper.Wrapper


def another_clock(log: Log) -> None:
    log.gunicorns.now = lambda: "then"


Change: TypeAlias = Callable[[Log], None]
CHANGES: Final = [
    *(a_formatter, a_formatter_class, a_filter, a_handlers_filter, a_handler, a_level, a_handlers_level, a_terminator),
    *(a_parent, a_method, another_logger, another_wrapper, another_clock),
]


def name_of(change: Change | str) -> str:
    return change if isinstance(change, str) else change.__name__


@pytest.mark.parametrize("when", ["before", "between turns"])
@pytest.mark.parametrize("change", CHANGES, ids=name_of)
def test_change_is_seen_by_the_next_line(
    make_log: Callable[..., Log], change: Callable[[Log], None], when: str
) -> None:
    """Somebody looks at the lines: what he has changed is gunicorn's and the standard library's to obey."""
    log = make_log()
    if when == "before":
        change(log)
    ours = use_access_log(log.gunicorns, log.turns.append)
    if when == "between turns":
        ours.access(Answer(), Request(), ENVIRON, timedelta(0))
        log.turns.pop()()
        change(log)
    assert not ours.line(ENVIRON, "200 OK", [], 2, BARE, 0.0)
    theirs = log.written(lambda: Logger.access(log.gunicorns, Answer(), Request(), ENVIRON, timedelta(0)))
    assert log.written(lambda: log.gunicorns.access(Answer(), Request(), ENVIRON, timedelta(0))) == theirs


@pytest.mark.parametrize(
    "change", [a_formatter, a_filter, a_handlers_filter, a_handler, a_level], ids=lambda one: one.__name__
)
def test_change_amid_a_turn_is_seen_by_the_next_line(
    make_log: Callable[..., Log], change: Callable[[Log], None]
) -> None:
    """And what was logged before it is written before it."""
    log = make_log()
    ours = log.ours()
    assert ours.line(ENVIRON, "200 OK", [], 2, BARE, 0.0)
    change(log)
    assert not ours.line(ENVIRON, "200 OK", [], 2, BARE, 0.0)
    assert log.bytes.getvalue().count(b"\n") == 1


def wrapped(call: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a method, as tools that collect what is logged do."""

    def wrapper(*args: Any, **more: Any) -> Any:
        return call(*args, **more)

    return wrapper


@pytest.mark.parametrize("name", ["Logger.callHandlers", "Logger.makeRecord", "StreamHandler.emit", "Handler.handle"])
def test_patched_logging_is_called(make_log: Callable[..., Log], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    log = make_log()
    assert is_composed(log)
    owner, _, method = name.partition(".")
    original = getattr(getattr(logging, owner), method)
    monkeypatch.setattr(f"logging.{name}", wrapped(original))
    assert not is_composed(log)


def test_record_factory_is_called(make_log: Callable[..., Log]) -> None:
    log = make_log()
    logging.setLogRecordFactory(wrapped(logging.LogRecord))
    try:
        assert not is_composed(log)
    finally:
        logging.setLogRecordFactory(logging.LogRecord)


def test_syslog_is_the_standard_librarys(make_log: Callable[..., Log]) -> None:
    log = make_log(syslog=True, syslog_addr="udp://127.0.0.1:9")
    assert not is_composed(log)


def test_access_log_that_is_not_redirected_to_syslog_is_composed(make_log: Callable[..., Log]) -> None:
    address = "udp://127.0.0.1:9"
    assert is_composed(make_log(syslog=True, syslog_addr=address, disable_redirect_access_to_syslog=True))


def test_name_that_cannot_be_read_is_told_at_level_debug(make_log: Callable[..., Log]) -> None:
    log = make_log(loglevel="debug", errorlog="/dev/null")
    assert not log.ours().line({**ENVIRON, "HTTP_AUTHORIZATION": "Basic x"}, "200 OK", [], 2, BARE, 0.0)
    assert is_composed(log)


def test_line_that_the_stream_cannot_encode_is_told_as_logging_does(make_log: Callable[..., Log]) -> None:
    log = make_log()
    log.handler.setStream(io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    ours = log.ours()
    assert not ours.line({**ENVIRON, "HTTP_REFERER": "\u20ac"}, "200 OK", [], 2, BARE, 0.0)
    assert ours.line({**ENVIRON, "HTTP_REFERER": "a"}, "200 OK", [], 2, BARE, 0.0)


# --- when it is written ----------------------------------------------------------------------------------


def log_one(ours: AccessLog, name: str = "a") -> None:
    assert ours.line({**ENVIRON, "HTTP_REFERER": name}, "200 OK", [], 2, BARE, 0.0)


def test_lines_of_a_turn_are_written_together_at_its_end(make_log: Callable[..., Log]) -> None:
    log = make_log(access_log_format="%(f)s")
    ours = log.ours()
    for name in "abc":
        log_one(ours, name)
    assert (log.bytes.getvalue(), len(log.turns)) == (b"", 1)
    log.turns.pop()()
    assert log.bytes.getvalue() == b"a\nb\nc\n"
    log_one(ours, "d")
    assert len(log.turns) == 1


def test_without_a_loop_each_line_is_written(make_log: Callable[..., Log]) -> None:
    log = make_log(access_log_format="%(f)s")
    ours = AccessLog(log.gunicorns, None)
    log_one(ours)
    assert log.bytes.getvalue() == b"a\n"


def test_no_more_is_held_than_a_pipe_takes_in_one_piece(make_log: Callable[..., Log]) -> None:
    log = make_log(access_log_format="%(f)s")
    sizes: list[int] = []

    class Raw(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            sizes.append(len(data))
            return len(data)

    log.handler.setStream(io.TextIOWrapper(io.BufferedWriter(Raw()), encoding="utf-8"))
    ours = log.ours()
    for _ in range(10):
        log_one(ours, "x" * 999)
    log_one(ours, "\xe9" * 2047)
    log_one(ours, "y" * 5000)
    log.turns.pop()()
    assert sizes == [4000, 4000, 2000, 4095, 5001]


def test_error_log_comes_behind_what_was_logged_before(make_log: Callable[..., Log]) -> None:
    log = make_log(access_log_format="%(f)s")
    log.gunicorns.error_log.handlers[0].setStream(io.TextIOWrapper(log.bytes, encoding="utf-8"))
    ours = use_access_log(log.gunicorns, log.turns.append)
    log_one(ours)
    log.gunicorns.error("second")
    assert log.bytes.getvalue().startswith(b"a\n[")


def test_what_is_printed_to_the_same_stream_keeps_its_place(make_log: Callable[..., Log]) -> None:
    log = make_log(access_log_format="%(f)s")
    ours = log.ours()
    log_one(ours)
    print("printed", file=log.handler.stream)
    log_one(ours, "b")
    log.turns.pop()()
    assert log.bytes.getvalue() == b"a\nprinted\nb\n"


def test_files_opened_anew_get_what_is_logged_from_then_on(make_log: Callable[..., Log], tmp_path: Any) -> None:
    path = tmp_path / "access.log"
    log = make_log(accesslog=str(path), access_log_format="%(f)s")
    ours = log.ours()
    log_one(ours)
    path.rename(tmp_path / "old")
    log.gunicorns.reopen_files()
    log_one(ours, "b")
    log.turns.pop()()
    assert ((tmp_path / "old").read_text(), path.read_text()) == ("a\n", "b\n")


class Full(io.RawIOBase):
    """A disk without room, for a while."""

    is_full = True

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.is_full:
            raise OSError(28, "No space left on device")
        return len(data)


def test_full_disk_is_told_to_the_handler(make_log: Callable[..., Log], monkeypatch: pytest.MonkeyPatch) -> None:
    """And not to whoever logs."""
    log = make_log()
    told: list[logging.LogRecord] = []
    monkeypatch.setattr(logging.Handler, "handleError", lambda _, record: told.append(record))
    disk = Full()
    log.handler.stream = io.TextIOWrapper(io.BufferedWriter(disk), encoding="utf-8")
    ours = log.ours()
    for _ in range(3):
        log_one(ours)
    log.turns.pop()()
    assert [record.getMessage() for record in told] == ["lines of the access log"]
    disk.is_full = False


def test_second_call_returns_what_the_first_has_made(make_log: Callable[..., Log]) -> None:
    log = make_log()
    ours = use_access_log(log.gunicorns, log.turns.append)
    assert use_access_log(log.gunicorns, None) is ours
    assert log.gunicorns.access.__self__ is ours
    assert len(log.gunicorns.error_log.filters) == 2


def test_access_of_a_loggers_own_is_told_from_ours(make_log: Callable[..., Log]) -> None:
    log = make_log()
    assert not has_access_of_its_own(log.gunicorns)
    use_access_log(log.gunicorns, log.turns.append)
    assert not has_access_of_its_own(log.gunicorns)
    log.gunicorns.access = print
    assert has_access_of_its_own(log.gunicorns)
