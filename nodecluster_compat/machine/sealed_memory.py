"""Share memory of a fixed size between a worker, which writes, and its primary, which reads without asking.

It is a file without a name (``memfd``), made before the fork and *sealed*: nobody, not even the worker, can cut it
short, so what the primary reads is always there.  Pages that nobody has written take no memory.

The primary reads with ``pread`` and maps nothing: a mapping would be inherited by every worker that it forks later.
The worker maps it, because a store of eight bytes is the cheapest way to count.  Such a store is seen as a whole or not
at all, as long as it is aligned: so numbers are right at whatever moment the worker is killed.

Where Python was built for an old libc the file has no seals.  Then a worker that cuts it short loses its own numbers.
"""

from __future__ import annotations

import mmap
import os

from .nameless_file import NamelessFile

__all__ = ["SealedMemory"]


class SealedMemory(NamelessFile):
    """The memory of one worker and its primary.

    Args:
        name: what ``/proc/PID/fd`` shows.
        size: bytes.

    Raises:
        OSError: no descriptor is left for it.
    """

    __slots__ = ("size",)

    def __init__(self, name: str, size: int) -> None:
        super().__init__(name, size)
        self.size = size

    # --- the worker's side ---------------------------------------------------------------------

    def view(self) -> memoryview:
        """Return all of it, to write into.  It stays while it is referred to, also when this is closed."""
        return memoryview(mmap.mmap(self._fd, self.size))

    # --- the primary's side --------------------------------------------------------------------

    def read(self, size: int, offset: int) -> bytes:
        """Return ``size`` bytes from ``offset``; zeros where there is nothing any more."""
        data = b"" if self._fd < 0 else os.pread(self._fd, size, offset)
        return data.ljust(size, b"\0")
