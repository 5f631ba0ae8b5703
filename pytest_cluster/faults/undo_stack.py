"""Undo faults at the end of a block, or of the test when that comes first."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import count

__all__ = ["UndoStack"]


class UndoStack:
    """Functions that undo faults, each of which runs once; the newest first."""

    def __init__(self) -> None:
        self._numbers = count()
        self._functions: dict[int, Callable[[], None]] = {}

    def later(self, undo: Callable[[], None]) -> int:
        """Call *undo* in :meth:`all`; the number that is returned stands for it in :meth:`now`."""
        number = next(self._numbers)
        self._functions[number] = undo
        return number

    def now(self, number: int) -> None:
        """Undo one thing, unless that has been done already."""
        undo = self._functions.pop(number, None)
        if undo is not None:
            undo()

    @contextlib.contextmanager
    def after(self, undo: Callable[[], None]) -> Iterator[None]:
        """Call *undo* when a block has ended; in :meth:`all`, when that is earlier."""
        number = self.later(undo)
        try:
            yield
        finally:
            self.now(number)

    def all(self) -> None:
        """Undo everything, whatever goes wrong with one of them.

        :raises Exception: what the last of those that failed has raised.
        """
        with contextlib.ExitStack() as stack:
            for number in self._functions:
                stack.callback(self.now, number)
