"""A worker as it sees itself: Node's ``cluster.worker``.

It talks to the primary over the message channel and asks what it cannot do itself (finish requests, end
the process) of its :class:`Runtime`, the only part that knows how this kind of worker runs.

Messages are delivered one after another, in order, by one deliverer: a handler may block, later messages
wait for it, requests do not.  Messages that arrive before the first ``message`` listener are kept and
delivered in order (difference D7: Node loses them).  When handlers are slow, reading pauses, so that the
primary's ``send`` feels it and this process does not grow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, Protocol

from ..base.drain_timeout import checked_timeout
from ..base.emitter import Log
from ..base.reactor import Reactor
from ..base.records import Address, ListenAnswer, ListenRequest
from ..errors import ClusterError, FrameError
from ..messages.arrived import MessageQueue
from ..messages.channel import Channel, SendCallback
from ..messages.handle_sender import HandleSender
from ..messages.line import receive_message, send_message
from ..messages.payloads import (
    MAX_MESSAGE_BYTES,
    Frame,
    FrameKind,
    decode_answer,
    decode_disconnect,
    encode_address,
    encode_closed,
    encode_frame,
    encode_request,
)
from ..messages.serialization import JSON, Serializer
from .process import Process
from .worker import Worker

__all__ = ["ClusterWorker", "Runtime", "WorkerState"]

WorkerState = Literal["online", "listening", "disconnecting", "destroying"]

_INBOX_MESSAGES: Final = 256  # that wait for a slow handler; then reading pauses
_INBOX_BYTES: Final = 1024 * 1024
_FLUSH_SECONDS: Final = 1.0


class Runtime(Reactor, Protocol):
    """What a worker asks of the kind of worker that it is."""

    def spawn(self, call: Callable[[], None]) -> None:
        """Run ``call`` beside requests; it may block."""

    def begin_drain(self) -> None:
        """Take no more connections, finish those in flight within the worker's ``drain_timeout``, then end."""

    def exit_now(self, code: int) -> None:
        """End this process without waiting for requests; returns, the end comes when the caller yields."""

    def leave_caller(self) -> None:
        """Do not return to the caller of ``process.exit()``, which may be any of this worker's tasks."""

    def orphaned(self) -> None:
        """End this process at once with code 0: its primary is gone."""


class ClusterWorker(Worker):
    """This worker.  Events: ``message(message, handle)``, ``disconnecting(seconds)``, ``disconnect()``, ``error(exc)``.

    Attributes:
        id: the number that the primary knows it by.
        env: what ``cluster.fork(env)`` added to its environment.
        exited_after_disconnect: ``True`` once either side asked it to leave.
        drain_timeout: seconds that whoever asked it to leave allows for that; ``None`` for the usual limit.
    """

    def __init__(
        self,
        worker_id: int,
        sock: Any,
        process: Process,
        log: Log,
        env: Mapping[str, str],
        serializer: Serializer = JSON,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        super().__init__({"id": worker_id, "state": "online"})
        self.process: Process = process
        self.env = dict(env)
        self.drain_timeout: float | None = None
        self._log = log
        self._runtime: Runtime | None = None
        self._inbox = MessageQueue("the primary", log)
        self._delivering = False
        self._paused = False
        self._finishing = False
        self._has_announced_leaving = False
        self._channel = Channel(sock, self._frame, self._closed)
        self._sender = HandleSender(self._channel, log)
        self._serializer = serializer
        self._max_message_bytes = max_message_bytes
        self._requests: dict[int, Callable[[ListenAnswer, int | None], None]] = {}
        self._last_request = 0
        self.on("new_listener", self._listener_added)
        process.on("new_listener", self._listener_added)

    def is_connected(self) -> bool:
        """Whether the channel to the primary is open."""
        return self._channel.is_open

    def is_dead(self) -> bool:
        """Whether this process has an exit code already: it is ending, or told itself how it will."""
        return self.process.exit_code is not None

    # --- what users ask ------------------------------------------------------------------------

    def send(
        self, message: Any, handle: Any = None, *, keep_open: bool = False, callback: SendCallback | None = None
    ) -> bool:
        """Send a message to the primary; see :func:`nodecluster_compat.messages.line.send_message`.

        An error that no ``callback`` is there to hear comes as ``error`` event, or is logged.
        """
        return send_message(
            self._channel,
            self._sender,
            self._serializer,
            message,
            handle,
            keep_open,
            callback,
            self._report,
            self._max_message_bytes,
        )

    def disconnect(self, timeout: float | None = None) -> ClusterWorker:
        """Finish what is in flight, then leave; a second call is a no-op.

        Args:
            timeout: seconds, 0 or more, after which connections that have not ended are cut; ``None``: gunicorn's
                ``graceful_timeout``, in script mode no limit.

        Raises:
            ArgumentError: ``timeout`` is something else; nothing has happened.
        """
        seconds = checked_timeout(timeout)
        if self.state not in ("disconnecting", "destroying") and self.is_connected():
            self._state = "disconnecting"
            self.exited_after_disconnect = True
            self.drain_timeout = seconds
            if self._runtime is not None:
                self._runtime.begin_drain()
        return self

    def kill(self, signal: object = None) -> None:
        """Leave at once with exit code 0, without waiting for requests; the argument is ignored, as in Node."""
        if self.state != "destroying":
            self._state = "destroying"
            self.announce_leaving()
            if self._runtime is not None:
                self._runtime.spawn(self._destroy)

    destroy = kill

    def _destroy(self) -> None:
        if self.is_connected():
            self.finish()
        self.request_exit(0)

    # --- what the runtime tells ----------------------------------------------------------------

    def announce_online(self) -> None:
        """Tell the primary that this worker runs, before any application code does."""
        self._channel.send_own(encode_frame(FrameKind.ONLINE))

    def announce_listening(self, listener_id: int, address: Address) -> None:
        """Tell the primary that this worker serves a listener."""
        self._channel.send_own(encode_address(listener_id, address))
        if self.state == "online":
            self._state = "listening"

    def announce_closed(self, listener_id: int) -> None:
        """Tell the primary that this worker no longer serves a listener that it had asked for."""
        self._channel.send_own(encode_closed(listener_id))

    def announce_leaving(self) -> None:
        """Tell the primary that this worker ends by its own wish."""
        if not self._has_announced_leaving:
            self._has_announced_leaving = True
            self.exited_after_disconnect = True
            self._channel.send_own(encode_frame(FrameKind.LEAVING))

    def announce_due(self) -> None:
        """Tell the primary that this worker is to be replaced; it serves on until it is told to leave."""
        self._channel.send_own(encode_frame(FrameKind.DUE))

    def ask(self, request: ListenRequest, on_answer: Callable[[ListenAnswer, int | None], None]) -> None:
        """Ask the primary for a listening socket.

        Args:
            request: what to bind.
            on_answer: called with the answer, and the descriptor where this worker is to accept by itself.  Never
                called when this worker is on its way out, as in Node.
        """
        self._last_request += 1
        self._requests[self._last_request] = on_answer
        self._channel.send_own(encode_request(self._last_request, request))

    def attach(self, runtime: Runtime) -> None:
        """The runtime is up: messages flow from now on."""
        self._runtime = runtime
        self._channel.attach(runtime)

    def tell_disconnecting(self, seconds: float | None) -> None:
        """The drain begins: let the application say goodbye.

        Args:
            seconds: until connections that have not ended are cut; ``None`` for no limit.
        """
        self.emit("disconnecting", seconds)
        self.process.emit("disconnecting", seconds)

    def finish(self) -> None:
        """The last thing a worker does in an orderly end: write what waits, then disconnect."""
        self._finishing = True
        self._channel.flush(_FLUSH_SECONDS)
        if self.exited_after_disconnect is None:
            self.exited_after_disconnect = False  # a signal from outside ended it
        self._channel.close()

    def leave(self) -> None:
        """The end of a drain that the primary was not told of when it began: say so, then disconnect."""
        if self.state == "disconnecting":
            self.announce_leaving()
        self.finish()

    def flush(self) -> None:
        """Before this process ends: write what waits."""
        self._channel.flush(_FLUSH_SECONDS)

    def lose_channel(self) -> None:
        """Close the channel as if the primary had gone."""
        self._channel.close()

    def request_exit(self, code: int) -> None:
        """End this process with ``code`` as soon as the runtime can."""
        self._channel.flush(_FLUSH_SECONDS)
        if self._runtime is not None:
            self._runtime.exit_now(code)

    def exit(self, code: int) -> None:
        """End this process with ``code`` and do not return to the caller, where the runtime can see to that."""
        self.request_exit(code)
        if self._runtime is not None:
            self._runtime.leave_caller()

    def abandon(self) -> None:
        """In a process that this worker forked: let go of the channel, which is not its own."""
        self._channel.abandon()

    # --- the channel ---------------------------------------------------------------------------

    def _frame(self, frame: Frame) -> None:
        if frame.kind is FrameKind.MESSAGE:
            self._received(frame)
        elif frame.kind is FrameKind.HANDLE:
            self._received_handle(frame)
        elif frame.kind is FrameKind.ANSWER or frame.kind is FrameKind.SHARED:
            self._answered(frame)
        elif frame.kind is FrameKind.TAKEN:
            self._sender.taken()
        elif frame.kind is FrameKind.NOT_TAKEN:
            self._sender.not_taken()
        elif frame.kind is FrameKind.DISCONNECT:
            timeout = decode_disconnect(frame.payload)
            self.exited_after_disconnect = True
            self.drain_timeout = self.drain_timeout if timeout is None else timeout
            if self._runtime is not None:
                self._runtime.begin_drain()
        else:
            raise FrameError(f"the primary sent a frame that only workers send: {frame.kind.name}")

    def _answered(self, frame: Frame) -> None:
        answer = decode_answer(frame.payload)
        on_answer = self._requests.pop(answer.request_id, None)
        if on_answer is not None:
            on_answer(answer, frame.fd)

    def _closed(self, error: ClusterError | None) -> None:
        self._sender.close()
        if error is not None:
            self._log.error("The channel to the primary is closed: %s", error)
        if self._runtime is None or self._finishing:
            self._tell_disconnected()
        else:
            self._runtime.spawn(self._tell_disconnected)

    def _tell_disconnected(self) -> None:
        self.emit("disconnect")
        if self.exited_after_disconnect is None and self._runtime is not None:
            # Node: nobody asked it to leave, so it ends here, before ``process`` hears of it.
            self._runtime.orphaned()
            return
        self.process.emit("disconnect")

    def _report(self, error: ClusterError) -> None:
        if self.listener_count("error") or self.process.listener_count("error"):
            for emitter in (self, self.process):
                if emitter.listener_count("error"):
                    emitter.emit("error", error)
        else:
            self._log.error("A message to the primary was not sent: %s", error)

    # --- messages, in order --------------------------------------------------------------------

    def _received_handle(self, frame: Frame) -> None:
        self._channel.answer(encode_frame(FrameKind.NOT_TAKEN if frame.fd is None else FrameKind.TAKEN))
        if frame.fd is not None:
            self._received(frame)

    def _received(self, frame: Frame) -> None:
        if not self._has_listener():
            self._inbox.keep(frame)
            return
        self._inbox.add(frame)
        self._wake_deliverer()
        if not self._paused and (len(self._inbox) >= _INBOX_MESSAGES or self._inbox.bytes_waiting >= _INBOX_BYTES):
            self._paused = True
            self._channel.pause_reading()

    def _listener_added(self, event: str, _: Callable[..., Any]) -> None:
        if event == "message" and self._runtime is not None:
            self._runtime.call_soon(self._wake_deliverer)

    def _has_listener(self) -> bool:
        return bool(self.listener_count("message") or self.process.listener_count("message"))

    def _wake_deliverer(self) -> None:
        if len(self._inbox) and not self._delivering and self._runtime is not None and self._has_listener():
            self._delivering = True
            self._runtime.spawn(self._deliver)

    def _deliver(self) -> None:
        try:
            while self._has_listener() and (frame := self._inbox.take()) is not None:
                message, handle = receive_message(frame, self._serializer)
                self.emit("message", message, handle)
                self.process.emit("message", message, handle)
                if self._paused and not len(self._inbox):
                    self._paused = False
                    self._channel.resume_reading()
        finally:
            self._delivering = False
