"""Show a worker to the primary: Node's ``Worker`` object, primary side.

Source: Node's documentation of ``cluster``, class ``Worker``.  The handle stays readable after its worker is dead.  It
holds no policy: the :class:`Owner` carries out what a method does to the cluster.  Once the worker has ended, nothing
that the handle holds refers to it, so a handle that nobody keeps takes no memory.
"""

from __future__ import annotations

import _socket
import fcntl
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from msgspec import Struct

from ..base.arity import checked_callback
from ..base.drain_timeout import checked_timeout
from ..base.event_names import KnownEvents
from ..base.handler_calls import current_origin, run_guarded
from ..base.records import Handle, Message
from ..errors import ClusterError
from ..lifecycle.loop_lag import lag_at
from ..lifecycle.roster import Roster, RosterEntry
from ..lifecycle.states import Lifecycle, State
from ..lifecycle.way_out import WayOut
from ..messages.channel import SendCallback
from ..messages.frames import MAX_MESSAGE_BYTES, FrameKind, encode_frame
from .answers import waited
from .requests import Requests, checked_request_timeout
from .sending import SendOptions, sent_as
from .worker import Worker
from .worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..base.loop import Loop
    from ..connections.offers import OfferingEnd
    from ..machine.heartbeat import Heartbeat
    from ..machine.notebook import Notebook
    from ..messages.arrived import ArrivedMessages
    from ..messages.line import Line
    from .status import WorkerHealth
    from .worker_process import Sender

__all__ = ["ChildEnds", "Owner", "WorkerEntry", "WorkerHandle", "WorkerRoster"]


class ChildEnds(Struct, frozen=True):
    """The worker's ends of its two channels, made before the fork: the child keeps them, the parent closes them."""

    messages: _socket.socket
    connections: _socket.socket

    def moved(self, lowest: int) -> ChildEnds:
        """Return both at descriptors from ``lowest`` on; the old ones are closed.

        Raises:
            OSError: no descriptors are left.
        """
        fds: list[int] = []
        try:
            for end in (self.messages, self.connections):
                fds.append(fcntl.fcntl(end.fileno(), fcntl.F_DUPFD_CLOEXEC, lowest))  # noqa: PERF401 - closed below
        except OSError:
            for fd in fds:
                os.close(fd)
            raise
        self.close()
        messages, connections = (_socket.socket(fileno=fd) for fd in fds)
        return ChildEnds(messages, connections)

    def close(self) -> None:
        """Close both."""
        self.messages.close()
        self.connections.close()


if TYPE_CHECKING:

    class Owner(Protocol):
        """The primary, as a handle needs it."""

        def disconnect_worker(self, worker: WorkerHandle, timeout: float | None = None) -> None:
            """Let the worker finish what is in flight, close its channel and end."""

        def wait_for(self, begin: Callable[[Callable[[], None]], None]) -> None:
            """Call ``begin(done)`` and wait until ``done()`` is called.

            Raises:
                WouldBlock: the caller must not wait.
            """

        @property
        def loop(self) -> Loop:
            """The primary's."""

        def report_send_error(self, sender: Sender, error: ClusterError) -> None:
            """A message without a callback could not be sent."""

        def holding_changed(self) -> None:
            """A worker keeps the primary alive otherwise than before."""


class WorkerHandle(Worker):
    """One worker of this cluster.

    Events: ``fork()``, ``online()``, ``listening(address)``, ``message(message, handle)``, ``disconnect()``,
    ``exit(code, signal)``, ``error(exc)``, ``request(message, reply)``, ``blocked(seconds)``, ``unblocked(seconds)``.

    Attributes:
        id: from 1, never used again.
        process: its process.
        exited_after_disconnect: ``None`` while it lives and nothing was asked; ``True`` for every end that
            the primary or the worker asked for; ``False`` for crashes and signals from outside.
        env: what :meth:`cluster.fork` was given to add to the worker's environment; ``None``: not to be there.
        health: ``ok``, ``blocked`` while its loop does not turn, ``stopped`` while a signal such as SIGSTOP holds it.
        slot: its place, from 1; that of the worker which it replaces.  0 before it is forked.
        generation: the reload that started it, 0 for none.
        started_at: when it was forked, in seconds since 1970; ``None`` before.
    """

    _known = KnownEvents(
        {
            "fork": 0,
            "online": 0,
            "listening": 1,
            "message": 2,
            "disconnect": 0,
            "exit": 2,
            "error": 1,
            "request": 2,
            "blocked": 1,
            "unblocked": 1,
        },
        {
            "spawn": "write worker.on('online'), or worker.process.on('spawn')",
            "close": "write worker.on('exit'), or worker.process.on('close')",
        },
    )

    def __init__(self, worker_id: int, owner: Owner, env: Mapping[str, str | None] | None = None) -> None:
        super().__init__({"id": worker_id})
        self.way_out = WayOut()
        self.process: WorkerProcess = WorkerProcess(self, owner)
        self.env: dict[str, str | None] = dict(env or {})
        self.lifecycle = Lifecycle()
        self.line: Line
        self.requests: Requests
        self.max_message_bytes = MAX_MESSAGE_BYTES  # of what it sends
        self.connections: OfferingEnd
        self.early_messages: ArrivedMessages
        self.sent_tap: Callable[[WorkerHandle, Message, Handle], None] | None = None
        self.heartbeat: Heartbeat | None = None
        self.notebook: Notebook | None = None
        self.health: WorkerHealth = "ok"
        self.slot = self.generation = 0
        self.started_at: float | None = None
        self.takes_connections = True  # as far as the arbiter was told: the dealer may know better already
        self.is_fork_told = True  # false between its start and the ``fork`` event
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
        return self.state == "listening" and self.takes_connections

    def is_dead(self) -> bool:
        """Whether the process has ended."""
        return self.process.has_ended

    def send(
        self,
        message: Message,
        handle: Handle | Callable[..., Any] = None,
        options: SendOptions = None,
        callback: SendCallback | None = None,
        *,
        keep_open: bool = False,
    ) -> bool:
        """Send a message to the worker; see :meth:`nodecluster_compat.messages.line.Line.send`.

        As in Node the callback may follow any argument, and ``options`` may be ``{"keepOpen": True}``.
        An error that no ``callback`` is there to hear comes as ``error`` event, or is logged (difference D6).
        """
        payload = None
        if handle is None and options is None and callback is None and self.line.send_quickly and self.sent_tap is None:
            sent = self.line.send_quickly(message)
            if isinstance(sent, bool):
                return sent
            payload = sent
        passed, keep_open, told = sent_as(handle, options, callback, keep_open)
        taken = self.line.send(message, passed, keep_open, told, self._report, payload)
        if self.sent_tap is not None:
            self.sent_tap(self, message, passed)
        return taken

    def _report(self, error: ClusterError) -> None:
        self._owner.report_send_error(self, error)

    def request(
        self, message: Message, callback: Callable[..., Any] | None = None, *, timeout: float | None = 30.0
    ) -> Message:
        """Ask the worker, and wait for what it replies (``request`` event there).

        Only code that may wait can call it without ``callback``: the script itself, a thread, a greenlet of a server.
        A handler in the primary gives one, because nothing else of the primary runs while it waits.

        Args:
            message: anything that a message can be.
            callback: called with ``(error, reply)``, the error ``None`` if there is a reply; then nothing is returned.
            timeout: seconds above 0; ``None``: as long as the channel is open.

        Raises:
            RequestFailed: the worker replied by ``reply.fail(reason)``.
            RequestTimedOut: it did not reply in time.
            ChannelClosed: it ended first.
            WouldBlock: there is no ``callback``, and this code must not wait.
            MessageNotSerializable, MessageTooLarge: nothing was sent.
        """
        seconds = checked_request_timeout(timeout)
        call = checked_callback(callback, 2, "the callback of request()")
        if call is None:
            return waited(
                self._owner.wait_for, lambda done: self.requests.ask(message, seconds, done, self._owner.loop)
            )
        replied = partial(run_guarded, "request", current_origin(), call)
        self.requests.ask(message, seconds, replied, self._owner.loop)
        return None

    def tell_error(self, error: Exception) -> bool:
        """Emit ``error`` here and on the process; return whether somebody listens."""
        heard = bool(self.listener_count("error")) and self.emit("error", error)
        return self.process.tell_error(error) or heard

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
        return self.process.kill(signal or "SIGTERM")

    destroy = kill


WorkerRoster: TypeAlias = Roster[WorkerHandle]
WorkerEntry: TypeAlias = RosterEntry[WorkerHandle]
