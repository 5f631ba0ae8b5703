"""The message channel: one end of a stream socket pair that carries frames.

Theory of operation
-------------------
Both sides use this class; only the reactor differs.  Until :meth:`Channel.attach` gives it one (a
worker sends ``online`` before its runtime exists) the channel writes what the kernel takes and keeps
the rest.

Sending never blocks.  A frame goes straight to the kernel when nothing waits before it, otherwise it
joins the queue; ``write_queue`` says when frames are collected.  The queue is bounded in bytes: at the bound
:meth:`send` refuses the whole frame, so a receiver that has stopped costs that much memory on this one channel and
nothing else.  One message up to the size limit is always taken when the queue is empty.

Reading takes one slice per turn, so a peer that floods its channel gets its share of the loop and no
more.  The slices of a large frame are larger, and go from the kernel to the payload over one buffer of the process.
Garbage closes the channel: after one bad byte no later byte can be trusted.

What one side asks and the other answers without a user's doing (a socket, whether a descriptor arrived) goes by
:meth:`Channel.answer`: a peer that goes on asking and never reads would otherwise fill this process with answers.

A frame of a kind in ``CARRIES_DESCRIPTOR`` has one descriptor beside its first byte.  The kernel ends a read
behind such a byte's packet, so descriptors arrive in the order of their frames.  A peer that sends descriptors
nobody announced is closed before it can fill this process with them.

A signal handler may run between any two lines of what writes, and send, close or exit itself.  The channel is at work
then: a frame only joins the queue, and what else is asked for is kept for the end of that work, also when it ends by
what the handler has raised.

``on_closed`` comes exactly once, with ``None`` for an orderly end (the peer closed, or :meth:`close`) and
with the error otherwise.  Rejected: acknowledging messages (Node does not: the callback says *written*).
"""

from __future__ import annotations

import _socket
import atexit
import errno
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from .codec import CARRIES_DESCRIPTOR, LARGE_BYTES, MAX_MESSAGE_BYTES, Frame, FrameDecoder
from .errors import ChannelBroken, ChannelClosed, ChannelFull, ClusterError, FrameError
from .kept_memory import LEAST_BYTES, keep_memory_for
from .letting_go import let_go
from .reactor import Reactor
from .write_queue import Burst, SendCallback, WriteQueue

__all__ = ["FRAME_COST", "MAX_QUEUED_BYTES", "PRESSURE_BYTES", "Channel", "SendCallback", "write_collected"]

MAX_QUEUED_BYTES: Final = 128 * 1024 * 1024
"""Bytes that may wait for a slow receiver; the same as the limit of one message."""

PRESSURE_BYTES: Final = 128 * 1024
"""From here on ``send`` returns ``False``: Node's threshold (node-cluster-spec §4.1)."""

FRAME_COST: Final = 400
"""Bytes of memory that a waiting frame takes beside its own."""

_SLICE_BYTES: Final = 256 * 1024
_SMALL_SLICE_BYTES: Final = 16 * 1024  # unless a large message is under way: that many may be thousands of messages
_MOST_SLICES_AT_END: Final = 64
_REST_SECONDS: Final = 0.05
_MOST_ANSWERS: Final = 1024  # waiting; a peer of ours has one descriptor under way, and asks once for each server
_MOST_DESCRIPTORS: Final = 8  # received ahead of their frames; a peer of ours never has two under way
_FD: Final = struct.Struct("i")
_FD_SPACE: Final = _socket.CMSG_SPACE(_FD.size)
_MSG_CMSG_CLOEXEC: Final = _socket.MSG_CMSG_CLOEXEC
_EXHAUSTED: Final = frozenset({errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM})

_slice: Final = memoryview(bytearray(_SLICE_BYTES))  # nothing is left in it between two calls
_collecting: Final[set[Channel]] = set()


def write_collected() -> None:
    """Before this process ends: let every channel write what it has collected."""
    for channel in list(_collecting):
        channel.write_collected()


atexit.register(write_collected)


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
        self._queue = WriteQueue(self.tell)
        self._burst = Burst()
        self._descriptors: deque[int] = deque()
        self._resting = False  # the kernel could take nothing a moment ago
        self._early: list[tuple[SendCallback, ClusterError | None]] = []
        self._is_at_work = False  # somebody below in the call stack writes; who comes now is a signal handler
        self._late: deque[Callable[[], None]] = deque()
        self._reactor: Reactor | None = None
        self._open = True

    @property
    def is_open(self) -> bool:
        """Whether frames can still be sent and received."""
        return self._open

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait because the receiver has not read them."""
        return self._queue.bytes_waiting

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""
        return self._sock.fileno()

    def attach(self, reactor: Reactor) -> None:
        """Read and write through ``reactor`` from now on."""
        self._reactor = reactor
        if not self._open:
            return
        reactor.add_reader(self._sock.fileno(), self._readable)
        for callback, outcome in self._early:
            reactor.call_soon(callback, outcome)
        self._early.clear()
        if self._queue.frames:
            reactor.add_writer(self._sock.fileno(), self._writable)

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
            self.tell(callback, refusal)
            return False
        self._enqueue(frame, callback, fd)
        return self._queue.bytes_waiting < PRESSURE_BYTES

    def send_own(self, frame: bytes, fd: int | None = None, callback: SendCallback | None = None) -> None:
        """Send a frame of the runtime's: never refused for pressure, and nobody hears of a failure.

        A closed channel is noticed by reading; these frames are few and small.
        """
        if self._open:
            self._enqueue(frame, callback, fd)

    def answer(self, frame: bytes, fd: int | None = None) -> None:
        """Send what the peer has asked for; as :meth:`send_own`.

        Raises:
            FrameError: it asks and asks, and reads no answer.
        """
        if self._queue.answers_waiting >= _MOST_ANSWERS:
            raise FrameError(f"the other side asks on and has not read {self._queue.answers_waiting} answers")
        if self._open:
            self._enqueue(frame, None, fd, is_answer=True)

    def close(self) -> None:
        """Close this end; what the kernel does not take at once is lost, and its callbacks hear of it."""
        if self._is_at_work:
            self._late.append(self.close)
            return
        self.write_collected()
        self._shut(None)

    def write_collected(self) -> None:
        """Write what was collected: the turn ends, or the channel, or this process."""
        if self in _collecting and not self._is_at_work:
            _collecting.discard(self)
            if self._open and self._queue.frames:
                self._work(self._write)

    def flush(self, seconds: float) -> None:
        """Before this process ends: wait up to ``seconds`` until the kernel has everything.

        In a signal handler that has interrupted a write: as soon as that has ended, by what the handler raises.
        """
        if self._is_at_work:
            self._late.append(partial(self.flush, seconds))
        elif self._queue.frames and self._open:
            self._work(partial(self._flush_blocking, seconds))

    def _flush_blocking(self, seconds: float) -> None:
        try:
            self._sock.settimeout(seconds)
            while self._queue.frames:
                self._queue.write(self._sock)
        except OSError:
            pass  # the receiver is gone or too slow; this process ends either way
        finally:
            self._sock.settimeout(0)

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
        self._sock.close()

    def _enqueue(self, frame: bytes, callback: SendCallback | None, fd: int | None, is_answer: bool = False) -> None:
        queue = self._queue
        if len(frame) >= LEAST_BYTES:
            keep_memory_for(len(frame))
        was_empty = not queue.frames
        queue.add(frame, callback, fd, is_answer)
        if self in _collecting:
            if queue.is_worth_a_write or not self._burst.counts(time.monotonic()):
                self._work(self._write)
        elif was_empty:
            if self._reactor is not None and self._burst.counts(time.monotonic()):
                _collecting.add(self)
                self._reactor.at_turn_end(self.write_collected)
            else:
                self._work(self._write)

    def _work(self, write: Callable[[], None]) -> None:
        """Take from the queue, and then do what signal handlers have asked for meanwhile."""
        if self._is_at_work:
            return  # a handler has sent: whoever is at work goes on with that
        self._is_at_work = True
        try:
            write()
        finally:
            self._is_at_work = False
            while self._late:
                self._late.popleft()()
            if self._queue.frames:
                self._watch_writable()

    def _write(self) -> None:
        if not self._resting:
            self._flush()

    def _watch_writable(self) -> None:
        if self._queue.frames and self._reactor is not None and self._open and not self._resting:
            self._reactor.add_writer(self._sock.fileno(), self._writable)

    def _rest(self, reactor: Reactor) -> None:
        """Too many descriptors are under way, or no memory is left; the socket is still writable: do not spin."""
        self._resting = True
        reactor.remove_writer(self._sock.fileno())
        reactor.call_later(_REST_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._resting = False
        self._watch_writable()

    def refusal(self, size: int) -> ClusterError | None:
        """Why a frame of ``size`` bytes would be refused now; ``None`` when it would not."""
        if not self._open:
            return ChannelClosed("the channel is closed: the other side has disconnected or ended")
        waiting = self._queue.bytes_waiting
        if waiting and waiting + size + len(self._queue.frames) * FRAME_COST > self._max_queued:
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

    def _writable(self) -> None:
        self._work(self._write_on)

    def _write_on(self) -> None:
        self._flush()
        if not self._queue.frames and self._reactor is not None and self._open:
            self._reactor.remove_writer(self._sock.fileno())

    def _flush(self) -> None:
        while self._queue.frames and self._open:
            try:
                self._queue.write(self._sock)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno is None:
                    raise  # a signal handler's TimeoutError, no answer of the kernel's
                if error.errno in _EXHAUSTED and self._reactor is not None:
                    self._rest(self._reactor)
                    return
                # What the peer sent before it went is still to be read: reading finds the end.
                self._fail_queue(ChannelBroken(f"writing to the channel failed: {error}"))
                return

    def tell(self, callback: SendCallback, outcome: ClusterError | None) -> None:
        """Call a sender's callback back on a later turn."""
        if self._reactor is None:
            self._early.append((callback, outcome))
        else:
            self._reactor.call_soon(callback, outcome)

    def _fail_queue(self, error: ClusterError) -> None:
        for callback in self._queue.clear():
            self.tell(callback, error)

    def _shut(self, error: ClusterError | None) -> None:
        if not self._open:
            return
        self._open = False
        if self._reactor is not None:
            self._reactor.remove_reader(self._sock.fileno())
            self._reactor.remove_writer(self._sock.fileno())
        self._sock.close()
        while self._descriptors:
            let_go(self._descriptors.popleft())
        self._fail_queue(error or ChannelClosed("the channel was closed before the message was written"))
        self._on_closed(error)
