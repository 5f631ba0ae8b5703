"""Show a worker to the primary: Node's ``Worker`` object, primary side.

Source: ``reference/node-cluster-spec`` §1.3.  The handle stays readable after its worker is dead.  It
holds no policy: what a method does to the cluster is the :class:`Owner`'s to carry out.
"""

from __future__ import annotations

import os
import signal as signals
import time
from typing import TYPE_CHECKING, Protocol, TypeAlias

from msgspec import Struct

from ..base.drain_timeout import checked_timeout
from ..base.emitter import Emitter
from ..base.records import Handle, Message
from ..errors import ClusterError
from ..lifecycle.loop_lag import lag_at
from ..lifecycle.roster import Roster, RosterEntry
from ..lifecycle.states import Lifecycle, State
from ..lifecycle.way_out import WayOut
from ..messages.channel import SendCallback
from ..messages.frames import MAX_MESSAGE_BYTES, FrameKind, encode_frame
from .worker import Worker

if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Mapping

    from ..connections.offers import OfferingEnd
    from ..machine.heartbeat import Heartbeat
    from ..messages.arrived import ArrivedMessages
    from ..messages.line import Line
    from .pipes import ReadablePipe, WritablePipe
    from .status import WorkerHealth

__all__ = ["ChildEnds", "Owner", "WorkerEntry", "WorkerHandle", "WorkerProcess", "WorkerRoster"]


class ChildEnds(Struct, frozen=True):
    """The worker's ends of its two channels, made before the fork: the child keeps them, the parent closes them."""

    messages: _socket.socket
    connections: _socket.socket

    def close(self) -> None:
        """Close both."""
        self.messages.close()
        self.connections.close()


class Owner(Protocol):
    """What a handle asks of the primary."""

    def disconnect_worker(self, worker: WorkerHandle, timeout: float | None = None) -> None:
        """Let the worker finish what is in flight, close its channel and end."""

    def report_send_error(self, worker: WorkerHandle, error: ClusterError) -> None:
        """A message without a callback could not be sent."""


class WorkerProcess(Emitter):
    """The operating system's side of a worker: Node's ``worker.process``.  Event: ``message(message, handle)``.

    Attributes:
        stdin, stdout, stderr: streams where the settings asked for pipes, otherwise ``None``.
    """

    def __init__(self, worker: WorkerHandle) -> None:
        super().__init__()
        self.stdin: WritablePipe | None = None
        self.stdout: ReadablePipe | None = None
        self.stderr: ReadablePipe | None = None
        self.stdio: list[ReadablePipe | WritablePipe | None] = []
        self._worker = worker
        self.pid: int | None = None
        self.exit_code: int | None = None
        self.signal_code: str | None = None
        self.is_reaped = False  # from here on the pid may be another process'

    @property
    def connected(self) -> bool:
        """Whether the channel to the worker is open."""
        return self._worker.is_connected()

    def kill(self, signal: str | int | None = "SIGTERM") -> bool:
        """Send a signal; see :meth:`WorkerHandle.kill`."""
        return self._worker.kill(signal)

    def send(
        self, message: Message, handle: Handle = None, *, keep_open: bool = False, callback: SendCallback | None = None
    ) -> bool:
        """Send a message; see :meth:`WorkerHandle.send`."""
        return self._worker.send(message, handle, keep_open=keep_open, callback=callback)

    def disconnect(self) -> None:
        """Close the channel at once: the worker, not having been asked to leave, exits with code 0."""
        self._worker.line.close()


class WorkerHandle(Worker):
    """One worker of this cluster.

    Events: ``online()``, ``listening(address)``, ``message(message, handle)``, ``disconnect()``,
    ``exit(code, signal)``, ``error(exc)``, ``blocked(seconds)``, ``unblocked(seconds)``.

    Attributes:
        id: from 1, never used again.
        process: its process.
        exited_after_disconnect: ``None`` while it lives and nothing was asked; ``True`` for every end that
            the primary or the worker asked for; ``False`` for crashes and signals from outside.
        env: what :meth:`cluster.fork` was given to add to the worker's environment.
        health: ``ok``, ``blocked`` while its loop does not turn, ``stopped`` while a signal such as SIGSTOP holds it.
    """

    def __init__(self, worker_id: int, owner: Owner, env: Mapping[str, str] | None = None) -> None:
        super().__init__({"id": worker_id})
        self.process: WorkerProcess = WorkerProcess(self)
        self.env: dict[str, str] = dict(env or {})
        self.lifecycle = Lifecycle()
        self.line: Line
        self.max_message_bytes = MAX_MESSAGE_BYTES  # of what it sends
        self.connections: OfferingEnd
        self.early_messages: ArrivedMessages
        self.sent_tap: Callable[[WorkerHandle, Message, Handle], None] | None = None
        self.heartbeat: Heartbeat | None = None
        self.health: WorkerHealth = "ok"
        self.is_fork_told = True  # false between its start and the ``fork`` event
        self.way_out = WayOut()
        self.wants_successor = False  # it said that it is to be replaced, and serves on until then
        self._owner = owner

    def __repr__(self) -> str:
        return f"<worker {self.id} (pid {self.process.pid}) {self.state}>"

    @property
    def state(self) -> State:
        """``none``, ``online``, ``listening``, ``disconnected`` or ``dead``."""
        return self.lifecycle.state

    @property
    def lag(self) -> float:
        """By how many seconds its loop was late, at worst, within the last few seconds; grows while it is blocked."""
        return 0.0 if self.heartbeat is None else lag_at(self.heartbeat.read(), time.monotonic())

    def is_connected(self) -> bool:
        """Whether the channel to the worker is open."""
        return self.line.is_open

    def served(self) -> int | None:
        """Return how many requests it had served when it left; ``None`` if it has not said that."""
        return None if self.heartbeat is None else self.heartbeat.served()

    @property
    def can_serve(self) -> bool:
        """Whether it listens, and can be given connections: what it says of itself is not enough."""
        return self.state == "listening" and self.connections.is_open

    def is_dead(self) -> bool:
        """Whether the process has ended."""
        return self.process.exit_code is not None or self.process.signal_code is not None

    def send(
        self, message: Message, handle: Handle = None, *, keep_open: bool = False, callback: SendCallback | None = None
    ) -> bool:
        """Send a message to the worker; see :meth:`nodecluster_compat.messages.line.Line.send`.

        An error that no ``callback`` is there to hear comes as ``error`` event, or is logged (difference D6).
        """
        taken = self.line.send(
            message, handle, keep_open, callback, lambda error: self._owner.report_send_error(self, error)
        )
        if self.sent_tap is not None:
            self.sent_tap(self, message, handle)
        return taken

    def disconnect(self, timeout: float | None = None) -> WorkerHandle:
        """Let the worker finish what is in flight and end; a second call is a no-op (difference D5).

        Args:
            timeout: seconds, 0 or more, after which connections that have not ended are cut; ``None``: gunicorn's
                ``graceful_timeout``, in script mode no limit.

        Raises:
            ArgumentError: ``timeout`` is something else; nothing has happened.
        """
        self._owner.disconnect_worker(self, checked_timeout(timeout))
        return self

    def close_idle(self) -> None:
        """Have a drain, one that has begun or one to come, close idle connections at once.

        For the end of the whole server: nobody else would answer a further request either.
        """
        self.line.send_own(encode_frame(FrameKind.CLOSE_IDLE))

    def kill(self, signal: str | int | None = "SIGTERM") -> bool:
        """Send a signal, nothing else; the worker does with it what gunicorn documents.

        Args:
            signal: a name (``"SIGTERM"``, case-insensitive) or number; ``None`` or 0 mean SIGTERM, as in Node.

        Returns:
            Whether a process was there to receive it.

        Raises:
            ValueError: no signal has that name or number.
        """
        number = _signal_number(signal)
        if self.process.pid is None or self.process.is_reaped or self.is_dead():
            return False
        try:
            os.kill(self.process.pid, number)
        except ProcessLookupError:
            return False
        return True

    destroy = kill


WorkerRoster: TypeAlias = Roster[WorkerHandle]
WorkerEntry: TypeAlias = RosterEntry[WorkerHandle]


def _signal_number(signal: str | int | None) -> signals.Signals:
    if not signal:
        return signals.SIGTERM
    try:
        return signals.Signals[signal.upper()] if isinstance(signal, str) else signals.Signals(signal)
    except (KeyError, ValueError):
        raise ValueError(f"expected the name or number of a signal, got {signal!r}") from None
