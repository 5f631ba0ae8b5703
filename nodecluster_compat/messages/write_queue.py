"""Queue the frames that a channel has not written yet, and decide which are worth a system call of their own.

Theory of operation
-------------------
A frame that nothing waits before is written at once, so that it arrives whatever its sender does next: computes for a
second, or is killed.  A system call for each frame, and a wake-up of the receiver for each, would be most of the cost
of a flood, though.  So after :data:`BURST_FRAMES` without a pause of :data:`BURST_SECONDS`, and nothing from the other
side in between, what follows is collected, and written together when the turn of the loop ends, when enough have come,
with the first frame after :data:`BURST_SECONDS`, and in any case before the channel closes or the process exits.  A
dialogue, however fast, is no flood: each side has nothing to say before the other's answer.  What a sender is told does
not depend on it: ``send`` says ``False`` when bytes wait for the *receiver*, far above what is ever collected, and a
callback comes when the kernel has the frame.

A signal handler may run between any two lines, and raise: Ctrl-C, a time limit, ``process.exit()``.  So a frame knows
by itself how much of it the kernel has: :meth:`WriteQueue.write` lets C code call the kernel and append the answer to
the frame's list, with no line in between, and what is done about it afterwards can be left and begun again at every
line.  A handler may add frames, too, at any line; that it does not write, the channel sees to.

Rejected: counting frames within a fixed time.  A receiver that is woken by each of the first ones takes the processor,
and then so few are sent in that time that nothing is ever collected.  Collecting from the first frame on (a message
before a long computation would wait for its end), joining buffers in a thread (nothing here may outlive a fork), and
blocking signals around a write (two more system calls).
"""

from __future__ import annotations

import _socket
import struct
from collections import deque
from collections.abc import Callable
from itertools import islice, takewhile
from typing import Any, Final

from msgspec import Struct

from ..errors import ClusterError

__all__ = ["BURST_FRAMES", "BURST_SECONDS", "MOST_COLLECTED_BYTES", "Burst", "Outgoing", "SendCallback", "WriteQueue"]

SendCallback = Callable[[ClusterError | None], Any]
Tell = Callable[[SendCallback, ClusterError | None], None]

BURST_FRAMES: Final = 16
BURST_SECONDS: Final = 0.001

_BUFFERS_PER_WRITE: Final = 64
MOST_COLLECTED_BYTES: Final = 32 * 1024
_FD: Final = struct.Struct("i")


class Outgoing(Struct, gc=False):
    """A frame, or what is left of one."""

    buffer: bytes | bytearray | memoryview
    callback: SendCallback | None
    fd: int | None = None  # goes with the first byte; borrowed
    is_answer: bool = False
    written: list[int] | None = None  # what the last system call took of this and the frames behind; empty: nothing yet


class Burst:
    """Whether frames come so fast that they should be collected; no clock of its own.

    Attributes:
        frames: how many have come; the reader of the other side's frames sets it to 0.
    """

    __slots__ = ("_last", "frames")

    def __init__(self) -> None:
        self._last = 0.0
        self.frames = 0

    def counts(self, now: float) -> bool:
        """Count one more frame, at ``now`` (seconds of any clock that never goes back); whether it is one too many."""
        self.frames = 1 if now - self._last > BURST_SECONDS else self.frames + 1
        self._last = now
        return self.frames > BURST_FRAMES


class WriteQueue:
    """Frames in the order in which they go out.

    Attributes:
        frames: those that the kernel does not have; for others to look at.
        bytes_waiting: bytes that the kernel does not have.
        answers_waiting: how many of the frames answer what the peer asked.
    """

    __slots__ = ("_descriptors", "answers_waiting", "bytes_waiting", "frames")

    def __init__(self) -> None:
        self.frames: deque[Outgoing] = deque()
        self._descriptors = 0
        self.bytes_waiting = 0
        self.answers_waiting = 0

    @property
    def is_worth_a_write(self) -> bool:
        """Whether collecting more would save little."""
        return len(self.frames) >= _BUFFERS_PER_WRITE or self.bytes_waiting >= MOST_COLLECTED_BYTES

    def holds(self, fd: int) -> bool:
        """Whether a frame with this descriptor still waits for the kernel."""
        frames = _first(self.frames, len(self.frames)) if self._descriptors else ()
        return any(item.fd == fd and not item.written for item in frames)

    def add(self, frame: bytes | memoryview, callback: SendCallback | None, fd: int | None, is_answer: bool) -> None:
        """Add a frame behind all others; see ``Channel.send``."""
        item, size = Outgoing(frame, callback, fd, is_answer), len(frame)
        self.bytes_waiting += size  # no call from here to the next one: a handler sees all of it or nothing
        self.answers_waiting += is_answer
        self._descriptors += fd is not None
        self.frames.append(item)

    def write(self, sock: _socket.socket, tell: Tell) -> None:
        """Write what one system call takes, up to the next frame that carries a descriptor; or that frame.

        Args:
            sock: the channel's.
            tell: told of each frame with a callback that has been written.

        Raises:
            OSError: the kernel takes nothing now, or the peer is gone.
        """
        frames = self.frames
        if frames and frames[0].written:
            self._settle(tell)  # an exception has kept the last call from it
        if not frames:
            return
        first = frames[0]
        written: list[int] = []
        first.written = written
        if first.fd is not None:
            rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _FD.pack(first.fd))
            written += map(sock.sendmsg, ((first.buffer,),), ((rights,),))
        elif len(frames) == 1:
            size = len(first.buffer)
            written += map(sock.send, (first.buffer,))
            if written[0] == size:  # as nearly always: there is no more to settle
                self.bytes_waiting -= size
                self.answers_waiting -= first.is_answer
                frames.popleft()
                if first.callback is not None:
                    tell(first.callback, None)
                return
        else:
            waiting = _first(frames, _BUFFERS_PER_WRITE)
            plain = takewhile(lambda item: item.fd is None, waiting) if self._descriptors else waiting
            written += map(sock.sendmsg, ([item.buffer for item in plain],))
        self._settle(tell)

    def clear(self, tell: Tell) -> list[SendCallback]:
        """Forget every frame; return the callbacks that wait for them.

        Args:
            tell: as for :meth:`write`.
        """
        self._settle(tell)
        gone = deque[Outgoing]()
        gone, self.frames = self.frames, gone
        self._descriptors = self.bytes_waiting = self.answers_waiting = 0
        return [item.callback for item in gone if item.callback is not None]

    def _settle(self, tell: Tell) -> None:
        """Let go of what the kernel has."""
        frames = self.frames
        while frames and (written := frames[0].written):
            item = frames[0]
            sent, size = written[0], len(item.buffer)
            if item.fd is not None:  # it is on its way, whatever is left of its frame
                item.fd = None
                self._descriptors -= 1
            if sent < size:
                frames[0] = Outgoing(memoryview(item.buffer)[sent:], item.callback, None, item.is_answer)
                self.bytes_waiting -= sent
                return
            if sent > size:
                frames[1].written = [sent - size]
            self.bytes_waiting -= size
            self.answers_waiting -= item.is_answer
            frames.popleft()
            if item.callback is not None:
                tell(item.callback, None)


def _first(frames: deque[Outgoing], count: int) -> list[Outgoing]:
    """Return the first frames, while a signal handler may add more."""
    while True:
        try:
            return list(islice(frames, count))
        except RuntimeError:  # it has: the iterator is void
            continue
