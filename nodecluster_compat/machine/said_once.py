"""Share a flag between the workers of one primary: who is the first to say something that all of them would say."""

from __future__ import annotations

import mmap

__all__ = ["SaidOnce"]


class SaidOnce:
    """A flag in memory that is shared with every process that is forked from here on.

    Two that look in the same moment may both be the first.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def is_first(self) -> bool:
        """Whether nobody has asked before."""
        first = self._memory[0] == 0
        self._memory[0] = 1
        return first

    def forget(self) -> None:
        """From now on somebody may be the first again."""
        self._memory[0] = 0
