"""Allot the real-time signals by which the processes of a server ask each other for something.

``SIGRTMIN + 5`` is the plugin's, which asks any process of a cluster under test for its stacks.
"""

from __future__ import annotations

import signal
from typing import Final

__all__ = ["ENGINE_STACKS_SIGNAL", "LAST_WORDS_SIGNAL", "PARENT_DEATH_SIGNAL", "THREADS_SIGNAL"]

THREADS_SIGNAL: Final = signal.SIGRTMIN + 6
"""The primary asks a worker that does not answer to write what its threads are doing, without Python."""

ENGINE_STACKS_SIGNAL: Final = signal.SIGRTMIN + 7
"""The primary asks a worker to write that, and what its engine has (greenlets, tasks), as soon as Python runs."""

LAST_WORDS_SIGNAL: Final = signal.SIGRTMIN + 8
"""... the same, even if a system call must be interrupted for that: the worker is about to be ended."""

PARENT_DEATH_SIGNAL: Final = signal.SIGRTMIN + 9
"""The kernel says that the parent of a process has ended."""
