"""Let C read a number that a worker counts, where it counts it, without a system call.

The primary maps a page of the worker's memory for that, which is safe because the memory is sealed.  In a forked child
the owner of the number drops it.
"""

from __future__ import annotations

from ..base.native import in_force
from .sealed_memory import SealedMemory

__all__ = ["shared_number"]


def shared_number(memory: SealedMemory, offset: int) -> object:
    """Return what C reads such a number by; ``None`` where there is no C, or the kernel has no memory for it.

    Args:
        memory: in which it lies.
        offset: of its eight bytes.
    """
    module = in_force().module
    try:
        return None if module is None else module.SharedNumber(memory.fileno(), offset)
    except OSError:
        return None
