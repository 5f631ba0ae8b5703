"""A number that somebody else counts is read where it is, as long as nobody can take the memory away."""

from __future__ import annotations

import mmap
import os
import sys

import pytest

from nodecluster_compat.base.native import in_force
from nodecluster_compat.machine.sealed_memory import SealedMemory
from nodecluster_compat.machine.shared_number import shared_number

NATIVE = in_force().module
pytestmark = [
    pytest.mark.skipif(NATIVE is None, reason="Python reads it otherwise"),
    pytest.mark.usefixtures("no_leaks"),
]


def test_number_is_that_of_the_moment() -> None:
    memory = SealedMemory("test", 2 * mmap.PAGESIZE)
    numbers = [shared_number(memory, offset) for offset in (0, 24, mmap.PAGESIZE + 8)]
    view = memory.view()
    for value in (1, 2**64 - 1):
        view[24:32] = value.to_bytes(8, sys.byteorder)
        assert [number.read() for number in numbers] == [0, value, 0]  # type: ignore[attr-defined]
    memory.close()
    assert numbers[1].read() == 2**64 - 1  # type: ignore[attr-defined]
    assert shared_number(memory, 0) is None


def test_memory_that_somebody_may_cut_short_is_refused() -> None:
    assert NATIVE is not None
    for flags in (0, os.MFD_ALLOW_SEALING):
        fd = os.memfd_create("test", flags)
        os.ftruncate(fd, mmap.PAGESIZE)
        with pytest.raises(OSError, match="not permitted"):
            NATIVE.SharedNumber(fd, 0)
        os.close(fd)


@pytest.mark.parametrize(
    ("offset", "error"), [(-8, ValueError), (4, ValueError), (64, OSError), (mmap.PAGESIZE, OSError)]
)
def test_place_that_is_none_is_refused(offset: int, error: type[Exception]) -> None:
    assert NATIVE is not None
    memory = SealedMemory("test", 64)
    with pytest.raises(error):
        NATIVE.SharedNumber(memory.fileno(), offset)
    memory.close()
