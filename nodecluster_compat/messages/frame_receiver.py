"""Receive what has come over a channel: bytes, the descriptors beside them, and the frames that they make.

The kernel ends a read behind a byte that has a descriptor beside it, so descriptors arrive in the order of frames.
A peer that sends descriptors nobody announced is garbage before it can fill this process with them.  The slices of a
large frame are larger, and go from the kernel to the payload over one buffer of the process.
"""

from __future__ import annotations

import _socket
import fcntl
import mmap
import struct
import termios
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from ..errors import ChannelBroken, ClusterError, FrameError
from ..machine.kept_memory import LEAST_BYTES, keep_memory_for
from ..machine.letting_go import let_go
from .frames import LARGE_BYTES, Frame, FrameDecoder
from .write_queue import Burst

__all__ = ["MOST_DESCRIPTORS", "FrameReceiver", "unread_bytes"]

MOST_DESCRIPTORS: Final = 8
"""Received ahead of their frames; a peer of ours never has two under way."""

_SLICE_BYTES: Final = 256 * 1024
_SMALL_SLICE_BYTES: Final = 16 * 1024  # unless a large message is under way: that many may be thousands of messages
_MOST_UNREAD: Final = 1024 * 1024  # if the kernel does not say
_COUNT: Final = struct.Struct("i")
_FD: Final = struct.Struct("i")
_FD_SPACE: Final = _socket.CMSG_SPACE(_FD.size)
_MSG_CMSG_CLOEXEC: Final = _socket.MSG_CMSG_CLOEXEC

# Nothing is left in it between two calls.  Mapped, because pages that are never written to take no memory.
_slice: Final = memoryview(mmap.mmap(-1, _SLICE_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


class FrameReceiver:
    """Receives one channel's frames; ``reader.ChannelReader`` passes them on, turn by turn.

    Args:
        sock: the channel's, which does not block.
        ended: called when no frame can come any more.
        max_message: the largest message that may come, in bytes once encoded.
        burst: of what is sent; it ends when the other side has said something.
    """

    __slots__ = (
        "_burst",
        "_decoder",
        "_descriptors",
        "_frames",
        "_has_stopped",
        "_is_full",
        "_only",
        "_sock",
        "ended",
    )

    def __init__(
        self, sock: _socket.socket, ended: Callable[[ClusterError | None], None], max_message: int, burst: Burst
    ) -> None:
        self._sock = sock
        self.ended = ended
        self._burst = burst
        self._decoder = FrameDecoder(max_message + 1)  # the kind of a handle
        self._descriptors: deque[int | None] = deque()  # None: it could not be kept
        self._only: Frame | None = None  # received, alone
        self._frames: Iterator[Frame] | None = None  # received, and left for the next turn
        self._is_full = False  # the last slice: there may be more
        self._has_stopped = False

    def _receive(self) -> int:
        """Read from the kernel, once everything that came before is delivered; return how many bytes came."""
        if self._has_stopped:
            return 0
        missing = self._decoder.missing
        try:
            size = self._receive_slice() if missing < LARGE_BYTES else self._receive_large(missing)
        except BlockingIOError:
            return 0
        except ConnectionResetError:
            size = 0  # the peer closed with something unread: its end all the same
        except OSError as error:
            self.ended(ChannelBroken(f"reading from the channel failed: {error}"))
            return 0
        except FrameError as error:
            self.ended(error)
            return 0
        self._burst.frames = 0
        self._is_full = size == _SMALL_SLICE_BYTES and missing < LARGE_BYTES
        if not size:
            self.ended(None)
        return size

    def _receive_slice(self) -> int:
        data, ancillary, _, _ = self._sock.recvmsg(_SMALL_SLICE_BYTES, _FD_SPACE, _MSG_CMSG_CLOEXEC)
        if ancillary:
            self._keep_descriptors(ancillary)  # first: then they are owned, whatever fails
        self._only = self._decoder.only(data)
        if self._only is None:
            self._frames = self._decoder.feed(data)
        return len(data)

    def _receive_large(self, missing: int) -> int:
        """Receive what is missing of a large frame, as far as it has come."""
        if missing >= LEAST_BYTES:
            keep_memory_for(missing)
        size, ancillary, _, _ = self._sock.recvmsg_into((_slice[:missing],), _FD_SPACE, _MSG_CMSG_CLOEXEC)
        if ancillary:
            self._keep_descriptors(ancillary)
        self._frames = iter(self._decoder.collect(_slice[:size]))
        return size

    def _keep_descriptors(self, ancillary: list[tuple[int, int, bytes]]) -> None:
        try:
            self._descriptors.extend(_descriptors_in(ancillary))
        except MemoryError:
            for fd in _descriptors_in(ancillary):
                if fd not in self._descriptors:
                    let_go(fd)
            raise
        self.check_descriptors()

    def check_descriptors(self) -> None:
        """Refuse more than a peer of ours has under way.

        Raises:
            FrameError: there are more.
        """
        if len(self._descriptors) > MOST_DESCRIPTORS:
            raise FrameError("descriptors came that no frame announced")

    def with_descriptor(self, frame: Frame) -> Frame:
        """Return the frame with the descriptor that came beside it."""
        fd = self._descriptors.popleft() if self._descriptors else None
        try:
            return Frame(frame.kind, frame.payload, fd)
        except MemoryError:
            if fd is not None:
                let_go(fd)
            raise

    def _close_descriptors(self) -> None:
        """Close those that no frame has claimed."""
        while self._descriptors:
            if (fd := self._descriptors.popleft()) is not None:
                let_go(fd)


def _descriptors_in(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    return [
        fd
        for level, kind, data in ancillary
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS
        for (fd,) in _FD.iter_unpack(data[: len(data) // _FD.size * _FD.size])
    ]


def unread_bytes(sock: _socket.socket) -> int:
    """Return how many bytes have arrived and were not read."""
    try:
        return int(_COUNT.unpack(fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(_COUNT.size)))[0])
    except OSError:
        return _MOST_UNREAD
