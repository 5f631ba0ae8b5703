"""Let every worker read who serves: one id for each slot, in memory that the primary alone writes.

A worker that routes asks it for each request that belongs to somebody, so it must cost nothing: no message, no system
call.  The primary writes eight bytes when a worker begins to serve, or leaves.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable
from typing import Final

from .sealed_memory import SealedMemory

__all__ = ["MOST_SLOTS", "MembersTable"]

MOST_SLOTS: Final = 1024
"""A worker in a slot above serves, but nothing is routed to it."""

_NUMBER: Final = struct.Struct("=Q")


class MembersTable:
    """The workers that serve, by slot.

    Raises:
        OSError: no descriptor is left for it.
    """

    def __init__(self) -> None:
        self._memory = SealedMemory("nodecluster-members", (MOST_SLOTS + 1) * _NUMBER.size)
        self.ids: dict[int, int] = {}
        self._highest = 0

    # --- the primary's side --------------------------------------------------------------------

    def serves(self, slot: int, worker_id: int) -> None:
        """The worker in this slot serves; a slot that is none is ignored."""
        if 0 < slot <= MOST_SLOTS and self.ids.get(slot) != worker_id:
            self.ids[slot] = worker_id
            self._write(slot, worker_id)
            if slot > self._highest:
                self._highest = slot
                self._write(0, slot)

    def left(self, slot: int, worker_id: int) -> None:
        """It serves no more; a no-op where another has its slot by now."""
        if self.ids.get(slot) == worker_id:
            del self.ids[slot]
            self._write(slot, 0)

    def _write(self, number: int, value: int) -> None:
        os.pwrite(self._memory.fileno(), _NUMBER.pack(value), number * _NUMBER.size)

    # --- the worker's side ---------------------------------------------------------------------

    def reader(self) -> Callable[[], dict[int, int]]:
        """Return what reads it: the ids by slot.  The descriptor is no longer needed then."""
        numbers = memoryview(mmap.mmap(self._memory.fileno(), self._memory.size, prot=mmap.PROT_READ)).cast("Q")

        def read() -> dict[int, int]:
            return {slot: worker_id for slot, worker_id in enumerate(numbers[1 : numbers[0] + 1], 1) if worker_id}

        return read

    def close(self) -> None:
        """Let go of the descriptor; a no-op when that has happened."""
        self._memory.close()
