"""Show a worker's process to the primary: Node's ``worker.process``.

A program may keep it after the worker's end, and so may a script's primary while a pipe of it is open.  So it refers to
its worker's handle weakly: otherwise the two would be a cycle, and what the primary had of each dead worker would wait
for a search for cycles.  What it needs to answer as a dead one it has itself.
"""

from __future__ import annotations

import os
import signal as signals
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import ref

from ..base.emitter import Emitter
from ..base.event_names import KnownEvents
from ..base.records import Handle, Message
from ..errors import ClusterError
from ..messages.channel import SendCallback
from .channel_hold import ChannelHold
from .sending import SendOptions, sent_as

if TYPE_CHECKING:
    from ..lifecycle.way_out import WayOut
    from ..messages.line import Line
    from .pipes import Pipe, ReadablePipe, WritablePipe

__all__ = ["Sender", "WorkerProcess"]

_ENDING_SIGNALS: Final = frozenset({signals.SIGTERM, signals.SIGINT, signals.SIGQUIT, signals.SIGHUP, signals.SIGKILL})


if TYPE_CHECKING:

    class Sender(Protocol):
        """The sender of a message, which is told of its error: a worker's handle, or its process."""

        @property
        def id(self) -> int:
            """The worker's."""

        def tell_error(self, error: Exception) -> bool:
            """Emit ``error``; return whether somebody listens."""

    class _Handle(Protocol):
        """What a process asks of its worker's handle."""

        id: int
        way_out: WayOut

        def send(
            self,
            message: Message,
            handle: Handle | Callable[..., Any] = None,
            options: SendOptions = None,
            callback: SendCallback | None = None,
            *,
            keep_open: bool = False,
        ) -> bool: ...

    class _Owner(Protocol):
        """What a process asks of the primary."""

        def report_send_error(self, sender: Sender, error: ClusterError) -> None: ...

        def holding_changed(self) -> None: ...


class WorkerProcess(Emitter):
    """The operating system's side of a worker: Node's ``worker.process``.

    Events, each after that of the worker and of the cluster: ``spawn()``, ``message(message, handle)``,
    ``disconnect()``, ``exit(code, signal)``, ``close(code, signal)`` once its pipes have ended too, ``error(exc)``.

    Attributes:
        id: the worker's.
        line: to the worker.
        stdin, stdout, stderr: streams where the settings asked for pipes, otherwise ``None``.
        stdio: the same by number, and further ones, which are read and written.
    """

    _known = KnownEvents(
        {"spawn": 0, "message": 2, "disconnect": 0, "exit": 2, "close": 2, "error": 1},
        {"internalMessage": "what the runtime says to itself is no message here; 'message' has those of programs"},
    )

    def __init__(self, worker: _Handle, owner: _Owner) -> None:
        super().__init__()
        self.stdin: WritablePipe | None = None
        self.stdout: ReadablePipe | None = None
        self.stderr: ReadablePipe | None = None
        self.stdio: list[Pipe | None] = []
        self.id = worker.id
        self.line: Line
        self._worker = ref(worker)
        self._way_out = worker.way_out
        self._owner = owner
        self.pid: int | None = None
        self.exit_code: int | None = None
        self.signal_code: str | None = None
        self._is_close_told = False
        self.is_reaped = False  # from here on the pid may be another process'
        self._is_held = True
        self._channel = ChannelHold(lambda _: owner.holding_changed())

    @property
    def connected(self) -> bool:
        """Whether the channel to the worker is open."""
        return self.line.is_open

    @property
    def channel(self) -> ChannelHold | None:
        """The channel to the worker, to :meth:`~ChannelHold.unref` it; ``None`` once it is closed."""
        return self._channel if self.connected else None

    def ref(self) -> None:
        """Keep a script's primary alive until this worker has exited, as it does unless told otherwise."""
        self._is_held = True
        self._owner.holding_changed()

    def unref(self) -> None:
        """Let a script's primary end before this worker, if the channel may be left, too: ``channel.unref()``."""
        self._is_held = False
        self._owner.holding_changed()

    @property
    def holds(self) -> bool:
        """Whether it, or its open channel, keeps a script's primary alive."""
        return self._is_held or (self.connected and self._channel.has_ref())

    def kill(self, signal: str | int | None = "SIGTERM") -> bool:
        """Send a signal; see :meth:`WorkerHandle.kill`.  0 only asks whether there is a process, as in Node."""
        number = 0 if signal == 0 and not isinstance(signal, bool) else _signal_number(signal)
        if self.pid is None or self.is_reaped or self.has_ended:
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        way_out = self._way_out
        way_out.was_signalled = way_out.was_signalled or number in _ENDING_SIGNALS
        way_out.was_killed = way_out.was_killed or number == signals.SIGKILL
        return True

    def send(
        self,
        message: Message,
        handle: Handle | Callable[..., Any] = None,
        options: SendOptions = None,
        callback: SendCallback | None = None,
        *,
        keep_open: bool = False,
    ) -> bool:
        """Send a message; see :meth:`WorkerHandle.send`."""
        worker = self._worker()
        if worker is not None:
            return worker.send(message, handle, options, callback, keep_open=keep_open)
        passed, keep_open, told = sent_as(handle, options, callback, keep_open)
        return self.line.send(message, passed, keep_open, told, partial(self._owner.report_send_error, self))

    def disconnect(self) -> None:
        """Close the channel at once: the worker, not having been asked to leave, exits with code 0."""
        self.line.close()

    # --- for the primary -----------------------------------------------------------------------

    @property
    def has_ended(self) -> bool:
        """Whether its end was told, or it could not begin."""
        return self.exit_code is not None or self.signal_code is not None

    @property
    def is_closed(self) -> bool:
        """Whether the process has ended and its pipes, too."""
        return (self.is_reaped or self.pid is None) and not any(pipe.is_open for pipe in self.stdio if pipe)

    def tell(self, event: str, *args: object) -> None:
        """Emit what the worker and the cluster have emitted, if it is an event of a process, too."""
        if event == "disconnect":
            self.emit(event)
        elif event == "exit":
            self.emit(event, *args)
            self._close_pipes()
            self._tell_closed()

    def tell_error(self, error: Exception) -> bool:
        """Emit ``error``; return whether somebody listens."""
        return bool(self.listener_count("error")) and self.emit("error", error)

    def abandon_pipes(self) -> None:
        """In a forked child: close the inherited copies."""
        for pipe in self.stdio:
            if pipe is not None:
                pipe.abandon()

    def _close_pipes(self) -> None:
        for pipe in self.stdio:
            if pipe is not None and pipe.is_open:
                pipe.once("close", self._tell_closed)
                pipe.worker_ended()

    def _tell_closed(self) -> None:
        if self.is_closed and not self._is_close_told:
            self._is_close_told = True
            self.emit("close", self.exit_code, self.signal_code)


def _signal_number(signal: str | int | None) -> signals.Signals:
    if signal in (None, ""):
        return signals.SIGTERM
    try:
        return signals.Signals[signal.upper()] if isinstance(signal, str) else signals.Signals(signal)
    except (KeyError, ValueError):
        raise ValueError(f"expected the name or number of a signal, got {signal!r}") from None
