"""Hold the worker's end of the line to its primary: its frames, those that wait, and those that are held up.

The table of ``frames`` handles what comes; the ``inbox`` delivers messages.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..base.handlers import Handlers
from ..base.log import Log
from ..base.native import in_force
from ..errors import ClusterError
from ..messages.channel import PRESSURE_BYTES, Channel, SendCallback
from ..messages.frames import Frame, FrameKind
from ..messages.line import Line
from ..messages.serialization import Serializer
from .inbox import Inbox
from .process import Process
from .worker import Worker

if TYPE_CHECKING:
    import _socket

    from ..messages.message_faults import MessageFaults
    from .worker_runtime import Runtime

__all__ = ["ConnectedWorker"]

_FLUSH_SECONDS: Final = 1.0


class ConnectedWorker(Worker):
    """A worker and its line; what a program says on it is ``worker_messages.MessagingWorker``.

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
        self.frames: Handlers[Any, Frame] = Handlers("the primary sent a frame that only workers send")
        self.max_message_bytes = max_message_bytes
        self.when_closed: list[Callable[[], None]] = []
        self._channel = Channel(sock, partial(self.frames.handle, self), self._closed, on_slice=self._slice_ended)
        self._line = Line(self._channel, log, serializer, max_message_bytes)
        self._inbox = Inbox(self._line, (self, process), log)
        for kind, handler in {
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
        """Whether much waits for the primary already, so that a sender that can wait should."""
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
        self._line_lock = runtime.lock
        if isinstance(runtime.lock, nullcontext):
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

    def _slice_ended(self) -> None:
        self._inbox.slice_ended()

    def _closed(self, error: ClusterError | None) -> None:
        self._line.closed()
        for tell in self.when_closed:
            tell()
        if error is not None:
            self._log.error("The channel to the primary is closed: %s", error)
        self._channel_closed()

    def _channel_closed(self) -> None:
        """Go on without a primary."""
        raise NotImplementedError
