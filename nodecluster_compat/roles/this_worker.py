"""Show a worker to itself: Node's ``cluster.worker``.

Here are its states, and what it and the primary say about them; messages are the other half's
(``worker_messages.py``, on ``worker_line.py``).  What it cannot do itself (finish requests, end the process) it asks of
its :class:`Runtime`, the only part that knows how this kind of worker runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from ..base.drain_timeout import checked_timeout
from ..base.event_names import KnownEvents
from ..base.log import Log
from ..base.records import Address, ListenAnswer, ListenRequest
from ..base.timers import Timer
from ..messages.frames import MAX_MESSAGE_BYTES, Frame, FrameKind, encode_frame
from ..messages.payloads import (
    decode_answer,
    decode_disconnect,
    encode_address,
    encode_closed,
    encode_request,
)
from ..messages.serialization import JSON, Serializer
from .process import Process
from .worker_messages import MessagingWorker

if TYPE_CHECKING:
    import _socket

    from .worker_runtime import Runtime

__all__ = ["ClusterWorker", "WorkerState"]

WorkerState = Literal["online", "listening", "disconnecting", "destroying"]


class ClusterWorker(MessagingWorker):
    """This worker.

    Events: ``message(message, handle)``, ``request(message, reply)``, ``disconnecting(seconds)``, ``disconnect()``,
    ``error(exc)``.

    Attributes:
        id: the number that the primary knows it by.
        env: what ``cluster.fork(env)`` added to its environment.
        exited_after_disconnect: ``True`` once either side asked it to leave.
        slot: its place, from 1; the worker that replaces it has the same.
        drain_timeout: seconds for the drain, as the one who asked it to leave has said; ``None`` for the usual limit.
        when_attached: called when its runtime is up; a door for capabilities.
    """

    _known = KnownEvents(
        {"message": 2, "request": 2, "disconnecting": 1, "disconnect": 0, "error": 1},
        {
            "exit": "a worker hears of its own end by process.on('exit')",
            "online": "the primary hears of it; here it has happened before any code runs",
            "listening": "the primary hears of it; here write server.on('listening')",
        },
    )

    def __init__(
        self,
        worker_id: int,
        sock: _socket.socket,
        process: Process,
        log: Log,
        env: Mapping[str, str | None],
        serializer: Serializer = JSON,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        super().__init__(worker_id, sock, process, log, serializer, max_message_bytes)
        self.env = {name: value for name, value in env.items() if value is not None}
        self.drain_timeout: float | None = None
        self.slot = 0
        self._early_timers: list[Timer] = []
        self._channel_holds = True
        self._finishing = False
        self._has_announced_leaving = False
        self._requests: dict[int, Callable[[ListenAnswer, int | None], None]] = {}
        self._last_request = 0
        self.when_attached: list[Callable[[], None]] = []
        for kind, handler in {
            FrameKind.ANSWER: ClusterWorker._answered,
            FrameKind.SHARED: ClusterWorker._answered,
            FrameKind.DISCONNECT: ClusterWorker._told_to_disconnect,
            FrameKind.CLOSE_IDLE: ClusterWorker._told_to_close_idle,
        }.items():
            self.frames.on(kind, handler)

    def is_dead(self) -> bool:
        """Whether this process has an exit code already: it is ending, or told itself how it will."""
        return self.process.exit_code is not None

    # --- what users ask ------------------------------------------------------------------------

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
        self._send_own(encode_frame(FrameKind.ONLINE))

    def announce_listening(self, listener_id: int, address: Address) -> None:
        """Tell the primary that this worker serves a listener."""
        self._send_own(encode_address(listener_id, address))
        if self.state == "online":
            self._state = "listening"

    def announce_closed(self, listener_id: int) -> None:
        """Tell the primary that this worker no longer serves a listener that it had asked for."""
        self._send_own(encode_closed(listener_id))

    def announce_leaving(self) -> None:
        """Tell the primary that this worker ends by its own wish."""
        if not self._has_announced_leaving:
            self._has_announced_leaving = True
            self.exited_after_disconnect = True
            self._send_own(encode_frame(FrameKind.LEAVING))

    def announce_due(self) -> None:
        """Tell the primary that this worker is to be replaced; it serves on until it is told to leave."""
        self._send_own(encode_frame(FrameKind.DUE))

    def ask(self, request: ListenRequest, on_answer: Callable[[ListenAnswer, int | None], None]) -> None:
        """Ask the primary for a listening socket.

        Args:
            request: what to bind.
            on_answer: called with the answer, and the descriptor where this worker is to accept by itself.  Never
                called when this worker is on its way out, as in Node.
        """
        self._last_request += 1
        self._requests[self._last_request] = on_answer
        self._send_own(encode_request(self._last_request, request))

    def attach(self, runtime: Runtime) -> None:
        """The runtime is up: messages flow from now on."""
        self._attach_line(runtime)
        runtime.hold_channel(self._channel_holds)
        for timer in self._early_timers:
            runtime.start(timer, timer.seconds)
        self._early_timers.clear()
        for tell in self.when_attached:
            tell()

    def start_timer(self, timer: Timer) -> None:
        """Let a timer of this process run, from when the runtime is up."""
        if self._runtime is None:
            self._early_timers.append(timer)
        else:
            self._runtime.start(timer, timer.seconds)

    def hold_channel(self, holds: bool) -> None:
        """Whether the channel alone keeps this process alive, as it does unless told otherwise."""
        self._channel_holds = holds
        if self._runtime is not None:
            self._runtime.hold_channel(holds)

    def tell_disconnecting(self, seconds: float | None) -> None:
        """The drain begins: let the application say goodbye.

        Args:
            seconds: until connections that have not ended are cut; ``None`` for no limit.
        """
        self.emit("disconnecting", seconds)
        self.process.emit("disconnecting", seconds)

    def finish(self) -> None:
        """The last thing a worker does in an orderly end: write what waits, then disconnect."""
        was_open = self._line.is_open
        self._finishing = True
        self.flush()
        if self.exited_after_disconnect is None:
            self.exited_after_disconnect = False  # a signal from outside ended it
        with self._line_lock:
            self._line.close()
        if was_open:
            self._tell_disconnected()

    def leave(self) -> None:
        """The end of a drain that the primary was not told of when it began: say so, then disconnect."""
        if self.state == "disconnecting":
            self.announce_leaving()
        self.finish()

    def lose_channel(self) -> None:
        """Close the channel as if the primary had gone."""
        with self._line_lock:
            self._line.close()

    def request_exit(self, code: int) -> None:
        """End this process with ``code`` as soon as the runtime can."""
        self.flush()
        if self._runtime is not None:
            self._runtime.exit_now(code)

    def exit(self, code: int) -> None:
        """End this process with ``code`` and do not return to the caller, where the runtime can see to that."""
        self.request_exit(code)
        if self._runtime is not None:
            self._runtime.leave_caller()

    # --- the channel ---------------------------------------------------------------------------

    def _answered(self, frame: Frame) -> None:
        answer = decode_answer(frame.payload)
        on_answer = self._requests.pop(answer.request_id, None)
        if on_answer is not None:
            on_answer(answer, frame.fd)

    def _told_to_disconnect(self, frame: Frame) -> None:
        timeout = decode_disconnect(frame.payload)
        self.exited_after_disconnect = True
        self.drain_timeout = self.drain_timeout if timeout is None else timeout
        if self._runtime is not None:
            self._runtime.begin_drain()

    def _told_to_close_idle(self, _: Frame) -> None:
        if self._runtime is not None:
            self._runtime.close_idle()

    def _channel_closed(self) -> None:
        if self._finishing:
            return  # who called finish() tells it
        if self._runtime is None:
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
