"""Show a worker to itself: Node's ``cluster.worker``.

It talks to the primary over its line and asks what it cannot do itself (finish requests, end the process) of its
:class:`Runtime`, the only part that knows how this kind of worker runs.  Messages are delivered by its ``inbox``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from ..base.arity import checked_callback
from ..base.drain_timeout import checked_timeout
from ..base.emitter import current_origin, run_guarded
from ..base.event_names import KnownEvents
from ..base.handlers import Handlers
from ..base.log import Log
from ..base.records import Address, Handle, ListenAnswer, ListenRequest, Message
from ..base.timers import Timer
from ..errors import ClusterError, NotInCluster
from ..messages.channel import PRESSURE_BYTES, Channel, SendCallback
from ..messages.frames import MAX_MESSAGE_BYTES, Frame, FrameKind, encode_frame
from ..messages.line import Line
from ..messages.payloads import (
    decode_answer,
    decode_disconnect,
    encode_address,
    encode_closed,
    encode_request,
)
from ..messages.serialization import JSON, Serializer
from ..messages.toll import TOLLED, Toll
from .inbox import Inbox
from .process import Process
from .requests import Replied, Reply, Requests, awaited, checked_request_timeout, waited
from .sending import SendOptions, sent_as
from .worker import Worker
from .worker_runtime import Runtime

if TYPE_CHECKING:
    import _socket

__all__ = ["ClusterWorker", "WorkerState"]

WorkerState = Literal["online", "listening", "disconnecting", "destroying"]

_FLUSH_SECONDS: Final = 1.0


class ClusterWorker(Worker):
    """This worker.

    Events: ``message(message, handle)``, ``request(message, reply)``, ``disconnecting(seconds)``, ``disconnect()``,
    ``error(exc)``.

    Attributes:
        id: the number that the primary knows it by.
        env: what ``cluster.fork(env)`` added to its environment.
        exited_after_disconnect: ``True`` once either side asked it to leave.
        slot: its place, from 1; the worker that replaces it has the same.
        drain_timeout: seconds that whoever asked it to leave allows for that; ``None`` for the usual limit.
        frames: the table of frames; a door for capabilities.
        max_message_bytes: the largest frame that the primary takes from it.
        when_attached: called when its runtime is up; a door for capabilities.
        when_closed: called when the channel is closed, with the lock; a door, too.
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
        super().__init__({"id": worker_id, "state": "online"})
        self.process: Process = process
        self.env = {name: value for name, value in env.items() if value is not None}
        self.drain_timeout: float | None = None
        self.slot = 0
        self._log = log
        self._runtime: Runtime | None = None
        self._line_lock: AbstractContextManager[object] = nullcontext()
        self._early_timers: list[Timer] = []
        self._channel_holds = True
        self._finishing = False
        self._has_announced_leaving = False
        self._requests: dict[int, Callable[[ListenAnswer, int | None], None]] = {}
        self._last_request = 0
        self.frames: Handlers[ClusterWorker, Frame] = Handlers("the primary sent a frame that only workers send")
        self.max_message_bytes = max_message_bytes
        self.when_attached: list[Callable[[], None]] = []
        self.when_closed: list[Callable[[], None]] = []
        channel = Channel(sock, partial(self.frames.handle, self), self._closed, on_slice=self._slice_ended)
        self._line = Line(channel, log, serializer, max_message_bytes)
        self._inbox = Inbox(self._line, (self, process), log)
        self.requests = Requests(self._line, "the primary", self.tell_request, self.hears_requests)
        for emitter in (self, process):
            emitter.on("new_listener", self._listener_added)
        for kind, handler in {
            FrameKind.REQUEST: lambda _, frame: self.requests.asked(frame),
            FrameKind.REPLY: lambda _, frame: self.requests.replied(frame),
            FrameKind.MESSAGE: self._inbox.received,
            FrameKind.HANDLE: self._inbox.received_with_handle,
            FrameKind.ANSWER: ClusterWorker._answered,
            FrameKind.SHARED: ClusterWorker._answered,
            FrameKind.TAKEN: lambda *_: self._line.taken(),
            FrameKind.NOT_TAKEN: lambda *_: self._line.not_taken(),
            FrameKind.DISCONNECT: ClusterWorker._told_to_disconnect,
            FrameKind.CLOSE_IDLE: ClusterWorker._told_to_close_idle,
        }.items():
            self.frames.on(kind, handler)

    def is_connected(self) -> bool:
        """Whether the channel to the primary is open."""
        return self._line.is_open

    def is_dead(self) -> bool:
        """Whether this process has an exit code already: it is ending, or told itself how it will."""
        return self.process.exit_code is not None

    # --- what users ask ------------------------------------------------------------------------

    def send(
        self,
        message: Message,
        handle: Handle | Callable[..., Any] = None,
        options: SendOptions = None,
        callback: SendCallback | None = None,
        *,
        keep_open: bool = False,
    ) -> bool:
        """Send a message to the primary; see :meth:`nodecluster_compat.messages.line.Line.send`.

        As in Node the callback may follow any argument, and ``options`` may be ``{"keepOpen": True}``.
        An error that no ``callback`` is there to hear comes as ``error`` event, or is logged.
        """
        passed, keep_open, told = sent_as(handle, options, callback, keep_open)
        errors: list[ClusterError] = []  # told when the lock is free: handlers may wait
        with self._line_lock:
            is_taken = self._line.send(message, passed, keep_open, told, errors.append)
        for error in errors:
            self._report(error)
        return is_taken

    async def send_async(self, message: Message, handle: Handle = None, *, keep_open: bool = False) -> None:
        """Send a message to the primary, and go on when it was written: a sender that awaits cannot send too fast.

        Whoever is cancelled meanwhile has sent the message all the same, whole and in its place.

        Args:
            message: anything that a message can be.
            handle: see :meth:`send`.
            keep_open: see :meth:`send`.

        Raises:
            ChannelClosed, ChannelFull: it was not sent.
            MessageNotSerializable, MessageTooLarge, HandleNotPassable: nothing was sent.
            WouldBlock: this worker has no event loop (only ``ASGIWorker`` has one).
            NotInCluster: this worker does not run yet.
        """
        runtime = self._running_runtime("send_async()")
        await awaited(
            runtime.waiting,
            lambda done: self.send(message, handle, callback=lambda error: done(error, None), keep_open=keep_open),
        )

    async def request_async(self, message: Message, *, timeout: float | None = 30.0) -> Message:
        """Ask the primary, and return what it replies; :meth:`request` for tasks.

        Raises:
            WouldBlock: this worker has no event loop (only ``ASGIWorker`` has one).
            ClusterError: as :meth:`request`.
        """
        seconds = checked_request_timeout(timeout)
        runtime = self._running_runtime("request_async()")
        return await awaited(runtime.waiting, lambda done: self._ask(message, seconds, done, runtime))

    def _running_runtime(self, what: str) -> Runtime:
        if self._runtime is None:
            raise NotInCluster(f"{what} needs a worker that runs, and this one is not up yet")
        return self._runtime

    def request(
        self, message: Message, callback: Callable[..., Any] | None = None, *, timeout: float | None = 30.0
    ) -> Message:
        """Ask the primary, and wait for what it replies (``request`` event there); requests are served meanwhile.

        Args:
            message: anything that a message can be.
            callback: called with ``(error, reply)`` in a greenlet of its own, the error ``None`` if there is a reply;
                then nothing is returned.
            timeout: seconds above 0; ``None``: as long as the channel is open.

        Raises:
            RequestFailed: the primary replied by ``reply.fail(reason)``.
            RequestTimedOut: it did not reply in time.
            ChannelClosed: it has gone.
            WouldBlock: there is no ``callback``, and this code must not wait.
            NotInCluster: this worker does not run yet, or no longer.
            MessageNotSerializable, MessageTooLarge: nothing was sent.
        """
        seconds = checked_request_timeout(timeout)
        call = checked_callback(callback, 2, "the callback of request()")
        runtime = self._running_runtime("request()")
        if call is None:
            return waited(runtime.wait, lambda done: self._ask(message, seconds, done, runtime))
        replied = partial(runtime.call_soon, partial(run_guarded, "request", current_origin(), call))
        self._ask(message, seconds, replied, runtime)
        return None

    def _ask(self, message: Message, seconds: float | None, done: Replied, runtime: Runtime) -> None:
        with self._line_lock:
            self.requests.ask(message, seconds, done, runtime)

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

    def _send_own(self, frame: bytes) -> None:
        with self._line_lock:
            self._line.send_own(frame)

    def send_frame(self, frame: bytes, most: int | None = None) -> bool:
        """Send a frame of a capability's.

        Args:
            frame: encoded, with no more than :attr:`max_message_bytes`.
            most: bytes that may wait for the primary then, and it is not sent otherwise; ``None``: it is sent anyhow.

        Returns:
            Whether it was sent.
        """
        with self._line_lock:
            if most is not None:
                return self._line.offer(frame, most)
            self._line.send_own(frame)
            return self._line.is_open

    def post_frame(self, frame: bytes, callback: SendCallback) -> None:
        """Send a frame of a capability's in order with messages, and within their bound.

        Args:
            frame: as :meth:`send_frame`'s.
            callback: hears, on a later turn, that it was written, or why not.
        """
        with self._line_lock:
            self._line.post(frame, callback)

    @property
    def is_pressed(self) -> bool:
        """Whether much waits for the primary already, so that whoever can wait should."""
        return self._line.queued_bytes >= PRESSURE_BYTES

    def pause_reading(self, who: object) -> None:
        """Leave in the kernel what the primary sends, until each ``who`` that paused has resumed; with the lock."""
        self._line.pause_reading(who)

    def resume_reading(self, who: object) -> None:
        """Undo :meth:`pause_reading`; with the lock."""
        self._line.resume_reading(who)

    @property
    def runtime(self) -> Runtime | None:
        """The kind of worker that it is; ``None`` before that runs."""
        return self._runtime

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
        self._runtime = runtime
        self._line_lock = self.requests.lock = runtime.lock
        self._inbox.attach(runtime)
        self._line.attach(runtime)
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

    def flush(self) -> None:
        """Before this process ends: write what waits."""
        with self._line_lock:
            self._line.flush(_FLUSH_SECONDS)

    def lose_channel(self) -> None:
        """Close the channel as if the primary had gone."""
        with self._line_lock:
            self._line.close()

    def interpose(self, toll: Toll) -> None:
        """Under test: let the messages of both directions pay ``toll`` from now on."""
        for kind in TOLLED:
            self.frames.wrap(kind, partial(self._tolled, toll))
        self._line.interpose(toll)

    def _tolled(
        self, toll: Toll, handler: Callable[[ClusterWorker, Frame], None]
    ) -> Callable[[ClusterWorker, Frame], None]:
        def handle(sender: ClusterWorker, frame: Frame) -> None:
            def pass_on() -> None:
                handler(sender, frame)
                self._slice_ended()  # the slice that it came with may have ended long ago

            toll("receive", pass_on, None if frame.kind is FrameKind.HANDLE else lambda: None)

        return handle

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

    def abandon(self) -> None:
        """In a process that this worker forked: let go of the channel, which is not its own."""
        self._line.abandon()
        self._inbox.abandon()

    # --- the channel ---------------------------------------------------------------------------

    def _slice_ended(self) -> None:
        self._inbox.slice_ended()

    def _answered(self, frame: Frame) -> None:
        answer = decode_answer(frame.payload)
        on_answer = self._requests.pop(answer.request_id, None)
        if on_answer is not None:
            on_answer(answer, frame.fd)

    def _listener_added(self, event: str, _: object) -> None:
        if event == "request" and self._runtime is not None:
            self._runtime.call_soon(self.requests.listener_added)

    def hears_requests(self) -> bool:
        """Whether anybody listens for ``request``."""
        return bool(self.listener_count("request") or self.process.listener_count("request"))

    def tell_request(self, message: Message, reply: Reply) -> None:
        """Emit ``request``, beside requests of clients."""
        assert self._runtime is not None  # nothing is read before
        self._runtime.spawn(partial(self._tell_asked, message, reply))

    def _tell_asked(self, message: Message, reply: Reply) -> None:
        self.emit("request", message, reply)
        self.process.emit("request", message, reply)

    def _told_to_disconnect(self, frame: Frame) -> None:
        timeout = decode_disconnect(frame.payload)
        self.exited_after_disconnect = True
        self.drain_timeout = self.drain_timeout if timeout is None else timeout
        if self._runtime is not None:
            self._runtime.begin_drain()

    def _told_to_close_idle(self, _: Frame) -> None:
        if self._runtime is not None:
            self._runtime.close_idle()

    def _closed(self, error: ClusterError | None) -> None:
        self._line.closed()
        self.requests.closed()
        for tell in self.when_closed:
            tell()
        if error is not None:
            self._log.error("The channel to the primary is closed: %s", error)
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

    def _report(self, error: ClusterError) -> None:
        if self.listener_count("error") or self.process.listener_count("error"):
            self.process.emit("error", error)
        else:
            self._log.error("A message to the primary was not sent: %s", error)
