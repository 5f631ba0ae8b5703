"""Messages that have arrived and wait to be delivered, still encoded.

Those that come before anybody listens are kept up to a bound and delivered in order (difference D7: Node loses
them).  The bound is on messages and on bytes, so a peer that floods a program which never listens costs a known
amount of memory; past it messages are dropped, and that is logged once.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from .emitter import Log

__all__ = ["MOST_BYTES", "MOST_MESSAGES", "MessageQueue"]

MOST_MESSAGES: Final = 1024
MOST_BYTES: Final = 16 * 1024 * 1024


class MessageQueue:
    """The messages of one sender, oldest first.

    Args:
        sender: who sends, for the log.
        log: told once when messages are dropped.
    """

    __slots__ = ("_dropping", "_log", "_payloads", "_sender", "bytes_waiting")

    def __init__(self, sender: str, log: Log) -> None:
        self._sender = sender
        self._log = log
        self._payloads: deque[bytes] = deque()
        self.bytes_waiting = 0
        self._dropping = False

    def __len__(self) -> int:
        return len(self._payloads)

    def add(self, payload: bytes) -> None:
        """Add one message that somebody listens for; whoever reads the channel sees to the bound."""
        self._payloads.append(payload)
        self.bytes_waiting += len(payload)

    def keep(self, payload: bytes) -> None:
        """Add one message that nobody listens for yet, or drop it at the bound; the first is kept whatever its size."""
        full = len(self._payloads) >= MOST_MESSAGES or self.bytes_waiting + len(payload) > MOST_BYTES
        if full and self._payloads:
            if not self._dropping:
                self._dropping = True
                self._log.warning(
                    "Nobody listens for 'message', and %s messages (%s bytes) of %s wait: further ones are dropped",
                    len(self._payloads),
                    self.bytes_waiting,
                    self._sender,
                )
            return
        self.add(payload)

    def take(self) -> bytes | None:
        """Return the oldest and forget it; ``None`` when there is none."""
        if not self._payloads:
            return None
        payload = self._payloads.popleft()
        self.bytes_waiting -= len(payload)
        self._dropping = False
        return payload
