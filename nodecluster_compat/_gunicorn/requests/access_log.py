"""Write the access log: one line for each answer, as gunicorn's ``Logger.access`` does, at a tenth of its cost.

How a request is logged
-----------------------
:func:`use_access_log` gives a process its :class:`AccessLog`.  Then there are two ways to it:

* gunicorn's loops call ``log.access(resp, req, environ, request_time)`` as ever; that is
  :meth:`AccessLog.access` from then on.
* The loop of clean requests (:mod:`clean_connection`) calls :meth:`AccessLog.line` with plain values, and
  ``log.access`` where that says that gunicorn has to be asked.

Both compose the line by a compiled format (:mod:`access_format`) and write it to gunicorn's stream
(:mod:`access_stream`).  Where somebody could tell the difference the line is gunicorn's: a ``logger_class`` that
overrides something, statsd, another handler, formatter or filter (``logconfig``, syslog), a format that is not only
made of ``%(name)s``, a value that is no text.

Two things are not as there: an application that leaves names in ``environ`` that are no text gets its line (gunicorn's
``access`` raises, after the answer); and a line may be in the stream's buffer until the end of a turn of the loop.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from gunicorn import glogging

from ..log_lines import escapes_only
from .access_format import Facts, LineFormat, compile_format
from .access_stream import AccessStream, FlushFirst, are_from

if TYPE_CHECKING:
    from ..gunicorn_types import Environ, GunicornLog, Headers, PlainRequest

__all__ = ["AccessLog", "has_access_of_its_own", "is_logging_access", "use_access_log"]

_METHODS: Final = ("access", "atoms", "now", "_get_user")
_ENABLED: Final = ("access_log_enabled", "_compute_access_log_enabled")
_CALLS: Final = attrgetter("__class__.access", *_METHODS[1:], "atoms_wrapper_class", "access_log", "cfg")
_GLOGGING_FILE: Final = glogging.Logger.setup.__code__.co_filename
_DAY: Final = 24 * 60 * 60 * 1_000_000


class AccessLog:
    """The access log of one process.

    Args:
        log: gunicorn's logger.
        at_turn_end: calls once, when the loop has nothing left to do but to wait; ``None``: lines are written at once.

    Attributes:
        is_on: whether requests are logged at all.
    """

    def __init__(self, log: GunicornLog, at_turn_end: Callable[[Callable[[], None]], object] | None) -> None:
        self._log: Any = log
        self.is_on = is_logging_access(log)
        self._setting = log.cfg.settings["access_log_format"]
        self._text: object = None
        self._format: LineFormat | None = None
        self._stream: AccessStream | None = None
        self._calls: tuple[object, ...] = ()
        self._moment = (-1, "")  # a second, and how it is written
        if self.is_on and _is_gunicorns(log):
            self._stream = AccessStream(log.access_log, at_turn_end)
            self._calls = _CALLS(log)

    @property
    def stream(self) -> AccessStream | None:
        """Where the lines go that are composed here; ``None``: each of them is gunicorn's."""
        return self._stream

    def line(
        self,
        environ: Environ,
        status: str,
        headers: Headers,
        sent: int,
        request: PlainRequest,
        started: float,
    ) -> bool:
        """Log one answered request.

        Args:
            environ: the application's.
            status: the whole of it, ``200 OK``.
            headers: of the answer, as the application gave them.
            sent: bytes of the body that were sent.
            request: that is answered.
            started: what ``time.time()`` said when the request had been read.

        Returns:
            Whether that is done.  If not, nothing is, and gunicorn's ``access`` has to be called.
        """
        line_format = self._usable_format()
        if line_format is None:
            return False
        now = time.time()
        fields = request.headers if line_format.has_fields else ()
        micros = round((now - started) * 1_000_000) % _DAY if line_format.is_timed else 0
        return self._write(line_format, environ, status, headers, sent, fields, micros, now)

    def access(self, resp: Any, req: Any, environ: Environ, request_time: timedelta) -> None:  # noqa: ANN401
        """Log one answered request, as gunicorn's loops do; stands in for gunicorn's ``Logger.access``."""
        line_format = self._usable_format()
        if line_format is not None:
            fields, headers, sent = getattr(req, "headers", None), resp.headers, getattr(resp, "sent", None)
            micros = request_time.seconds * 1_000_000 + request_time.microseconds
            are_lists = type(fields) is list and type(headers) is list
            if are_lists and self._write(line_format, environ, resp.status, headers, sent, fields, micros, time.time()):
                return
        type(self._log).access(self._log, resp, req, environ, request_time)

    def _usable_format(self) -> LineFormat | None:
        """Return what composes the next line, unless that is gunicorn's to do."""
        stream = self._stream
        if stream is None or not stream.is_plain():
            return None
        if not stream.is_holding and self._calls != _CALLS(self._log):
            return None
        text = self._setting.value
        if text is not self._text:
            self._text = text
            self._format = compile_format(text) if type(text) is str else None
        return self._format

    def _write(
        self,
        line_format: LineFormat,
        environ: Environ,
        status: object,
        headers: Iterable[tuple[str, str]],
        sent: object,
        fields: Any,  # noqa: ANN401 - looked at
        micros: int,
        now: float,
    ) -> bool:
        if type(status) is not str or type(sent) is not int:
            return False
        second, moment = self._moment
        if second != int(now):
            moment = self._log.now()
            self._moment = int(now), moment
        try:
            code = status.split(None, 1)[0]
            user = self._user(environ) if "HTTP_AUTHORIZATION" in environ else "-"
            line = line_format.compose(Facts(environ, code, headers, fields, sent, micros, moment, user))
        except Exception:  # noqa: BLE001 - whatever it is, gunicorn says it
            return False
        assert self._stream is not None
        return self._stream.write(line)

    def _user(self, environ: Environ) -> str:
        if self._log.error_log.isEnabledFor(logging.DEBUG):
            raise LookupError("gunicorn says there what is wrong with a name")
        return self._log._get_user(environ) or "-"


def use_access_log(log: GunicornLog, at_turn_end: Callable[[Callable[[], None]], object] | None) -> AccessLog:
    """Let ``log.access`` be ours from now on, in this process; called again, return what was made then.

    Args:
        log: gunicorn's logger, which is set up.
        at_turn_end: as for :class:`AccessLog`.
    """
    known = getattr(vars(log).get("access"), "__self__", None)
    if isinstance(known, AccessLog):
        return known
    made = AccessLog(log, at_turn_end)
    if made.stream is not None:
        vars(log)["access"] = made.access
        for logger in (log.error_log, logging.getLogger("nodecluster_compat")):
            logger.addFilter(FlushFirst(made.stream))
    return made


def has_access_of_its_own(log: GunicornLog) -> bool:
    """Whether somebody has given this very logger an ``access``, who therefore looks at requests."""
    found = vars(log).get("access")
    return found is not None and not isinstance(getattr(found, "__self__", None), AccessLog)


def _is_gunicorns(log: Any) -> bool:  # noqa: ANN401 - any ``logger_class``
    """Whether a logger writes the lines that gunicorn's does: it overrides nothing that has a part in them."""
    kind, theirs = type(log), glogging.Logger
    if not isinstance(log, theirs) or not vars(log).keys().isdisjoint((*_METHODS, *_ENABLED)):
        return False
    if any(getattr(kind, name, None) is not getattr(theirs, name, None) for name in (*_METHODS, *_ENABLED)):
        return False
    atoms = vars(glogging.SafeAtoms)
    methods = [vars(theirs)[name] for name in _METHODS] + [atoms["__init__"], atoms["__getitem__"]]
    return escapes_only(log, glogging.SafeAtoms) and are_from(_GLOGGING_FILE, methods)


def is_logging_access(log: Any) -> bool:  # noqa: ANN401 - as above
    """Whether gunicorn would log requests; its own word where it has one, from 25.3 on."""
    enabled = getattr(log, "access_log_enabled", None)
    if enabled is not None:
        return bool(enabled)
    cfg = log.cfg
    return bool(
        cfg.accesslog
        or cfg.logconfig
        or cfg.logconfig_dict
        or cfg.logconfig_json
        or (cfg.syslog and not cfg.disable_redirect_access_to_syslog)
    )
