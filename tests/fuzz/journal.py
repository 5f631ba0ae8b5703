"""What the last inputs were, for when one of them ends the process: memory that outlives it."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["Journal"]

_INPUTS: Final = 256
_ROOM: Final = 4096  # for each, with its length
_LENGTH: Final = 8


class Journal:
    """A file of the last inputs.

    Args:
        path: of the file, which is made where there is none.
    """

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            file.truncate(_INPUTS * _ROOM)
            self._memory = mmap.mmap(file.fileno(), _INPUTS * _ROOM)
        self._number = 0

    def note(self, data: bytes) -> None:
        """Remember one that begins now."""
        at = self._number % _INPUTS * _ROOM
        size = min(len(data), _ROOM - 2 * _LENGTH)
        self._number += 1
        head = self._number.to_bytes(_LENGTH, "little") + size.to_bytes(_LENGTH, "little")
        self._memory[at : at + 2 * _LENGTH + size] = head + data[:size]

    def inputs(self) -> Iterator[bytes]:
        """Return those that it has, the last one at the end."""
        found = []
        for at in range(0, len(self._memory), _ROOM):
            number, size = (
                int.from_bytes(self._memory[at + part : at + part + _LENGTH], "little") for part in (0, _LENGTH)
            )
            found.append((number, self._memory[at + 2 * _LENGTH : at + 2 * _LENGTH + size]))
        yield from (data for number, data in sorted(found) if number)
