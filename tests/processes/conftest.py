"""What tests of one module share that need other processes; the order of the folders is that of tests/unit."""

from __future__ import annotations

from own_descriptors import no_leaks

__all__ = ["no_leaks"]
