"""Emit events as Node does, over pyee, with two rules of ours.

* A handler that raises is logged with its traceback and harms nothing else: the other handlers run,
  the caller goes on (Node: an uncaught exception ends the process; DESIGN §4.1, difference D6).
* Every handler remembers its *origin*: the module whose top-level code registered it.  A configuration
  file is executed again on HUP; what its first execution registered is then forgotten, so handlers are
  replaced and not doubled.  Only the nearest module-level frame counts: a module that the file imports is
  cached and will not register again, and a function called later has no such frame at all.  The origin is
  inherited: what a handler registers while it runs has the handler's own origin.

Where an event loop runs (:func:`set_awaiting`) a handler may be an ``async def`` function.  What it returns is kept for
whoever delivers the event (:func:`collect`), who awaits it; an event that nobody delivers so goes to that loop.

Two more are Node's: a handler is called with as many arguments as it takes (see ``arity``), and nobody listens in vain
for an event without a word (see ``event_names``).
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from inspect import iscoroutine
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast, overload
from weakref import ref

from msgspec import Struct
from pyee.base import EventEmitter

from ..errors import ArgumentTypeError
from .arity import fitted
from .event_names import KnownEvents
from .log import Log
from .native import Choice, in_force

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "Emitter",
    "Origin",
    "Registration",
    "awaits_handlers",
    "collect",
    "current_origin",
    "ending_by_uncaught",
    "guarded",
    "let_forks_await",
    "line_outside",
    "run_guarded",
    "set_awaiting",
    "set_log",
    "set_uncaught",
]

Handler = TypeVar("Handler", bound=Callable[..., Any])
Origin = str | None


class _ThisProcess:
    """What all emitters of one process share."""

    log: Log = logging.getLogger("nodecluster_compat")
    uncaught: Callable[[BaseException], bool] | None = None
    awaiting: Callable[[Awaitable[None]], object] | None = None
    ends_handler: Callable[[BaseException], bool] | None = None
    forks_loops = False  # what is registered before a fork may run in a process with an event loop
    complaints: set[tuple[str, str]] = set()  # noqa: RUF012 - of the process, like the class


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


class Registration(Struct, frozen=True):
    """A handler that :meth:`Emitter.forget` took off, with what is needed to put it on again."""

    event: str
    handler: Callable[..., Any]
    call: Callable[..., Any]
    origin: Origin


class _Again:
    """Names a handler that its event has already: pyee has one of each."""

    __slots__ = ("handler",)

    def __init__(self, handler: Callable[..., Any]) -> None:
        self.handler = handler

    def __call__(self, *args: Any) -> None:
        """Never called: it is where pyee expects a function."""


class _Once:
    """Removes its registration and calls the handler, unless it was removed before; returns what that returns.

    It does not keep the emitter alive: what waits for an event that never comes is freed with it.
    """

    __slots__ = ("_emitter", "_event", "_handler", "key")

    def __init__(self, emitter: Emitter, event: str, handler: Callable[..., Any]) -> None:
        self._emitter = ref(emitter)
        self._event = event
        self._handler = handler
        self.key: Callable[..., Any] = handler

    def __call__(self, *args: Any, **kwargs: Any) -> object:
        emitter = self._emitter()
        if emitter is None or not emitter._take_off(self._event, self.key):
            return None
        return self._handler(*args, **kwargs)


class Emitter(EventEmitter):
    """An event emitter with Node's names.

    ``on(event, handler)`` returns the emitter, so that calls can be chained, and works as a decorator,
    ``@emitter.on(event)``.  ``off`` is ``remove_listener``; removing a handler that is not there
    is a no-op, as in Node.  A handler that is registered several times is called as often, and ``off`` removes the last
    of them.

    Attributes:
        known: the events of its kind; ``None`` where every name is a program's own.
    """

    _known: ClassVar[KnownEvents | None] = None

    def __init__(self) -> None:
        super().__init__()
        self._origins: dict[tuple[str, Callable[..., Any]], Origin] = {}

    @overload  # type: ignore[override]  # pyee returns ``f``, Node the emitter
    def on(self, event: str) -> Callable[[Handler], Handler]: ...
    @overload
    def on(self, event: str, f: Callable[..., Any]) -> Self: ...
    def on(self, event: str, f: Callable[..., Any] | None = None) -> Self | Callable[[Handler], Handler]:
        """Call ``f`` at every ``event``, with as many arguments as it takes.

        Returns:
            This emitter, as in Node: ``server.on("error", say).listen(8000)``; without ``f``, a decorator.

        Raises:
            ArgumentTypeError: ``event`` is no name, or ``f`` can never be called.
        """
        return self.listens_to(event) if f is None else self.add_listener(event, f)

    def add_listener(self, event: str, f: Callable[..., Any]) -> Self:  # type: ignore[override]  # pyee returns ``f``
        """Call ``f`` at every ``event``; return this emitter."""
        self._add_event_handler(event, f, f)
        return self

    def once(self, event: str, f: Callable[..., Any] | None = None) -> Any:  # noqa: ANN401 - as :meth:`on`
        """Call ``f`` at the next ``event`` only; otherwise as :meth:`on`."""
        if f is None:
            return partial(self._decorate_once, event)
        self._add_event_handler(event, f, _Once(self, event, f))
        return self

    def _decorate_once(self, event: str, f: Handler) -> Handler:
        self.once(event, f)
        return f

    def off(self, event: str, f: Callable[..., Any]) -> Self:
        """Remove a handler; one that is not registered is ignored."""
        self.remove_listener(event, f)
        return self

    def remove_listener(self, event: str, f: Callable[..., Any]) -> Self:  # type: ignore[override]  # as in Node
        """Remove a handler; one that is not registered is ignored (Node's ``removeListener``)."""
        for key in reversed(self._events.get(event, ())):  # of several the last, as in Node
            if _handler_of(key) == f:
                self._take_off(event, key)
                break
        return self

    def _take_off(self, event: str, key: Callable[..., Any]) -> bool:
        """Remove a registration; return whether it was there."""
        if key not in self._events.get(event, ()):
            return False
        super().remove_listener(event, key)
        self._origins.pop((event, key), None)
        return True

    def listeners(self, event: str) -> list[Callable[..., Any]]:
        """Return the handlers of ``event``, in order, each as often as it is registered."""
        return [_handler_of(key) for key in self._events.get(event, ())]

    def remove_all_listeners(self, event: str | None = None) -> Self:  # type: ignore[override]  # as in Node
        """Remove every handler of ``event``; without it, of every event."""
        super().remove_all_listeners(event)
        self._origins = {} if event is None else {key: of for key, of in self._origins.items() if key[0] != event}
        return self

    def listener_count(self, event: str) -> int:
        """Return how many handlers ``event`` has."""
        return len(self._events.get(event, ()))

    def emit(self, event: str, *args: Any, **kwargs: Any) -> bool:
        """Call every handler of ``event``; return whether there is one.

        pyee's takes a lock and makes two lists for each call, and every message is three of them.  A handler that is
        added or removed meanwhile counts from the next time on, as there.
        """
        handlers = self._events.get(event)
        if not handlers:
            if event == "error":
                self._emit_handle_potential_error(event, args[0] if args else None)
            return False
        for call in tuple(handlers.values()):
            call(*args, **kwargs)
        return True

    def forget(self, origin: Origin) -> list[Registration]:
        """Remove every handler that was registered from ``origin``; return them for :meth:`recall`."""
        forgotten: list[Registration] = []
        for (event, handler), registered_from in list(self._origins.items()):
            if registered_from == origin and handler in self._events.get(event, ()):
                forgotten.append(Registration(event, handler, self._events[event][handler], origin))
                self._take_off(event, handler)
        return forgotten

    def recall(self, forgotten: Sequence[Registration]) -> None:
        """Register again what :meth:`forget` removed, in the same order."""
        for one in forgotten:
            self._origins[one.event, one.handler] = one.origin
            super()._add_event_handler(one.event, one.handler, one.call)

    def _add_event_handler(self, event: str, k: Callable[..., Any], v: Callable[..., Any]) -> None:
        # pyee's one place of registration: ``k`` names the handler, ``v`` is what it calls for it.
        if not isinstance(event, str):
            raise ArgumentTypeError(f"expected the name of an event, got {event!r}")
        call = fitted(k, self._argument_count(event), f"the handler of {event!r}", v, is_awaited=awaits_handlers())
        if getattr(k, "__hash__", None) is None:
            raise ArgumentTypeError(f"expected a hashable handler of {event!r}, got {k!r}: give one of its methods")
        self._check_name(event)
        key = _Again(k) if k in self._events.get(event, ()) else k
        if type(v) is _Once:
            v.key = key
        origin = current_origin()
        self._origins[event, key] = origin
        super()._add_event_handler(event, key, guarded(f"event {event!r}", origin, call))

    def _argument_count(self, event: str) -> int | None:
        return None if self._known is None else self._known.counts.get(event)

    def _check_name(self, event: str) -> None:
        complaint = None if self._known is None else self._known.complaint(event)
        if complaint is not None:
            self._complain(event, complaint)

    def _complain(self, event: str, complaint: str, where: str | None = None) -> None:
        """Say, once for each name, that a handler waits for what does not come."""
        kind = self._kind()
        if (kind, event) not in _ThisProcess.complaints:
            _ThisProcess.complaints.add((kind, event))
            _ThisProcess.log.warning("%s: %s has no event %r: %s", where or line_outside(), kind, event, complaint)

    def _kind(self) -> str:
        return type(self).__name__

    def _emit_handle_potential_error(self, event: str, error: object) -> None:
        _ThisProcess.log.error("Unhandled %r event of %r: %s", event, self, error)


def _handler_of(key: Callable[..., Any]) -> Callable[..., Any]:
    return key.handler if type(key) is _Again else key


def line_outside() -> str:
    """Return file and line of the nearest caller that is neither this package nor pyee."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(("nodecluster_compat", "pyee")):
        frame = frame.f_back
    return "?" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
