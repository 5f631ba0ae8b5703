"""Share a notebook between a worker and its primary: the end of the worker's log, orders to it, what they gave.

    lengths · one order, as text (by the primary) · a ring of the last log lines · one result (by the worker)

Memory, as the heartbeat is and for its reasons: it must work when nothing else of the worker does, and what a dead
worker wrote last is still there.  Read and written at offsets, never mapped.

A worker can write what it likes here, so every number is checked and every piece bounded: it may lie about itself only.
"""

from __future__ import annotations

import os
import struct
from typing import Final

from .nameless_file import NamelessFile

__all__ = ["MOST_RESULT_BYTES", "Notebook"]

MOST_RESULT_BYTES: Final = 1024 * 1024

_NUMBER: Final = struct.Struct("Q")
_ENTRY: Final = struct.Struct("QQ")  # the number of an order, and the length of what follows
_WRITTEN_AT: Final = 0
_ORDER_AT: Final = 64
_MOST_ORDER_BYTES: Final = 512
_RING_AT: Final = 4096
_RING_BYTES: Final = 32 * 1024
_RESULT_AT: Final = _RING_AT + _RING_BYTES


class Notebook(NamelessFile):
    """The notebook of one worker.

    Raises:
        OSError: no descriptor is left for it.
    """

    __slots__ = ("_orders", "_written")

    def __init__(self) -> None:
        super().__init__("nodecluster-notebook")
        self._written = 0
        self._orders = 0

    # --- the worker's side ---------------------------------------------------------------------

    def write_log(self, text: str) -> None:
        """Add to the log; the oldest of it is overwritten."""
        data = text.encode(errors="replace")[-_RING_BYTES:]
        if self._fd < 0 or not data:
            return
        start = self._written % _RING_BYTES
        before_end = data[: _RING_BYTES - start]
        os.pwrite(self._fd, before_end, _RING_AT + start)
        if len(before_end) < len(data):
            os.pwrite(self._fd, data[len(before_end) :], _RING_AT)
        self._written += len(data)
        os.pwrite(self._fd, _NUMBER.pack(self._written), _WRITTEN_AT)

    def order(self) -> tuple[int, str]:
        """Return the last order and its number; 0 before the first."""
        number, said = self._entry(_ORDER_AT, _MOST_ORDER_BYTES)
        return number, said.decode(errors="replace")

    def answer(self, number: int, result: str) -> None:
        """Write what an order gave."""
        if self._fd >= 0:
            data = result.encode(errors="replace")[:MOST_RESULT_BYTES]
            os.pwrite(self._fd, data, _RESULT_AT + _ENTRY.size)
            os.pwrite(self._fd, _ENTRY.pack(number, len(data)), _RESULT_AT)

    # --- the primary's side --------------------------------------------------------------------

    def read_log(self, since: int = 0) -> tuple[int, str]:
        """Return how much was ever written to the log, and the end of it.

        Args:
            since: leave out what was written before, in bytes as they are returned here.
        """
        written = self._number(_WRITTEN_AT)
        length = min(written, _RING_BYTES, max(0, written - since))
        if self._fd < 0 or not length:
            return written, ""
        start = (written - length) % _RING_BYTES
        first = os.pread(self._fd, min(length, _RING_BYTES - start), _RING_AT + start)
        rest = os.pread(self._fd, length - len(first), _RING_AT) if len(first) < length else b""
        return written, (first + rest).decode(errors="replace")

    def give_order(self, text: str) -> int:
        """Write an order and return its number; whatever was there before is void."""
        self._orders += 1
        data = text.encode()[:_MOST_ORDER_BYTES]
        os.pwrite(self._fd, _ENTRY.pack(self._orders, len(data)) + data, _ORDER_AT)
        return self._orders

    def result_of(self, number: int) -> str | None:
        """Return what an order gave; ``None`` while it has given nothing."""
        answered, data = self._entry(_RESULT_AT, MOST_RESULT_BYTES)
        return data.decode(errors="replace") if answered == number else None

    def _entry(self, offset: int, most: int) -> tuple[int, bytes]:
        said = b"" if self._fd < 0 else os.pread(self._fd, _ENTRY.size, offset)
        if len(said) < _ENTRY.size:
            return 0, b""
        number, length = _ENTRY.unpack(said)
        return int(number), os.pread(self._fd, min(length, most), offset + _ENTRY.size)

    def _number(self, offset: int) -> int:
        said = b"" if self._fd < 0 else os.pread(self._fd, _NUMBER.size, offset)
        return int(_NUMBER.unpack(said)[0]) if len(said) == _NUMBER.size else 0
