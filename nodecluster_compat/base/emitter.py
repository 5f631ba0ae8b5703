"""Emit events as Node does, over pyee.

Every handler remembers its *origin* (see ``handler_calls``).  A configuration file is executed again on HUP; what its
first execution registered is then forgotten, so handlers are replaced and not doubled.

Two rules are Node's: a handler is called with as many arguments as it takes (see ``arity``), and nobody listens in vain
for an event without a word (see ``event_names``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload
from weakref import ref

from msgspec import Struct
from pyee.base import EventEmitter

from ..errors import ArgumentTypeError
from .arity import fitted
from .event_names import KnownEvents
from .handler_calls import Origin, awaits_handlers, current_origin, guarded, log_of_handlers

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "Emitter",
    "Registration",
    "line_outside",
]

Handler = TypeVar("Handler", bound=Callable[..., Any])


_complaints: set[tuple[str, str]] = set()
"""Of which kind and event this process has complained."""


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
        if (kind, event) not in _complaints:
            _complaints.add((kind, event))
            log_of_handlers().warning("%s: %s has no event %r: %s", where or line_outside(), kind, event, complaint)

    def _kind(self) -> str:
        return type(self).__name__

    def _emit_handle_potential_error(self, event: str, error: object) -> None:
        log_of_handlers().error("Unhandled %r event of %r: %s", event, self, error)


def _handler_of(key: Callable[..., Any]) -> Callable[..., Any]:
    return key.handler if type(key) is _Again else key


def line_outside() -> str:
    """Return file and line of the nearest caller that is neither this package nor pyee."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(("nodecluster_compat", "pyee")):
        frame = frame.f_back
    return "?" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
