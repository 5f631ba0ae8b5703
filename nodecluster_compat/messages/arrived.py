"""Keep messages that have arrived until somebody listens: still encoded, with the descriptors that came along.

Those that come before anybody listens are kept up to a bound and delivered in order (difference D7: Node loses
them).  The bound is on messages and on bytes, so a peer that floods a program which never listens costs a known
amount of memory; past it messages are dropped, and that is logged once.
"""

from __future__ import annotations

import _socket
from collections import deque
from typing import Final

from ..base.log import Log
from ..machine.letting_go import let_go
from .frames import Frame

__all__ = ["MOST_BYTES", "MOST_DESCRIPTORS", "MOST_MESSAGES", "ArrivedMessages"]

MOST_MESSAGES: Final = 1024
MOST_BYTES: Final = 16 * 1024 * 1024
MOST_DESCRIPTORS: Final = 64


class ArrivedMessages:
    """The messages of one sender, oldest first.

    Args:
        sender: who sends, for the log.
        log: told once when messages are dropped.

    Attributes:
        frames: those that wait; for others to look at.
        bytes_waiting: what they hold.
    """

    __slots__ = ("_dropping", "_log", "_sender", "bytes_waiting", "frames")

    def __init__(self, sender: str, log: Log) -> None:
        self._sender = sender
        self._log = log
        self.frames: deque[Frame] = deque()
        self.bytes_waiting = 0
        self._dropping = False

    def add(self, frame: Frame) -> None:
        """Add one message that somebody listens for; the reader of the channel sees to the bound."""
        self.frames.append(frame)
        self.bytes_waiting += len(frame.payload)

    def keep(self, frame: Frame) -> None:
        """Add one message that nobody listens for yet, or drop it at the bound; the first is kept whatever its size."""
        full = len(self.frames) >= MOST_MESSAGES or self.bytes_waiting + len(frame.payload) > MOST_BYTES
        if (full or self._has_too_many_descriptors(frame)) and self.frames:
            if frame.fd is not None:
                let_go(frame.fd)
            if not self._dropping:
                self._dropping = True
                self._log.warning(
                    "Nobody listens for 'message', and %s messages (%s bytes) of %s wait: further ones are dropped",
                    len(self.frames),
                    self.bytes_waiting,
                    self._sender,
                )
            return
        self.add(frame)

    def _has_too_many_descriptors(self, frame: Frame) -> bool:
        return frame.fd is not None and sum(1 for waiting in self.frames if waiting.fd is not None) >= MOST_DESCRIPTORS

    def take(self) -> Frame | None:
        """Return the oldest and forget it; ``None`` when there is none."""
        if not self.frames:
            return None
        frame = self.frames.popleft()
        self.bytes_waiting -= len(frame.payload)
        self._dropping = False
        return frame

    def clear(self) -> None:
        """In a forked child: forget all, and close the copies of their descriptors."""
        while (frame := self.take()) is not None:
            if frame.fd is not None:
                _socket.close(frame.fd)
