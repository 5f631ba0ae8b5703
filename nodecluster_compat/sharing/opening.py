"""Lock the opening of what all threads of a process use; a forked process has a lock of its own."""

from __future__ import annotations

import _thread  # noqa: F401 - ``original`` looks for it
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from ..base.loop import original

__all__ = ["Opening"]


class Opening:
    """The lock of whoever opens something; a signal handler that interrupts that does not wait for itself."""

    def __init__(self) -> None:
        self._locks: dict[int, AbstractContextManager[object]] = {}  # one that was held at a fork stays so

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only thread of this process that does it."""
        with self._locks.setdefault(os.getpid(), original("_thread", "RLock")()):
            yield
