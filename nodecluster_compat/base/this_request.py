"""Ask about the request that the caller serves, and limit its time, whatever serves it; a no-op outside a request.

An engine registers what finds the request of a caller: by its greenlet, its thread or its task.
"""

from __future__ import annotations

import functools
import inspect
import logging
import math
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, TypeVar, cast

from ..errors import ArgumentError
from .arguments import MOST_SECONDS
from .weak_methods import WeakMethods

__all__ = [
    "ASKERS",
    "ID_KEY",
    "LIMIT_KEY",
    "REQUEST_ID",
    "SLOT_KEY",
    "RequestIdFilter",
    "add_finder",
    "add_limiter",
    "limit_request",
    "request_id",
    "request_timeout",
]

LIMIT_KEY: Final = "nodecluster.request_timeout"
"""Of ``environ``: :func:`limit_request`, for programs that do not want to import it."""

SLOT_KEY: Final = "nodecluster.slot"
"""Of ``environ``: the slot of the worker, as text."""

ID_KEY: Final = "nodecluster.request_id"
"""Of ``environ``, and of an ASGI scope: the id of the request, where there are any."""

REQUEST_ID: ContextVar[str | None] = ContextVar("nodecluster.request_id", default=None)
"""The id of the request that is served here."""

ASKERS: Final[list[str]] = []
"""The modules that are loaded by which a program asks for the id; without one, C need not set the variable."""

Limiter = Callable[[float], bool]
View = TypeVar("View", bound=Callable[..., Any])

Finder = Callable[[], str | None]

_limiters: WeakMethods[Limiter] = WeakMethods()
_finders: WeakMethods[Finder] = WeakMethods()


def add_limiter(limiter: Limiter) -> None:
    """Ask ``limiter``, a method, as long as its object lives: it limits the request of its caller, if it knows that."""
    _limiters.add(limiter)


def add_finder(finder: Finder) -> None:
    """Ask ``finder``, a method, as long as its object lives: the id of the request of its caller, if it knows that."""
    _finders.add(finder)


def limit_request(seconds: float) -> bool:
    """Say how long the request that the caller serves may take.

    Args:
        seconds: counted from when the request had been read; 0 for no limit.  It comes before ``request_timeout`` of
            the settings, and the last one that was said counts.

    Returns:
        Whether there is such a request: not in a unit test, nor under another server.

    Raises:
        ArgumentError: ``seconds`` is no number of seconds.
    """
    checked = _checked(seconds)
    return any(limiter(checked) for limiter in _limiters)


def request_timeout(seconds: float) -> Callable[[View], View]:
    """Return a decorator of a view, endpoint or WSGI application: a request that it serves may take so long.

    Args:
        seconds: as for :func:`limit_request`.
    """
    checked = _checked(seconds)

    def decorate(view: View) -> View:
        """Return ``view``, plain or asynchronous as it is, with its time limited."""
        if inspect.iscoroutinefunction(view):

            @functools.wraps(view)
            async def limited_async(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the view's
                limit_request(checked)
                return await view(*args, **kwargs)

            return cast("View", limited_async)

        @functools.wraps(view)
        def limited(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the view's
            limit_request(checked)
            return view(*args, **kwargs)

        return cast("View", limited)

    return decorate


def request_id() -> str | None:
    """Return the id of the request that the caller serves; ``None`` without ``request_id_header``, or in none."""
    ident = REQUEST_ID.get()
    return _found() if ident is None else ident


class RequestIdFilter(logging.Filter):
    """Gives each record of a log the field ``request_id``, ``-`` where there is none, for ``%(request_id)s``.

    It lets every record pass, and leaves a field of that name as it is.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Give ``record`` the field."""
        if not hasattr(record, "request_id"):
            record.request_id = request_id() or "-"
        return True


def _found() -> str | None:
    """Return the id of a request that has begun before anybody could ask for it."""
    return next((ident for finder in _finders if (ident := finder()) is not None), None)


def _checked(seconds: object) -> float:
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < math.inf:
        return float(min(seconds, MOST_SECONDS))
    raise ArgumentError(f"expected a number of seconds, 0 or more, got {seconds!r}")
