"""Run the handlers of a program: what one raises is logged, and what it registers has its origin.

* A handler that raises is logged with its traceback and harms nothing else: the other handlers run,
  the caller goes on (Node: an uncaught exception ends the process: difference D6 in ``docs/differences.md``).
* The *origin* of a handler is the module whose top-level code registered it.  Only the nearest module-level frame
  counts: a module that a configuration file imports is cached and will not register again, and a function called later
  has no such frame at all.  The origin is inherited: what a handler registers while it runs has the handler's own.

Where an event loop runs (:func:`set_awaiting`) a handler may be an ``async def`` function.  What it returns is kept for
whoever delivers the event (:func:`collect`), who awaits it; an event that nobody delivers so goes to that loop.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from inspect import iscoroutine
from types import FrameType
from typing import Any, cast

from .log import Log
from .native import Choice, in_force

__all__ = [
    "Origin",
    "awaits_handlers",
    "collect",
    "current_origin",
    "ending_by_uncaught",
    "guarded",
    "let_forks_await",
    "log_of_handlers",
    "run_guarded",
    "set_awaiting",
    "set_log",
    "set_uncaught",
]

Origin = str | None


class _ThisProcess:
    """What all handlers of one process share."""

    log: Log = logging.getLogger("nodecluster_compat")
    uncaught: Callable[[BaseException], bool] | None = None
    awaiting: Callable[[Awaitable[None]], object] | None = None
    ends_handler: Callable[[BaseException], bool] | None = None
    forks_loops = False  # what is registered before a fork may run in a process with an event loop


_running: ContextVar[Origin] = ContextVar("nodecluster_running", default=None)
"""The origin of the handler that runs: of this greenlet, thread or task."""


class _Collector:
    """Keeps what handlers leave to await, while the call lasts; a task that one of them begins has it for longer."""

    def __init__(self) -> None:
        self.awaitables: list[Awaitable[None]] = []
        self.is_open = True


_collector: ContextVar[_Collector | None] = ContextVar("nodecluster_collector", default=None)


def set_log(log: Log) -> None:
    """Send what emitters have to say to this logger from now on."""
    _ThisProcess.log = log


def log_of_handlers() -> Log:
    """Return the logger that :func:`set_log` chose."""
    return _ThisProcess.log


def set_uncaught(handler: Callable[[BaseException], bool] | None) -> None:
    """Call this when user code raises, which is logged if it returns false: a script's worker ends then, as in Node."""
    _ThisProcess.uncaught = handler


@contextmanager
def ending_by_uncaught() -> Iterator[None]:
    """While the handlers of a script's last event run: print what one raises, call no more, and exit with 1."""
    outer = _ThisProcess.uncaught
    if outer is not None:
        _ThisProcess.uncaught = _end_by
    try:
        yield
    finally:
        _ThisProcess.uncaught = outer


def _end_by(error: BaseException) -> bool:
    traceback.print_exception(error)
    raise SystemExit(1)


def current_origin() -> Origin:
    """Return the origin that a registration made right now would have; ``None`` outside any module's top level."""
    running = _running.get()
    if running is not None:
        return running
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            name: str | None = frame.f_globals.get("__name__")
            return name
        frame = frame.f_back
    return None


def run_guarded(what: str, origin: Origin, call: Callable[..., Any], *args: Any) -> None:
    """Call user code; whatever it registers has ``origin``, whatever it raises is logged."""
    token = _running.set(origin)
    try:
        result = call(*args)
        if result is not None:
            _returned(what, origin, call, result)
    except BaseException as error:  # noqa: BLE001 - whatever a user's handler raises harms nothing else
        _raised(what, call, error)
    finally:
        _running.reset(token)


def guarded(what: str, origin: Origin, call: Callable[..., Any], choice: Choice | None = None) -> Callable[..., None]:
    """Return :func:`run_guarded` for one call: in C, where that is in force."""
    module = (in_force() if choice is None else choice).module
    if module is None:
        return partial(run_guarded, what, origin, call)
    made: Callable[..., None] = module.Guarded(what, origin, call, _running, _returned, _raised)
    return made


def _returned(what: str, origin: Origin, call: Callable[..., Any], result: object) -> None:
    if hasattr(type(result), "__await__"):
        _keep(what, origin, call, cast("Awaitable[object]", result))


def _raised(what: str, call: Callable[..., Any], error: BaseException) -> None:
    """A handler has raised.

    Raises:
        BaseException: the error, which ends more than the handler.
    """
    ends_handler = _ThisProcess.ends_handler
    if not isinstance(error, Exception) and (ends_handler is None or not ends_handler(error)):
        raise error
    if _ThisProcess.uncaught is None or not _ThisProcess.uncaught(error):
        _ThisProcess.log.error("A handler raised: %s (%r)", what, call, exc_info=error)


def collect(call: Callable[..., object], *args: object) -> list[Awaitable[None]]:
    """Call what emits events; return what its handlers have left to await, in their order.

    Awaiting one of them never raises what a handler raised: that is logged.
    """
    collector = _Collector()
    token = _collector.set(collector)
    try:
        call(*args)
    finally:
        collector.is_open = False
        _collector.reset(token)
    return collector.awaitables


def set_awaiting(
    awaiting: Callable[[Awaitable[None]], object] | None, ends_handler: Callable[[BaseException], bool] | None = None
) -> None:
    """An event loop runs here, so that handlers may be ``async def`` functions.

    Args:
        awaiting: given what a handler has left to await, where nobody collects it; ``None``: no loop runs any more.
        ends_handler: says of what a handler has raised, and is no ``Exception``, whether it ends the handler alone.
    """
    _ThisProcess.awaiting, _ThisProcess.ends_handler = awaiting, ends_handler


def awaits_handlers() -> bool:
    """Whether a handler that is registered now may be an ``async def`` function."""
    return _ThisProcess.awaiting is not None or _ThisProcess.forks_loops


def let_forks_await(awaits: bool) -> None:
    """Whether the workers of this primary have an event loop, so that what is preloaded may be ``async def``, too."""
    _ThisProcess.forks_loops = awaits


def _keep(what: str, origin: Origin, call: Callable[..., Any], awaitable: Awaitable[object]) -> None:
    collector = _collector.get()
    if collector is not None and collector.is_open:
        collector.awaitables.append(_guarded(what, origin, call, awaitable))
    elif _ThisProcess.awaiting is not None:
        _ThisProcess.awaiting(_guarded(what, origin, call, awaitable))
    elif iscoroutine(awaitable):
        awaitable.close()
        _ThisProcess.log.error(
            "A handler did not run: %s (%r) has returned a coroutine, and no event loop runs here to await it",
            what,
            call,
        )


async def _guarded(what: str, origin: Origin, call: Callable[..., Any], awaitable: Awaitable[object]) -> None:
    """Await what a handler has returned; as :func:`run_guarded`."""
    token = _running.set(origin)
    try:
        await awaitable
    except BaseException as error:  # noqa: BLE001 - as there
        _raised(what, call, error)
    finally:
        _running.reset(token)
