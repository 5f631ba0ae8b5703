"""Let the process keep the memory of large messages from one to the next.

Theory of operation
-------------------
A large message exists several times on its way: encoded, framed, received, decoded.  glibc's ``malloc`` takes memory
for each of them from the kernel and gives it back soon after, so the kernel has to find and clear every page of every
copy again, with each message.  That is two thirds of what a message of 1 MiB costs.

Above which size ``malloc`` does so, and how much it keeps at the end of its heap, it learns from the largest block that
was ever given back (mallopt(3), *M_MMAP_THRESHOLD*; it keeps twice that size).  So one block is taken and given back
here, untouched: it never has a page of its own.

A process that has had large messages therefore keeps at most :data:`MOST_KEPT` bytes more than it uses; one that has
had none keeps nothing, because nobody calls this.  With another C library nothing changes.  Rejected: ``mallopt``
itself, which Python does not have (``ctypes`` costs every worker a mebibyte), and buffers of our own (msgspec and the
application allocate most of the copies).
"""

from __future__ import annotations

from typing import Final

__all__ = ["LEAST_BYTES", "MOST_KEPT", "keep_memory_for"]

LEAST_BYTES: Final = 128 * 1024
"""From here on a message is worth it: ``malloc``'s first threshold."""

MOST_KEPT: Final = 16 * 1024 * 1024

_COPIES: Final = 4  # of a message, at the same time
_KEEPS: Final = 2  # malloc, of the largest block that was given back


class _ThisProcess:
    taught: int = 0  # the largest block that was given back for this


def keep_memory_for(size: int) -> None:
    """Messages of ``size`` bytes (at least :data:`LEAST_BYTES`) come and go here."""
    block = min(_COPIES * size, MOST_KEPT // _KEEPS)
    if block > _ThisProcess.taught:
        _ThisProcess.taught = block
        bytearray(block)
