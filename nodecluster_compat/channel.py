"""The message channel: one end of a stream socket pair that carries frames.

Theory of operation
-------------------
Both sides use this class; only the reactor differs.  Until :meth:`Channel.attach` gives it one (a
worker sends ``online`` before its runtime exists) the channel writes what the kernel takes and keeps
the rest.

Sending never blocks.  A frame goes straight to the kernel when nothing waits before it, otherwise it
joins the queue.  The queue is bounded in bytes: at the bound :meth:`send` refuses the whole frame, so a
receiver that has stopped costs that much memory on this one channel and nothing else.  One message up
to the size limit is always taken when the queue is empty.

Reading takes one slice per turn, so a peer that floods its channel gets its share of the loop and no
more.  Garbage closes the channel: after one bad byte no later byte can be trusted.

``on_closed`` comes exactly once, with ``None`` for an orderly end (the peer closed, or :meth:`close`) and
with the error otherwise.  Rejected: acknowledging messages (Node does not: the callback says *written*).
"""

from __future__ import annotations

import _socket
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

from .codec import Frame, FrameDecoder
from .errors import ChannelBroken, ChannelClosed, ChannelFull, ClusterError, FrameError
from .reactor import Reactor

__all__ = ["MAX_QUEUED_BYTES", "PRESSURE_BYTES", "Channel", "SendCallback"]

SendCallback = Callable[[ClusterError | None], Any]

MAX_QUEUED_BYTES: Final = 128 * 1024 * 1024
"""Bytes that may wait for a slow receiver; the same as the limit of one message."""

PRESSURE_BYTES: Final = 128 * 1024
"""From here on ``send`` returns ``False``: Node's threshold (node-cluster-spec §4.1)."""

_SLICE_BYTES: Final = 256 * 1024
_SMALL_SLICE_BYTES: Final = 16 * 1024  # unless a large message is under way: that many may be thousands of messages
_BUFFERS_PER_WRITE: Final = 64
_MOST_SLICES_AT_END: Final = 64


class Channel:
    """One end of a message channel.

    Args:
        sock: a connected stream socket; the channel owns it from now on.
        on_frame: called with each frame, in order.
        on_closed: called once when no frame can come any more.
        max_queued: bound of the bytes that wait for the receiver.
    """

    def __init__(
        self,
        sock: _socket.socket,
        on_frame: Callable[[Frame], None],
        on_closed: Callable[[ClusterError | None], None],
        max_queued: int = MAX_QUEUED_BYTES,
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._on_frame = on_frame
        self._on_closed = on_closed
        self._max_queued = max_queued
        self._decoder = FrameDecoder()
        self._queue: deque[tuple[memoryview, SendCallback | None]] = deque()
        self._queued = 0
        self._early: list[tuple[SendCallback, ClusterError | None]] = []
        self._reactor: Reactor | None = None
        self._open = True

    @property
    def is_open(self) -> bool:
        """Whether frames can still be sent and received."""
        return self._open

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait because the receiver has not read them."""
        return self._queued

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
        if self._queue:
            reactor.add_writer(self._sock.fileno(), self._writable)

    def send(self, frame: bytes, callback: SendCallback | None = None) -> bool:
        """Send one frame.

        Args:
            frame: the encoded frame.
            callback: called on a later turn with ``None`` once the kernel has the whole frame, or with
                the error.

        Returns:
            ``False`` when the frame was refused, or when at least :data:`PRESSURE_BYTES` wait.

        Raises:
            ChannelClosed, ChannelFull: refused, and there is no callback to tell.
        """
        refusal = self._refusal(len(frame))
        if refusal is not None:
            if callback is None:
                raise refusal
            self._tell(callback, refusal)
            return False
        self._enqueue(frame, callback)
        return self._queued < PRESSURE_BYTES

    def send_own(self, frame: bytes) -> None:
        """Send a frame of the runtime's: never refused for pressure, and nobody hears of a failure.

        A closed channel is noticed by reading; these frames are few and small.
        """
        if self._open:
            self._enqueue(frame, None)

    def close(self) -> None:
        """Close this end; what still waits is lost and its callbacks hear of it."""
        self._shut(None)

    def flush(self, seconds: float) -> None:
        """Before this process ends: wait up to ``seconds`` until the kernel has everything."""
        if not self._queue or not self._open:
            return
        try:
            self._sock.settimeout(seconds)
            while self._queue:
                buffer, callback = self._queue.popleft()
                self._sock.sendall(buffer)
                self._queued -= len(buffer)
                if callback is not None:
                    self._tell(callback, None)
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

    def _enqueue(self, frame: bytes, callback: SendCallback | None) -> None:
        self._queue.append((memoryview(frame), callback))
        self._queued += len(frame)
        if len(self._queue) == 1:
            self._flush()
            if self._queue and self._reactor is not None and self._open:
                self._reactor.add_writer(self._sock.fileno(), self._writable)

    def _refusal(self, size: int) -> ClusterError | None:
        if not self._open:
            return ChannelClosed("the channel is closed: the other side has disconnected or ended")
        if self._queue and self._queued + size > self._max_queued:
            return ChannelFull(
                f"{self._queued} bytes already wait for a receiver that does not read (bound {self._max_queued}): "
                "wait until send() returns true or its callback comes"
            )
        return None

    def _readable(self) -> None:
        self._read_slice()

    def _read_slice(self) -> bool:
        try:
            data = self._sock.recv(_SLICE_BYTES if self._decoder.buffered >= _SMALL_SLICE_BYTES else _SMALL_SLICE_BYTES)
        except BlockingIOError:
            return False
        except OSError as error:
            self._shut(ChannelBroken(f"reading from the channel failed: {error}"))
            return False
        if not data:
            self._shut(None)
            return False
        try:
            for frame in self._decoder.feed(data):
                self._on_frame(frame)
                if not self._open:
                    return False
        except FrameError as error:
            self._shut(error)
            return False
        return True

    def _writable(self) -> None:
        self._flush()
        if not self._queue and self._reactor is not None and self._open:
            self._reactor.remove_writer(self._sock.fileno())

    def _flush(self) -> None:
        while self._queue and self._open:
            buffers = [buffer for buffer, _ in islice(self._queue, _BUFFERS_PER_WRITE)]
            try:
                sent = self._sock.sendmsg(buffers)
            except BlockingIOError:
                return
            except OSError as error:
                # What the peer sent before it went is still to be read: reading finds the end.
                self._fail_queue(ChannelBroken(f"writing to the channel failed: {error}"))
                return
            self._written(sent)

    def _written(self, sent: int) -> None:
        self._queued -= sent
        while sent:
            buffer, callback = self._queue[0]
            if sent < len(buffer):
                self._queue[0] = (buffer[sent:], callback)
                return
            sent -= len(buffer)
            self._queue.popleft()
            if callback is not None:
                self._tell(callback, None)

    def _tell(self, callback: SendCallback, outcome: ClusterError | None) -> None:
        if self._reactor is None:
            self._early.append((callback, outcome))
        else:
            self._reactor.call_soon(callback, outcome)

    def _fail_queue(self, error: ClusterError) -> None:
        waiting = [callback for _, callback in self._queue if callback is not None]
        self._queue.clear()
        self._queued = 0
        for callback in waiting:
            self._tell(callback, error)

    def _shut(self, error: ClusterError | None) -> None:
        if not self._open:
            return
        self._open = False
        if self._reactor is not None:
            self._reactor.remove_reader(self._sock.fileno())
            self._reactor.remove_writer(self._sock.fileno())
        self._sock.close()
        self._fail_queue(error or ChannelClosed("the channel was closed before the message was written"))
        self._on_closed(error)
