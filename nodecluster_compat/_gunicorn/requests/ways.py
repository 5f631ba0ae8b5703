"""Decide who serves a request, the loop of clean requests or gunicorn: the one table of what goes which way.

A request has three ways:

* :attr:`Way.LOOP`: read, served and answered by :mod:`clean_connection`;
* :attr:`Way.REQUEST`: read here, served by gunicorn's ``handle_request``, which shows it to hooks and subclasses;
* :attr:`Way.GUNICORN`: read and served by gunicorn.

:data:`SETTINGS` decides about a worker when it begins to serve: the first row that applies, else :attr:`Way.LOOP`.
:data:`REQUESTS` decides about a request when its head has come, and :data:`ANSWERS` is what can happen from then on.
A request leaves the loop where gunicorn would have done nothing yet, or with what was raised, which is gunicorn's to
judge.  After it, the connection is back in the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from gunicorn.glogging import Logger
from gunicorn.http import message, wsgi
from gunicorn.http.wsgi import Response

from .access_log import has_access_of_its_own, is_logging_access
from .c_parser import has_lax_parser, has_quick_parser

if TYPE_CHECKING:
    from ..gunicorn_types import GunicornLog, Settings

__all__ = [
    "ANSWERS",
    "ODD_FIELDS",
    "REQUESTS",
    "SETTINGS",
    "Row",
    "SettingRow",
    "Way",
    "is_read_here",
    "may_change_requests",
    "way_of",
]


class Way(Enum):
    """Who reads a request, and who serves it."""

    LOOP = "read and served in the loop"
    REQUEST = "read here, served by gunicorn's handle_request"
    GUNICORN = "read and served by gunicorn"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: the line is about; tests have an example by this name.
        way: that such a request goes.
        why: it is this one.
    """

    what: str
    way: Way
    why: str


@dataclass(frozen=True)
class SettingRow(Row):
    """A line about a worker.

    Attributes:
        applies: called with its settings, its logger and the worker itself.
    """

    applies: Callable[..., bool]


_PARTS: Final = ("gunicorn.", __name__.rpartition(".requests.")[0])
_FLAGS: Final = (
    "permit_obsolete_folding",
    "strip_header_spaces",
    "permit_unconventional_http_method",
    "permit_unconventional_http_version",
    "casefold_http_method",
)


def _has_no_c_parser(cfg: Settings, *_: object) -> bool:
    uses_c_parser = getattr(message, "_check_fast_parser", None)
    return uses_c_parser is None or not uses_c_parser(cfg) or not has_quick_parser()


def _has_flag(cfg: Settings, *_: object) -> bool:
    return any(getattr(cfg, flag, False) for flag in _FLAGS)


def _has_proxy_protocol(cfg: Settings, *_: object) -> bool:
    return getattr(cfg, "proxy_protocol", False) not in (False, "off")


def _has_hook(cfg: Settings, *_: object) -> bool:
    hooks: list[Any] = [cfg.settings[name] for name in ("pre_request", "post_request")]
    return any(hook.get() is not hook.default for hook in hooks)


def _has_own_log(_: Settings, log: GunicornLog, __: object) -> bool:
    if has_access_of_its_own(log) or type(log).access is not Logger.access:
        return True
    return type(log) is not Logger and is_logging_access(log)


def _has_own_methods(_: Settings, __: GunicornLog, worker: object) -> bool:
    names = ("handle", "handle_request", "serve_request", "is_already_handled")
    return any(_is_own(worker, name) for name in names)


def _has_own_parts(*_: object) -> bool:
    """Programs replace gunicorn's response to have another ``Server``, or wrap its functions to measure them."""
    functions = [wsgi.create, *(method for method in vars(Response).values() if callable(method))]
    return wsgi.Response is not Response or not all(_is_known(function) for function in functions)


def _is_own(owner: object, name: str) -> bool:
    """Whether a method is not just gunicorn's and ours: a subclass extends it, or somebody has replaced it."""
    return name in vars(owner) or not all(
        _is_known(vars(kind)[name]) for kind in type(owner).__mro__ if name in vars(kind)
    )


def _is_known(function: Any) -> bool:  # noqa: ANN401 - whatever somebody has put in its place
    """Whether a function, or a method of any kind, is defined in gunicorn or here."""
    plain = getattr(function, "__func__", function)
    return type(plain) is FunctionType and plain.__globals__["__name__"].startswith(_PARTS)


SETTINGS: Final = (
    SettingRow(
        "another protocol",
        Way.GUNICORN,
        "uwsgi has a parser of its own",
        lambda cfg, *_: getattr(cfg, "protocol", "http") != "http",
    ),
    SettingRow("PROXY protocol", Way.GUNICORN, "it comes before the first request", _has_proxy_protocol),
    SettingRow(
        "parser in Python", Way.GUNICORN, "only the parser in C says what a clean request is built of", _has_no_c_parser
    ),
    SettingRow(
        "lax parser in C", Way.GUNICORN, "it takes what gunicorn's in Python refuses", lambda *_: has_lax_parser()
    ),
    SettingRow("parser flags", Way.GUNICORN, "clean is what needs none of them", _has_flag),
    SettingRow("parts of gunicorn replaced", Way.GUNICORN, "they are to be used", _has_own_parts),
    SettingRow("methods of a subclass", Way.REQUEST, "they are to be called", _has_own_methods),
    SettingRow("request hooks", Way.REQUEST, "they are shown the request", _has_hook),
    SettingRow("own logger", Way.REQUEST, "what it does with a request is not known", _has_own_log),
)
"""Of a worker."""


REQUESTS: Final = (
    Row("clean", Way.LOOP, "there is nothing about it to check, merge, drop, trust or translate"),
    Row("body of a known length", Way.LOOP, "a plain Content-Length; the body is gunicorn's, over a reader of ours"),
    Row("pipelined", Way.LOOP, "what was read beyond a request is the next one's"),
    Row("HTTP/1.0", Way.LOOP, "gunicorn's rules about its end are asked for their verdict"),
    Row("HEAD", Way.LOOP, "gunicorn's own response answers it"),
    Row("TLS", Way.LOOP, "from within gunicorn's handle, which knows of HTTP/2"),
    Row("unix socket", Way.LOOP, "SERVER_NAME is learnt of gunicorn for each Host"),
    Row("scheme of a proxy", Way.LOOP, "one field of secure_scheme_headers, of whatever peer"),
    Row("head in pieces", Way.GUNICORN, "it waits for the rest, and counts what comes"),
    Row("chunked body", Way.GUNICORN, "codings are gunicorn's to judge and to read"),
    Row("Expect", Way.GUNICORN, "it answers 100 or 417"),
    Row("Upgrade", Way.GUNICORN, "HTTP/2 without TLS is negotiated so"),
    Row("script name of a proxy", Way.GUNICORN, "who may say so is gunicorn's to judge"),
    Row("underscore in a name", Way.GUNICORN, "header_map decides"),
    Row("field twice", Way.GUNICORN, "some are merged, some refused"),
    Row("schemes of a proxy", Way.GUNICORN, "two fields may contradict each other"),
    Row("odd length", Way.GUNICORN, "whatever is not digits is refused by somebody"),
    Row("odd target", Way.GUNICORN, "absolute, an asterisk, a fragment, characters that must be escaped"),
    Row("CONNECT", Way.GUNICORN, "its target is no path, and nothing follows it"),
    Row("refused by the parser", Way.GUNICORN, "gunicorn says it, in its words"),
    Row("log level debug", Way.REQUEST, "gunicorn writes lines about requests and connections"),
    Row("first to an address", Way.REQUEST, "what all its environs have in common is learnt of gunicorn's"),
    Row("SCRIPT_NAME of the process", Way.REQUEST, "it is taken off the path, or does not fit"),
    Row("last before max_requests", Way.REQUEST, "gunicorn says that the worker restarts"),
    Row("limit without a slot", Way.REQUEST, "request_timeout, and more connections than the meter has slots for"),
    Row("worker that ends", Way.REQUEST, "gunicorn ends the connection after the answer"),
)
"""Of a request whose head has come, in a worker without a row of :data:`SETTINGS`."""

ODD_FIELDS: Final = frozenset({"EXPECT", "TRANSFER-ENCODING", "SCRIPT-NAME", "PATH-INFO", "UPGRADE", "HTTP2-SETTINGS"})
"""Names that make a request gunicorn's, besides those with an underscore."""

ANSWERS: Final = (
    Row("list", Way.LOOP, "its head and first piece leave in one send"),
    Row("iterable with close", Way.LOOP, "it is closed whatever happens"),
    Row("write()", Way.LOOP, "it is the response's"),
    Row("file_wrapper", Way.LOOP, "gunicorn's own response sends the file"),
    Row("chunked answer", Way.LOOP, "as gunicorn frames it"),
    Row("204, 304", Way.LOOP, "gunicorn's own response drops the body"),
    Row("second start_response", Way.LOOP, "it is gunicorn's method"),
    Row("drain begins", Way.LOOP, "the head says Connection: close from then on"),
    Row("body not read", Way.LOOP, "it is thrown away before the next request, or the client is let finish"),
    Row("access log", Way.LOOP, "one call with what gunicorn gives its logger"),
    Row("idle connection", Way.LOOP, "the wait is noted, and ends as any"),
    Row("client that leaves", Way.LOOP, "the end of the connection between two requests"),
    Row("ALREADY_HANDLED", Way.LOOP, "nothing is sent, and the next request is waited for"),
    Row(
        "socket taken over",
        Way.REQUEST,
        "environ has it, and an application that has answered there itself raises StopIteration",
    ),
    Row("exception before the head", Way.REQUEST, "gunicorn logs it and answers 500"),
    Row("exception after the head", Way.REQUEST, "gunicorn logs it and shuts the connection"),
    Row("exit, or killed", Way.REQUEST, "the worker kind decides whether it ends more than the request"),
    Row("client that left meanwhile", Way.REQUEST, "gunicorn knows which errors of a socket are none"),
)
"""Of a request that is served in the loop."""


def way_of(cfg: Settings, log: GunicornLog, worker: object) -> Way:
    """Return the way of the clean requests of a worker."""
    return next((row.way for row in SETTINGS if row.applies(cfg, log, worker)), Way.LOOP)


def may_change_requests(cfg: Settings, worker: object) -> bool:
    """Whether a hook or a subclass sees requests before the application: gunicorn then makes the environ."""
    hook: Any = cfg.settings["pre_request"]
    return hook.get() is not hook.default or any(_is_own(worker, name) for name in ("handle", "handle_request"))


def is_read_here(cfg: Settings) -> bool:
    """Whether the settings let clean requests be read here, however they are served."""
    return not any(row.applies(cfg) for row in SETTINGS if row.way is Way.GUNICORN)
