"""Cache what gunicorn looks up or formats anew for each request, where nobody can observe it.

* a setting is looked up once (gunicorn: through three calls at each of some fifteen uses in a request);
* the ``Date`` of a response is formatted once a second;
* ``wsgi.errors`` is made again only when the log's streams have changed;
* whether an address is a trusted proxy is computed once for each address and list.

What is sent, and in which order, is gunicorn's to the byte.  The last three replace functions of gunicorn's modules,
in worker processes only; each has stood unchanged in every supported version.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from gunicorn import util
from gunicorn.http import message, wsgi

from ...machine.frozen import freeze

if TYPE_CHECKING:
    from ..gunicorn_types import Settings

__all__ = ["cache_repeated_work"]

_MOST_ADDRESSES: Final = 4096


def cache_repeated_work(cfg: Settings) -> None:
    """Cache all of it in this worker, which has loaded its application."""
    _cache_settings(cfg)
    _cache_date()
    _cache_errors_stream()
    _cache_trust()
    freeze()  # what the application made while it was loaded stays: no collection looks at it again


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


def _cache_errors_stream() -> None:
    """Let gunicorn make the ``wsgi.errors`` of a request anew only when a stream behind it has changed."""
    original = wsgi.WSGIErrorsWrapper
    error_log = logging.getLogger("gunicorn.error")
    errors: Any = None
    stderr: Any = None
    handlers: list[Any] = []
    held: list[tuple[Any, Any]] = []  # those that have a stream, and which

    def errors_stream(cfg: Settings) -> object:
        nonlocal errors, stderr, handlers, held
        if sys.stderr is stderr and error_log.handlers == handlers and not errors.closed:
            for handler, stream in held:
                if handler.stream is not stream:
                    break
            else:
                return errors
        stderr, handlers = sys.stderr, error_log.handlers[:]
        held = [(handler, handler.stream) for handler in handlers if hasattr(handler, "stream")]
        errors = original(cfg)
        return errors

    wsgi.WSGIErrorsWrapper = errors_stream


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
