"""Memory of large messages: kept from one to the next, and not more of it than is said."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library's malloc learns nothing")

PAGES = """
import resource, sys
from nodecluster_compat.machine.kept_memory import keep_memory_for

def come_and_go():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        copies = [b"x" * size for _ in range(4)]
        del copies
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

size = int(sys.argv[1])
come_and_go()
before = come_and_go()
keep_memory_for(size)
come_and_go()
print(before, come_and_go())
"""
HELD = """
import sys
from nodecluster_compat.machine.kept_memory import keep_memory_for

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

size = int(sys.argv[1])
before = resident()
keep_memory_for(size)
taught = resident()
for _ in range(3):
    copies = [b"x" * size for _ in range(4)]
    del copies
print(taught - before, resident() - before)
"""


def told(program: str, size: int) -> list[int]:
    """What a process of its own prints: malloc learns for good."""
    done = subprocess.run([sys.executable, "-c", program, str(size)], capture_output=True, text=True, check=True)
    return [int(number) for number in done.stdout.split()]


@pytest.mark.parametrize("size", [400_000, 1 << 20, 1_900_000])
def test_pages_are_asked_for_once(size: int) -> None:
    """Twenty times four messages come and go: before that costs a fault for each page, afterwards hardly any."""
    before, after = told(PAGES, size)
    assert before > 20 * size / 4096
    assert after < before / 10


@pytest.mark.parametrize("size", [128 * 1024, 1 << 20, 20 << 20])
def test_little_is_kept(size: int) -> None:
    """Teaching takes no memory, and messages of any size leave at most what the page says."""
    taught, kept = told(HELD, size)
    assert taught < 1 << 20
    assert kept < (16 << 20) + (2 << 20)
