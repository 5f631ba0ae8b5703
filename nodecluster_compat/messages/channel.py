"""Carry frames over the message channel: one end of a stream socket pair.

Theory of operation
-------------------
Both sides use this class; only the reactor differs.  Until :meth:`Channel.attach` gives it one (a
worker sends ``online`` before its runtime exists) the channel writes what the kernel takes and keeps
the rest.

Sending never blocks: ``writer`` says when a frame goes to the kernel.  The queue is bounded in bytes: at the
bound :meth:`send` refuses the whole frame, so a receiver that has stopped costs that much memory on this one channel
and nothing else.  One message up to the size limit is always taken when the queue is empty.

Reading takes one slice per turn: ``reader`` says what that is.  Garbage closes the channel: after one bad byte no later
byte can be trusted.

What one side asks and the other answers without a user's doing (a socket, whether a descriptor arrived) goes by
:meth:`Channel.answer`: a peer that goes on asking and never reads would otherwise fill this process with answers.

A frame of a kind in ``CARRIES_DESCRIPTOR`` has one descriptor beside its first byte.

``on_closed`` comes exactly once, with ``None`` for an orderly end (the peer closed, or :meth:`close`) and
with the error otherwise.  A channel that is closed refers to nobody whom it would call, so it, and what they belong to,
is freed without a search for cycles.  Rejected: acknowledging messages (Node does not: the callback says *written*).
"""

from __future__ import annotations

import _socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ..base.native import Choice, Native
from ..base.reactor import Reactor
from ..errors import ChannelClosed, ChannelFull, ClusterError, FrameError
from .frames import LARGE_BYTES, MAX_MESSAGE_BYTES, Frame, FrameKind
from .reader import ChannelReader
from .write_queue import BURST_FRAMES, BURST_SECONDS, MOST_COLLECTED_BYTES, Outgoing, SendCallback
from .writer import ChannelWriter

if TYPE_CHECKING:
    from .message_faults import MessageFaults

__all__ = ["FRAME_COST", "MAX_QUEUED_BYTES", "PRESSURE_BYTES", "Channel", "SendCallback"]

MAX_QUEUED_BYTES: Final = 128 * 1024 * 1024
"""Bytes that may wait for a slow receiver; the same as the limit of one message."""

PRESSURE_BYTES: Final = 128 * 1024
"""From here on ``send`` returns ``False``: Node's threshold."""

FRAME_COST: Final = 400
"""Bytes of memory that a waiting frame takes beside its own."""


_MOST_ANSWERS: Final = 1024  # waiting; a peer of ours has one descriptor under way, and asks once for each server


class Channel:
    """One end of a message channel.

    Args:
        sock: a connected stream socket; the channel owns it from now on.
        on_frame: called with each frame, in order.
        on_closed: called once when no frame can come any more.
        max_queued: bound of the bytes that wait for the receiver.
        max_message: the largest message that may come, in bytes once encoded.
        on_slice: called after each slice of frames that was passed to ``on_frame``; it does not raise a FrameError.
        choice: what reads.
    """

    def __init__(
        self,
        sock: _socket.socket,
        on_frame: Callable[[Frame], None],
        on_closed: Callable[[ClusterError | None], None],
        max_queued: int = MAX_QUEUED_BYTES,
        max_message: int = MAX_MESSAGE_BYTES,
        on_slice: Callable[[], None] | None = None,
        choice: Choice | None = None,
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._on_closed = on_closed
        self._max_queued = max_queued
        self._writer = ChannelWriter(sock)
        self._reader = ChannelReader(sock, on_frame, on_slice, self._shut, max_message, self._writer.burst, choice)
        self._open = True

    @property
    def is_open(self) -> bool:
        """Whether frames can still be sent and received."""
        return self._open

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait because the receiver has not read them."""
        return self._writer.queue.bytes_waiting

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""
        return self._sock.fileno()

    def take_messages_by(self, take: Callable[[bytes], bool] | None) -> None:
        """Offer messages that come without a descriptor to ``take`` first, where C reads."""
        if self._open:
            self._reader.on_message = take

    def tell_slices_to(self, on_slice: Callable[[], None]) -> None:
        """Call this after each slice of frames from now on."""
        if self._open:
            self._reader.on_slice = on_slice

    def take_published_by(self, take: Callable[[bytes], bool] | None) -> None:
        """Offer frames that publish to ``take`` first, as many as came together, where C reads."""
        if self._open:
            self._reader.on_published = take

    def post_in_c(self, module: Native, limit: int, kind: FrameKind = FrameKind.MESSAGE) -> Any:  # noqa: ANN401 - C's
        """Return what sends ordinary messages, or what else has its own kind of frame, once it has an ``encode``."""
        return module.Post(
            writer=self._writer,
            encode=None,
            entry=Outgoing,
            socket=_socket.socket,
            limit=limit,
            burst_frames=BURST_FRAMES,
            burst_seconds=BURST_SECONDS,
            most_collected=MOST_COLLECTED_BYTES,
            most_waiting=min(self._max_queued, PRESSURE_BYTES) - 2 * LARGE_BYTES,
            entry_cost=FRAME_COST,
            pressure=PRESSURE_BYTES,
            kind=kind,
        )

    def attach(self, reactor: Reactor) -> None:
        """Read and write through ``reactor`` from now on."""
        if not self._open:
            return
        self._reader.attach(reactor)
        self._writer.attach(reactor)

    def send(self, frame: bytes, callback: SendCallback | None = None, fd: int | None = None) -> bool:
        """Send one frame.

        Args:
            frame: the encoded frame.
            callback: called on a later turn with ``None`` once the kernel has the whole frame, or with
                the error.
            fd: a descriptor to send with it, for the kinds that carry one.  It must stay open until the frame is
                written.

        Returns:
            ``False`` when the frame was refused, or when at least :data:`PRESSURE_BYTES` wait.

        Raises:
            ChannelClosed, ChannelFull: refused, and there is no callback to tell.
        """
        writer = self._writer
        if not self._open or writer.queue.bytes_waiting:  # otherwise there is nothing to refuse
            refusal = self.refusal(len(frame))
            if refusal is not None:
                if callback is None:
                    raise refusal
                writer.tell(callback, refusal)
                return False
        writer.put(frame, callback, fd)
        return writer.queue.bytes_waiting < PRESSURE_BYTES

    def send_own(self, frame: bytes, fd: int | None = None, callback: SendCallback | None = None) -> None:
        """Send a frame of the runtime's: never refused for pressure, and nobody hears of a failure.

        A closed channel is noticed by reading; these frames are few and small.
        """
        if self._open:
            self._writer.put(frame, callback, fd)

    def has_sent(self, fd: int) -> bool:
        """Whether the kernel has the frame that was sent with this descriptor."""
        return not self._writer.queue.holds(fd)

    def offer(self, frame: bytes, most: int) -> bool:
        """Send a frame of the runtime's, unless more than ``most`` bytes would wait for the receiver then.

        Args:
            frame: the encoded frame.
            most: bytes of memory, what each frame takes beside its own included.

        Returns:
            Whether it was sent, or waits; what was refused is forgotten.
        """
        queue = self._writer.queue
        if not self._open or queue.bytes_waiting + len(queue.frames) * FRAME_COST + len(frame) > most:
            return False
        self._writer.put(frame, None, None)
        return True

    def answer(self, frame: bytes, fd: int | None = None) -> None:
        """Send what the peer has asked for; as :meth:`send_own`.

        Raises:
            FrameError: it asks and asks, and reads no answer.
        """
        if self._writer.queue.answers_waiting >= _MOST_ANSWERS:
            raise FrameError(f"the other side asks on and has not read {self._writer.queue.answers_waiting} answers")
        if self._open:
            self._writer.put(frame, None, fd, is_answer=True)

    def interpose(self, faults: MessageFaults) -> None:
        """Under test: leave the messages that are sent from now on to ``faults`` before they are written."""
        from .message_faults import put_by_faults  # of use to nobody else

        put = put_by_faults(faults, self._writer.put, lambda: self._open, self.tell)
        self._writer.put = put  # type: ignore[method-assign]
        self._writer.has_faults = True

    def tell(self, callback: SendCallback, outcome: ClusterError | None) -> None:
        """Call a sender's callback back on a later turn."""
        self._writer.tell(callback, outcome)

    def close(self) -> None:
        """Close this end; what the kernel does not take at once is lost, and its callbacks hear of it."""
        if not self._writer.later(self.close):
            self._writer.write()
            self._shut(None)

    def flush(self, seconds: float) -> None:
        """Before this process ends: wait up to ``seconds`` until the kernel has everything.

        In a signal handler that has interrupted a write: as soon as that has ended, by what the handler raises.
        """
        self._writer.flush(seconds)

    def drain(self) -> None:
        """Deliver what a peer that is dead had written."""
        self._reader.drain()

    def pause_reading(self) -> None:
        """Leave what arrives in the kernel, so that the sender feels it."""
        if self._open:
            self._reader.pause()

    def resume_reading(self) -> None:
        """Undo :meth:`pause_reading`."""
        if self._open:
            self._reader.resume()

    def abandon(self) -> None:
        """In a forked child: close the inherited copy of the descriptor and nothing more."""
        self._open = False
        self._reader.abandon()
        self._writer.abandon()
        self._on_closed = _ignore
        self._sock.close()

    def refusal(self, size: int) -> ClusterError | None:
        """Why a frame of ``size`` bytes would be refused now; ``None`` when it would not."""
        if not self._open:
            return ChannelClosed("the channel is closed: the other side has disconnected or ended")
        waiting = self._writer.queue.bytes_waiting
        if waiting and waiting + size + len(self._writer.queue.frames) * FRAME_COST > self._max_queued:
            return ChannelFull(
                f"{waiting} bytes already wait for a receiver that does not read (bound {self._max_queued}): "
                "wait until send() returns true or its callback comes"
            )
        return None

    def _shut(self, error: ClusterError | None) -> None:
        if not self._open:
            return
        self._open = False
        self._reader.stop()
        self._writer.stop(error or ChannelClosed("the channel was closed before the message was written"))
        self._sock.close()
        on_closed, self._on_closed = self._on_closed, _ignore
        on_closed(error)


def _ignore(_: object) -> None:
    """Whoever wanted to know was told."""
