"""Carry frames over the message channel: one end of a stream socket pair.

Theory of operation
-------------------
Both sides use this class; only the reactor differs.  Until :meth:`Channel.attach` gives it one (a
worker sends ``online`` before its runtime exists) the channel writes what the kernel takes and keeps
the rest.

Sending never blocks: ``writer`` says when a frame goes to the kernel.  The queue is bounded in bytes: at the
bound :meth:`send` refuses the whole frame, so a receiver that has stopped costs that much memory on this one channel
and nothing else.  One message up to the size limit is always taken when the queue is empty.

Reading takes one slice per turn, so a peer that floods its channel gets its share of the loop and no
more.  The slices of a large frame are larger, and go from the kernel to the payload over one buffer of the process.
Garbage closes the channel: after one bad byte no later byte can be trusted.

What one side asks and the other answers without a user's doing (a socket, whether a descriptor arrived) goes by
:meth:`Channel.answer`: a peer that goes on asking and never reads would otherwise fill this process with answers.

A frame of a kind in ``CARRIES_DESCRIPTOR`` has one descriptor beside its first byte.  The kernel ends a read
behind such a byte's packet, so descriptors arrive in the order of their frames.  A peer that sends descriptors
nobody announced is closed before it can fill this process with them.

``on_closed`` comes exactly once, with ``None`` for an orderly end (the peer closed, or :meth:`close`) and
with the error otherwise.  Rejected: acknowledging messages (Node does not: the callback says *written*).
"""

from __future__ import annotations

import _socket
import struct
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from ..base.reactor import Reactor
from ..errors import ChannelBroken, ChannelClosed, ChannelFull, ClusterError, FrameError
from ..machine.kept_memory import LEAST_BYTES, keep_memory_for
from ..machine.letting_go import let_go
from .frames import CARRIES_DESCRIPTOR, LARGE_BYTES, MAX_MESSAGE_BYTES, Frame, FrameDecoder
from .write_queue import SendCallback
from .writer import ChannelWriter

__all__ = ["FRAME_COST", "MAX_QUEUED_BYTES", "PRESSURE_BYTES", "Channel", "SendCallback"]

MAX_QUEUED_BYTES: Final = 128 * 1024 * 1024
"""Bytes that may wait for a slow receiver; the same as the limit of one message."""

PRESSURE_BYTES: Final = 128 * 1024
"""From here on ``send`` returns ``False``: Node's threshold (node-cluster-spec §4.1)."""

FRAME_COST: Final = 400
"""Bytes of memory that a waiting frame takes beside its own."""

_SLICE_BYTES: Final = 256 * 1024
_SMALL_SLICE_BYTES: Final = 16 * 1024  # unless a large message is under way: that many may be thousands of messages
_MOST_SLICES_AT_END: Final = 64
_MOST_ANSWERS: Final = 1024  # waiting; a peer of ours has one descriptor under way, and asks once for each server
_MOST_DESCRIPTORS: Final = 8  # received ahead of their frames; a peer of ours never has two under way
_FD: Final = struct.Struct("i")
_FD_SPACE: Final = _socket.CMSG_SPACE(_FD.size)
_MSG_CMSG_CLOEXEC: Final = _socket.MSG_CMSG_CLOEXEC

_slice: Final = memoryview(bytearray(_SLICE_BYTES))  # nothing is left in it between two calls


class Channel:
    """One end of a message channel.

    Args:
        sock: a connected stream socket; the channel owns it from now on.
        on_frame: called with each frame, in order.
        on_closed: called once when no frame can come any more.
        max_queued: bound of the bytes that wait for the receiver.
        max_message: the largest message that may come, in bytes once encoded.
    """

    def __init__(
        self,
        sock: _socket.socket,
        on_frame: Callable[[Frame], None],
        on_closed: Callable[[ClusterError | None], None],
        max_queued: int = MAX_QUEUED_BYTES,
        max_message: int = MAX_MESSAGE_BYTES,
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._on_frame = on_frame
        self._on_closed = on_closed
        self._max_queued = max_queued
        self._decoder = FrameDecoder(max_message + 1)  # the kind of a handle
        self._writer = ChannelWriter(sock)
        self._descriptors: deque[int] = deque()
        self._reactor: Reactor | None = None
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

    def attach(self, reactor: Reactor) -> None:
        """Read and write through ``reactor`` from now on."""
        self._reactor = reactor
        if not self._open:
            return
        reactor.add_reader(self._sock.fileno(), self._readable)
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
        refusal = self.refusal(len(frame))
        if refusal is not None:
            if callback is None:
                raise refusal
            self._writer.tell(callback, refusal)
            return False
        self._writer.put(frame, callback, fd)
        return self._writer.queue.bytes_waiting < PRESSURE_BYTES

    def send_own(self, frame: bytes, fd: int | None = None, callback: SendCallback | None = None) -> None:
        """Send a frame of the runtime's: never refused for pressure, and nobody hears of a failure.

        A closed channel is noticed by reading; these frames are few and small.
        """
        if self._open:
            self._writer.put(frame, callback, fd)

    def answer(self, frame: bytes, fd: int | None = None) -> None:
        """Send what the peer has asked for; as :meth:`send_own`.

        Raises:
            FrameError: it asks and asks, and reads no answer.
        """
        if self._writer.queue.answers_waiting >= _MOST_ANSWERS:
            raise FrameError(f"the other side asks on and has not read {self._writer.queue.answers_waiting} answers")
        if self._open:
            self._writer.put(frame, None, fd, is_answer=True)

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
        """Deliver what a peer that is dead had written.

        Bounded, because a process of the peer's may have inherited its end and go on writing.
        """
        for _ in range(_MOST_SLICES_AT_END):
            if not self._open or not self._read_slice():
                break

    def pause_reading(self) -> None:
        """Leave what arrives in the kernel, so that the sender feels it."""
        if self._open and self._reactor is not None:
            self._reactor.remove_reader(self._sock.fileno())

    def resume_reading(self) -> None:
        """Undo :meth:`pause_reading`."""
        if self._open and self._reactor is not None:
            self._reactor.add_reader(self._sock.fileno(), self._readable)

    def abandon(self) -> None:
        """In a forked child: close the inherited copy of the descriptor and nothing more."""
        self._open = False
        self._writer.abandon()
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

    def _readable(self) -> None:
        self._read_slice()

    def _read_slice(self) -> bool:
        missing = self._decoder.missing
        frames: Iterable[Frame]
        try:
            if missing < LARGE_BYTES:
                data, ancillary, _, _ = self._sock.recvmsg(_SMALL_SLICE_BYTES, _FD_SPACE, _MSG_CMSG_CLOEXEC)
                size, frames = len(data), self._decoder.feed(data)
            else:
                if missing >= LEAST_BYTES:
                    keep_memory_for(missing)
                size, ancillary, _, _ = self._sock.recvmsg_into((_slice[:missing],), _FD_SPACE, _MSG_CMSG_CLOEXEC)
                frames = self._decoder.collect(_slice[:size])
        except BlockingIOError:
            return False
        except ConnectionResetError:
            self._shut(None)  # the peer closed with something unread: its end all the same
            return False
        except OSError as error:
            self._shut(ChannelBroken(f"reading from the channel failed: {error}"))
            return False
        if not size:
            self._shut(None)
            return False
        try:
            if ancillary:
                self._keep_descriptors(ancillary)
            for frame in frames:
                self._on_frame(self._with_descriptor(frame) if frame.kind in CARRIES_DESCRIPTOR else frame)
                if not self._open:
                    return False
        except FrameError as error:
            self._shut(error)
            return False
        return True

    def _keep_descriptors(self, ancillary: list[tuple[int, int, bytes]]) -> None:
        for level, kind, data in ancillary:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                self._descriptors.extend(fd for (fd,) in _FD.iter_unpack(data[: len(data) // _FD.size * _FD.size]))
        if len(self._descriptors) > _MOST_DESCRIPTORS:
            raise FrameError("descriptors came that no frame announced")

    def _with_descriptor(self, frame: Frame) -> Frame:
        fd = self._descriptors.popleft() if self._descriptors else None
        return Frame(frame.kind, frame.payload, fd)

    def _shut(self, error: ClusterError | None) -> None:
        if not self._open:
            return
        self._open = False
        if self._reactor is not None:
            self._reactor.remove_reader(self._sock.fileno())
        self._writer.stop(error or ChannelClosed("the channel was closed before the message was written"))
        self._sock.close()
        while self._descriptors:
            let_go(self._descriptors.popleft())
        self._on_closed(error)
