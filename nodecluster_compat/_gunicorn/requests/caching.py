"""Cache what gunicorn looks up or formats anew for each request, where nobody can observe it.

* a setting is looked up once (gunicorn: through three calls at each of some fifteen uses in a request);
* the ``Date`` of a response is formatted once a second;
* ``wsgi.errors`` is made again only when the log's streams have changed;
* whether an address is a trusted proxy is computed once for each address and list.

What is sent, and in which order, is gunicorn's to the byte.  The last three replace functions of gunicorn's modules,
in worker processes only; each has stood unchanged in every supported version.
"""

from __future__ import annotations

import gc
import logging
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from gunicorn import util
from gunicorn.http import message, wsgi

from ...base.native import Choice, in_force
from ...machine.frozen import freeze, is_from_template

if TYPE_CHECKING:
    from ..gunicorn_types import Settings

__all__ = ["ErrorsStream", "cache_repeated_work", "errors_stream"]

_MOST_ADDRESSES: Final = 4096


def cache_repeated_work(cfg: Settings) -> None:
    """Cache all of it in this worker, which has loaded its application."""
    _cache_settings(cfg)
    _cache_date()
    _cache_errors_stream()
    _cache_trust()
    _freeze()


def _freeze() -> None:
    """Let no collection look again at what the application made while it was loaded, but for what is garbage by now."""
    if not is_from_template():
        gc.collect()
    freeze()


class _CachedSettings:
    """Mixed into gunicorn's ``Config``: a setting that was read once is an ordinary attribute."""

    def __getattr__(self, name: str) -> object:
        value = super().__getattr__(name)  # type: ignore[misc]  # Config's, in front of which this is mixed
        self.__dict__[name] = value
        return value

    def set(self, name: str, value: object) -> None:
        """Change a setting, also after it was read."""
        self.__dict__.pop(name, None)
        super().set(name, value)  # type: ignore[misc]


def _cache_settings(cfg: Settings) -> None:
    """Let the settings of this process be looked up once each."""
    if not isinstance(cfg, _CachedSettings):
        cfg.__class__ = type("Config", (_CachedSettings, type(cfg)), {})


def _cache_date() -> None:
    """Let gunicorn's ``http_date`` format the present once a second; in this process, for good."""
    original: Callable[[float | None], str] = util.http_date
    last = -1, ""  # both at once: threads may ask at the same time

    def http_date(timestamp: float | None = None) -> str:
        nonlocal last
        if timestamp is not None:
            return original(timestamp)
        now = int(time.time())
        second, text = last
        if now != second:
            text = original(now)
            last = now, text
        return text

    util.http_date = http_date


class ErrorsStream:
    """Hands out ``wsgi.errors``; the C extension has its twin (``native/errors_stream.c``).

    Args:
        original: gunicorn's class.
        log: whose handlers have the streams behind it.
    """

    def __init__(self, original: Callable[[Settings], Any], log: logging.Logger) -> None:
        self._original, self._log = original, log
        self._errors: Any = None
        self._stderr: Any = None
        self._handlers: list[Any] = []
        self._held: list[tuple[Any, Any]] = []  # those that have a stream, and which

    def get(self, cfg: Settings) -> object:
        """Return what it is now."""
        if sys.stderr is not self._stderr or self._log.handlers != self._handlers or self._errors.closed:
            return self._renewed(cfg)
        for handler, stream in self._held:
            if getattr(handler, "stream", None) is not stream:
                return self._renewed(cfg)
        return self._errors

    def _renewed(self, cfg: Settings) -> object:
        stderr, handlers = sys.stderr, self._log.handlers[:]
        held = [(handler, handler.stream) for handler in handlers if hasattr(handler, "stream")]
        self._errors = self._original(cfg)
        self._stderr, self._handlers, self._held = stderr, handlers, held
        return self._errors


def errors_stream(choice: Choice, original: Callable[[Settings], Any], log: logging.Logger) -> Any:  # noqa: ANN401
    """Return what hands out ``wsgi.errors``: C or Python."""
    native = choice.module
    return ErrorsStream(original, log) if native is None else native.ErrorsStream(original, log)


def _cache_errors_stream() -> None:
    """Let gunicorn make the ``wsgi.errors`` of a request anew only when a stream behind it has changed."""
    error_log = logging.getLogger("gunicorn.error")
    wsgi.WSGIErrorsWrapper = errors_stream(in_force(), wsgi.WSGIErrorsWrapper, error_log).get


def _cache_trust() -> None:
    """Let gunicorn parse the address of a peer once, as long as the list it is held against is the same object."""
    original: Callable[[str, Any, Any], bool] = message._ip_in_allow_list
    known: dict[str, tuple[Any, Any, bool]] = {}

    def is_allowed(address: str, allow_list: object, networks: object) -> bool:
        entry = known.get(address)
        if entry is not None and entry[0] is allow_list and entry[1] is networks:
            return entry[2]
        answer = original(address, allow_list, networks)
        if len(known) >= _MOST_ADDRESSES:
            known.clear()
        known[address] = (allow_list, networks, answer)
        return answer

    message._ip_in_allow_list = is_allowed
