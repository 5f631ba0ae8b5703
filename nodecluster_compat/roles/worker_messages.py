"""Pass messages, requests and frames between a worker and its primary: the worker's end of the line.

Messages are delivered by the ``inbox``; whoever waits does so by the kind of worker (``worker_runtime.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..base.arity import checked_callback
from ..base.guarded import current_origin, run_guarded
from ..base.handlers import Handlers
from ..base.log import Log
from ..base.native import in_force
from ..base.records import Handle, Message
from ..errors import ClusterError, NotInCluster
from ..messages.channel import PRESSURE_BYTES, Channel, SendCallback
from ..messages.frames import Frame, FrameKind
from ..messages.line import Line
from ..messages.serialization import Serializer
from .answers import Replied, awaited, waited
from .inbox import Inbox
from .process import Process
from .requests import Reply, Requests, checked_request_timeout
from .sending import SendOptions, sent_as
from .worker import Worker

if TYPE_CHECKING:
    import _socket

    from ..messages.message_faults import MessageFaults
    from .worker_runtime import Runtime

__all__ = ["MessagingWorker"]

_FLUSH_SECONDS: Final = 1.0


class MessagingWorker(Worker):
    """The half of a worker that messages pass through; the other is ``this_worker.ClusterWorker``.

    Attributes:
        frames: the table of frames; a door for capabilities.
        max_message_bytes: the largest frame that the primary takes from it.
        publish_quickly: sends, in C, the payload of a frame that publishes, and returns a truth value; anything else,
            and nothing has happened.  ``None``: it is Python's.
        when_closed: called when the channel is closed, with the lock; a door, too.
    """

    def __init__(
        self,
        worker_id: int,
        sock: _socket.socket,
        process: Process,
        log: Log,
        serializer: Serializer,
        max_message_bytes: int,
    ) -> None:
        super().__init__({"id": worker_id, "state": "online"})
        self.process: Process = process
        self._log = log
        self._runtime: Runtime | None = None
        self._line_lock: AbstractContextManager[object] = nullcontext()
        self.publish_quickly: Callable[[bytes], bool | bytes | None] | None = None
        self._post: Callable[[Message], bool | bytes | None] | None = None  # in C; only where no lock is needed
        self.frames: Handlers[Any, Frame] = Handlers("the primary sent a frame that only workers send")
        self.max_message_bytes = max_message_bytes
        self.when_closed: list[Callable[[], None]] = []
        self._channel = Channel(sock, partial(self.frames.handle, self), self._closed, on_slice=self._slice_ended)
        self._line = Line(self._channel, log, serializer, max_message_bytes)
        self._inbox = Inbox(self._line, (self, process), log)
        self.requests = Requests(self._line, "the primary", self.tell_request, self.hears_requests)
        for emitter in (self, process):
            emitter.on("new_listener", self._listener_added)
        self._handle_frames()

    def _handle_frames(self) -> None:
        for kind, handler in {
            FrameKind.REQUEST: lambda _, frame: self.requests.asked(frame),
            FrameKind.REPLY: lambda _, frame: self.requests.replied(frame),
            FrameKind.MESSAGE: self._inbox.received,
            FrameKind.HANDLE: self._inbox.received_with_handle,
            FrameKind.TAKEN: lambda *_: self._line.taken(),
            FrameKind.NOT_TAKEN: lambda *_: self._line.not_taken(),
        }.items():
            self.frames.on(kind, handler)

    @property
    def runtime(self) -> Runtime | None:
        """The kind of worker that it is; ``None`` before that runs."""
        return self._runtime

    def is_connected(self) -> bool:
        """Whether the channel to the primary is open."""
        return self._line.is_open

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
        payload = None
        if handle is None and options is None and callback is None and self._post is not None:
            sent = self._post(message)
            if isinstance(sent, bool):
                return sent
            payload = sent
        passed, keep_open, told = sent_as(handle, options, callback, keep_open)
        errors: list[ClusterError] = []  # told when the lock is free: handlers may wait
        with self._line_lock:
            is_taken = self._line.send(message, passed, keep_open, told, errors.append, payload)
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

    # --- frames --------------------------------------------------------------------------------

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

    def take_published_by(self, take: Callable[[bytes], bool]) -> None:
        """Offer frames that publish to ``take`` first; see :meth:`.Channel.take_published_by`; with the lock."""
        self._channel.take_published_by(take)

    def receive_packed(self, body: bytes) -> None:
        """A message has come, as MessagePack, that is delivered in order with those of the primary; with the lock."""
        self._inbox.received(self, Frame(FrameKind.CALL, body))

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

    def flush(self) -> None:
        """Before this process ends: write what waits."""
        with self._line_lock:
            self._line.flush(_FLUSH_SECONDS)

    def interpose(self, faults: MessageFaults) -> None:
        """Under test: leave the messages of both directions to ``faults`` from now on."""
        from ..messages.message_faults import APPLICATION_KINDS, handled_by_faults  # of use to nobody else

        for kind in APPLICATION_KINDS:
            self.frames.wrap(kind, partial(handled_by_faults, faults, self._slice_ended))
        self._channel.take_published_by(None)
        self._line.interpose(faults)

    def abandon(self) -> None:
        """In a process that this worker forked: let go of the channel, which is not its own."""
        self._line.abandon()
        self._inbox.abandon()

    def _attach_line(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._line_lock = self.requests.lock = runtime.lock
        if isinstance(runtime.lock, nullcontext):
            self._post = self._line.send_quickly
            self.publish_quickly = self._publisher_in_c()
        self._inbox.attach(runtime)
        quick = self._inbox.quickly(self.frames, in_force())
        if quick is not None:
            self._channel.take_messages_by(quick)
            self._channel.tell_slices_to(quick.slice_ended)
        self._line.attach(runtime)

    def _publisher_in_c(self) -> Callable[[bytes], bool | bytes | None] | None:
        module = in_force().module
        if module is None:
            return None
        post: Any = self._channel.post_in_c(module, self.max_message_bytes, FrameKind.PUBLISH)
        post.encode = bytes  # a payload is encoded already
        made: Callable[[bytes], bool | bytes | None] = post
        return made

    # --- what comes ----------------------------------------------------------------------------

    def _slice_ended(self) -> None:
        self._inbox.slice_ended()

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

    def _closed(self, error: ClusterError | None) -> None:
        self._line.closed()
        self.requests.closed()
        for tell in self.when_closed:
            tell()
        if error is not None:
            self._log.error("The channel to the primary is closed: %s", error)
        self._channel_closed()

    def _channel_closed(self) -> None:
        """Go on without a primary."""
        raise NotImplementedError

    def _report(self, error: ClusterError) -> None:
        if self.listener_count("error") or self.process.listener_count("error"):
            self.process.emit("error", error)
        else:
            self._log.error("A message to the primary was not sent: %s", error)
