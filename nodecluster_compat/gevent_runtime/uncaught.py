"""Handle a script's uncaught exceptions as Node does (``uncaughtException``): of handlers, timers, greenlets, threads.

gevent prints what ends a greenlet and goes on; Python does the same for a thread.  Node ends the process, and so does
a script's worker: ``process`` emits ``uncaughtExceptionMonitor`` and ``uncaughtException``, and unless somebody listens
for the latter, the traceback is printed and the process ends with 1, or with 7 if the listener itself has raised.

An exception counts as caught if somebody waits for its greenlet, who gets it (``get``) or does not care (``join``), and
if a thread pool or an executor hands it over with the result.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from gevent import Greenlet, GreenletExit, get_hub, getcurrent, spawn

from ..base.handler_calls import set_uncaught
from .script import print_uncaught

if TYPE_CHECKING:
    from ..base.emitter import Emitter

__all__ = ["Uncaught", "UncaughtListeners"]

_ORIGIN: Final = "uncaughtException"
_UNCAUGHT_CODE: Final = 1
_LISTENER_CODE: Final = 7  # Node: "Internal Exception Handler Run-Time Failure"
_NEVER_JUDGED: Final = (GreenletExit, KeyboardInterrupt)  # the latter is gevent's to throw into the main greenlet


class UncaughtListeners:
    """The listeners on ``process`` for exceptions that nobody caught.

    Args:
        process: emits the events.
    """

    def __init__(self, process: Emitter) -> None:
        self._process = process
        self._telling: set[object] = set()  # greenlets that call them

    @property
    def are_called(self) -> bool:
        """Whether this greenlet calls them at this moment: then one of them has raised."""
        return getcurrent() in self._telling

    def take(self, error: BaseException) -> bool:
        """Tell them of ``error``; return whether one of them says that the process may go on."""
        current = getcurrent()
        if current in self._telling:
            return False
        self._telling.add(current)
        try:
            self._process.emit("uncaughtExceptionMonitor", error, _ORIGIN)
            return self._process.emit("uncaughtException", error, _ORIGIN)
        finally:
            self._telling.discard(current)


class Uncaught:
    """Ends a worker by an exception that nobody caught.

    Args:
        process: emits the events.
        end: ends the process with a code; told whether ``exit`` is to be emitted.
        leave: ends it as ``sys.exit()`` asks.
    """

    def __init__(self, process: Emitter, end: Callable[[int, bool], None], leave: Callable[[SystemExit], None]) -> None:
        self._listeners = UncaughtListeners(process)
        self._end = end
        self._exit = leave
        self._hub: Any = get_hub()
        self._usual_hook = threading.excepthook

    def watch(self) -> None:
        """Judge everything from now on that runs on this thread's hub, and every thread of Python's."""
        set_uncaught(self.take)
        self._hub.handle_error = partial(self._failed, self._hub.handle_error)  # gevent's own place for this
        threading.excepthook = self._thread_failed

    def let_go(self) -> None:
        """Judge no more: the process ends, and nothing that lives as long may hold the script."""
        set_uncaught(None)
        self._hub.__dict__.pop("handle_error", None)
        threading.excepthook = self._usual_hook

    def take(self, error: BaseException) -> bool:
        """Tell the listeners of ``process``; end the process where none of them says that it may go on.

        Returns:
            True: there is nothing else to say about it.
        """
        is_listeners = self._listeners.are_called
        if not self._listeners.take(error):
            print_uncaught(error)
            self._end(_LISTENER_CODE if is_listeners else _UNCAUGHT_CODE, not is_listeners)
        return True

    def _failed(
        self,
        usual: Callable[..., None],
        context: object,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Replaces the hub's ``handle_error``: a greenlet, a callback of the hub or a signal handler has raised."""
        if isinstance(value, SystemExit):
            self._exit(value)
        elif value is not None and not isinstance(value, _NEVER_JUDGED) and not _is_caught(context):
            value = value if value.__traceback__ is not None else value.with_traceback(trace)
            self._judge(value)
        else:
            usual(context, kind, value, trace)

    def _judge(self, error: BaseException) -> None:
        if getcurrent() is self._hub:
            spawn(self.take, error)  # listeners may wait, and the hub must not
            return
        try:
            self.take(error)
        except SystemExit as asked:  # by a listener
            self._exit(asked)

    def _thread_failed(self, args: threading.ExceptHookArgs) -> None:
        """Replaces Python's, which prints; a thread that calls ``sys.exit()`` ends alone, as ever."""
        error = args.exc_value
        if error is None or isinstance(error, SystemExit | GreenletExit):
            return
        if get_hub() is self._hub:
            self._judge(error)
        else:
            self._hub.loop.run_callback_threadsafe(self._judge, error)


def _is_caught(context: object) -> bool:
    """Whether somebody waits for what has raised, or can still ask for it."""
    if isinstance(context, Greenlet):
        return any(map(_is_waiting, _links(context))) or _is_of_a_map(context)
    # gevent names a task of a thread pool so; whoever has its result gets the exception.
    return isinstance(context, tuple) and type(context[0]).__module__ == "gevent.threadpool"


class _Probe:
    """Equals nothing, and notes what it was compared with."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.met: list[object] = []

    def __eq__(self, other: object) -> bool:
        self.met.append(other)
        return False


def _links(greenlet: Greenlet) -> list[object]:
    """Return who is to hear of the end of ``greenlet``.

    gevent's compiled class keeps the list to itself; what is to be taken off it is compared with all that are there.
    """
    probe = _Probe()
    greenlet.unlink(probe)
    return probe.met


def _is_of_a_map(greenlet: Greenlet) -> bool:
    """Whether a pool's ``map`` has made it, which asks its greenlets for their results one after another."""
    maker = greenlet.spawning_greenlet() if greenlet.spawning_greenlet is not None else None
    return getattr(getattr(maker, "_run", None), "__module__", None) == "gevent.pool"


def _is_waiting(link: object) -> bool:
    """Whether a link of a greenlet stands for somebody; a group only counts its greenlets, unless it is joined."""
    group: Any = getattr(link, "__self__", None)
    if getattr(link, "__name__", "") != "_discard" or not hasattr(group, "_empty_event"):
        return True
    return bool(group._empty_event.linkcount())
