"""Describe this process to its application: Node's ``process`` under ``cluster``.

In a process that is not a worker, registering handlers is always safe; ``connected`` is ``False`` and
``send`` raises with a sentence that says why.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from ..base.emitter import Emitter, Registration, line_outside
from ..base.event_names import KnownEvents
from ..base.exit_code import checked_exit_code
from ..base.records import Handle, Message
from ..errors import NotInCluster
from ..messages.channel import SendCallback
from .channel_hold import ChannelHold
from .exit_event import ExitEvent
from .process_signals import SIGNAL_EVENTS, SignalEvents
from .sending import SendOptions

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Process", "process"]

_OWNED: Final = (
    "gunicorn itself acts on it: write process.on('disconnecting') or process.on('exit') in a worker, or one of "
    "gunicorn's hooks, such as worker_int and on_exit"
)
_NOT_UNDER_GUNICORN: Final = {
    "beforeExit": "gunicorn keeps its processes alive: write process.on('exit')",
}


if TYPE_CHECKING:

    class _Worker(Protocol):
        """What a process asks of the worker that it is."""

        post: Callable[[Message], bool | bytes | None] | None

        def is_connected(self) -> bool: ...

        def send(
            self,
            message: Message,
            handle: Handle | Callable[..., Any] = None,
            options: SendOptions = None,
            callback: SendCallback | None = None,
            *,
            keep_open: bool = False,
        ) -> bool: ...

        def send_encoded(self, message: Message, payload: bytes | None) -> bool: ...

        async def send_async(self, message: Message, handle: Handle = None, *, keep_open: bool = False) -> None: ...

        def request(
            self, message: Message, callback: Callable[..., Any] | None = None, *, timeout: float | None = 30.0
        ) -> Message: ...

        async def request_async(self, message: Message, *, timeout: float | None = 30.0) -> Message: ...

        def lose_channel(self) -> None: ...

        def exit(self, code: int) -> None: ...

        def hold_channel(self, holds: bool) -> None: ...

        def emit(self, event: str, *args: Any) -> bool: ...

        def listener_count(self, event: str) -> int: ...


class Process(Emitter):
    """This process.

    Events, in a worker: ``message(message, handle)``, ``request(message, reply)``, ``disconnecting(seconds)``,
    ``disconnect()``, ``error(exc)``; everywhere: ``exit(code)`` once, at every end but by a signal;
    ``beforeExit(code)`` in a script with nothing left to do; and each signal by its name, ``SIGTERM(name, number)``,
    except those that gunicorn acts on.

    Attributes:
        signals: its signals as events; for the runtime around it.
        ended, end_untold: those of :class:`~nodecluster_compat.roles.exit_event.ExitEvent`; likewise.
    """

    _known = KnownEvents(
        {
            "message": 2,
            "request": 2,
            "disconnecting": 1,
            "disconnect": 0,
            "error": 1,
            "exit": 1,
            "beforeExit": 1,
            "uncaughtException": 2,
            "uncaughtExceptionMonitor": 2,
            **SIGNAL_EVENTS,
        },
        {
            "unhandledRejection": "there are no promises; an exception that nobody catches is 'uncaughtException'",
            "rejectionHandled": "there are no promises",
            "multipleResolves": "there are no promises",
            "warning": "Python's warnings are filtered by the module warnings",
            "worker": "threads are Python's: write threading.Thread",
        },
    )

    def __init__(self) -> None:
        super().__init__()
        self._worker: _Worker | None = None
        self._channel: tuple[_Worker, ChannelHold] | None = None
        self._exit_event = ExitEvent(self.emit)
        self.ended = self._exit_event.ended
        self.end_untold = self._exit_event.end_untold
        self.signals = SignalEvents(self.emit)
        self._under_gunicorn = False
        self._registered_at: dict[str, str] = {}

    @property
    def pid(self) -> int:
        """The id of this process."""
        return os.getpid()

    @property
    def exit_code(self) -> int | None:
        """The code to end with when nothing is left to do; ``None`` means 0 (Node: ``process.exitCode``).

        Raises:
            ArgumentTypeError: set to what is neither a whole number nor text that is one.
        """
        return self._exit_event.code

    @exit_code.setter
    def exit_code(self, code: int | str | None) -> None:
        self._exit_event.code = code

    @property
    def connected(self) -> bool:
        """Whether there is an open channel to a primary."""
        return self._worker is not None and self._worker.is_connected()

    @property
    def channel(self) -> ChannelHold | None:
        """The channel to the primary, to :meth:`~ChannelHold.unref` it; ``None`` where none is open."""
        worker = self._worker
        if worker is None or not worker.is_connected():
            return None
        if self._channel is None or self._channel[0] is not worker:
            self._channel = worker, ChannelHold(worker.hold_channel)
        return self._channel[1]

    def send(
        self,
        message: Message,
        handle: Handle | Callable[..., Any] = None,
        options: SendOptions = None,
        callback: SendCallback | None = None,
        *,
        keep_open: bool = False,
    ) -> bool:
        """Send a message to the primary; see :meth:`ClusterWorker.send`.

        Raises:
            NotInCluster: this process has no primary.
        """
        worker = self._worker or self._own_worker("process.send()")
        if handle is None and options is None and callback is None and worker.post is not None:
            sent = worker.post(message)  # as the worker does: each call of Python between the two would count
            return sent if isinstance(sent, bool) else worker.send_encoded(message, sent)
        return worker.send(message, handle, options, callback, keep_open=keep_open)

    def request(
        self, message: Message, callback: Callable[..., Any] | None = None, *, timeout: float | None = 30.0
    ) -> Message:
        """Ask the primary, and wait for what it replies; see :meth:`ClusterWorker.request`.

        Raises:
            NotInCluster: this process has no primary.
        """
        return self._own_worker("process.request()").request(message, callback, timeout=timeout)

    async def send_async(self, message: Message, handle: Handle = None, *, keep_open: bool = False) -> None:
        """Send a message to the primary, and go on when it was written; see :meth:`ClusterWorker.send_async`.

        Raises:
            NotInCluster: this process has no primary.
        """
        await self._own_worker("process.send_async()").send_async(message, handle, keep_open=keep_open)

    async def request_async(self, message: Message, *, timeout: float | None = 30.0) -> Message:
        """Ask the primary, and return what it replies; see :meth:`ClusterWorker.request_async`.

        Raises:
            NotInCluster: this process has no primary.
        """
        return await self._own_worker("process.request_async()").request_async(message, timeout=timeout)

    def disconnect(self) -> None:
        """Close the channel to the primary at once; a worker that nobody asked to leave exits with 0."""
        self._own_worker("process.disconnect()").lose_channel()

    def exit(self, code: int | str | None = None) -> NoReturn:
        """End this process with ``code`` (0 to 255), whichever greenlet calls it.

        Args:
            code: a number, or text that is one; ``None``: :attr:`exit_code`, or 0.

        Raises:
            ArgumentTypeError: it is no whole number; nothing has happened.
        """
        asked = checked_exit_code(code)
        number = (self.exit_code or 0 if asked is None else asked) & 0xFF
        if self._worker is not None and not self._exit_event.is_being_emitted:
            self._worker.exit(number)
        sys.exit(number)

    def emit(self, event: str, *args: Any, **kwargs: Any) -> bool:
        """Emit an event; an ``error`` is one of ``cluster.worker`` first, as in Node."""
        worker = self._worker
        if event == "error" and worker is not None and worker.listener_count(event):
            worker.emit(event, *args)
            return not self.listener_count(event) or super().emit(event, *args)
        return super().emit(event, *args, **kwargs)

    # --- for the runtime around it -------------------------------------------------------------

    def reborn(self) -> None:
        """In a forked worker of a script: nothing is left of what the primary registered."""
        self.signals.abandon()
        self.remove_all_listeners()
        self._exit_event.abandon()

    def serve_under_gunicorn(self, signals: Collection[int]) -> None:
        """Note that gunicorn runs this process and acts on these signals; warn handlers that wait for them."""
        self._under_gunicorn = True
        for name in [*self.signals.yield_to_owner(signals), *(_NOT_UNDER_GUNICORN.keys() & self.event_names())]:
            self._complain(name, _NOT_UNDER_GUNICORN.get(name, _OWNED), self._registered_at.get(name))

    # --- registering ---------------------------------------------------------------------------

    def remove_all_listeners(self, event: str | None = None) -> Self:  # type: ignore[override]  # as in Node
        """Remove every handler of ``event``, or of all events."""
        super().remove_all_listeners(event)
        for name in SIGNAL_EVENTS if event is None else (event,):
            self.signals.unwatch(name)
        return self

    def _add_event_handler(self, event: str, k: Callable[..., Any], v: Callable[..., Any]) -> None:
        if event in SIGNAL_EVENTS or event in _NOT_UNDER_GUNICORN:
            self._registered_at.setdefault(event, line_outside())
        if event in SIGNAL_EVENTS:
            self.signals.watch(event)
        elif event == "exit":
            self._exit_event.watch_program()
        super()._add_event_handler(event, k, v)

    def recall(self, forgotten: Sequence[Registration]) -> None:
        """Register again what :meth:`forget` removed, in the same order."""
        super().recall(forgotten)
        for one in forgotten:
            if one.event in SIGNAL_EVENTS:
                self.signals.watch(one.event)

    def _remove_listener(self, event: str, f: Callable[..., Any]) -> None:
        super()._remove_listener(event, f)
        if event not in self._events:
            self.signals.unwatch(event)

    def _check_name(self, event: str) -> None:
        if self.signals.is_owned(event):
            self._complain(event, _OWNED)
        elif self._under_gunicorn and event in _NOT_UNDER_GUNICORN:
            self._complain(event, _NOT_UNDER_GUNICORN[event])
        else:
            super()._check_name(event)

    def _kind(self) -> str:
        return "process"

    def let_go(self) -> None:
        """The process ends: refer to nothing of the application."""
        self.remove_all_listeners()

    def _own_worker(self, what: str) -> _Worker:
        if self._worker is None:
            raise NotInCluster(
                f"{what} needs a primary to talk to, and this process (pid {os.getpid()}) is not a cluster worker: "
                "it runs only in a worker of 'gunicorn -k nodecluster_compat.Worker'"
            )
        return self._worker


process = Process()
