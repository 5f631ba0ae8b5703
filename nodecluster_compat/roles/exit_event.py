"""Emit ``exit`` on ``process``, once, at every end of a process but by a signal, and keep the code that it ends with.

As in Node a handler may change the code, and one that exits or, in a script, raises is the last.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable

from ..base.exit_code import checked_exit_code, exit_code_of
from ..base.handler_calls import ending_by_uncaught

__all__ = ["ExitEvent"]


class ExitEvent:
    """The end of this process.

    Args:
        emit: ``emit("exit", code)``.

    Attributes:
        is_being_emitted: whether a handler of ``exit`` runs.
    """

    def __init__(self, emit: Callable[..., object]) -> None:
        self._emit = emit
        self._code: int | None = None
        self._was_told = False
        self.is_being_emitted = False
        self._atexit_pid: int | None = None

    @property
    def code(self) -> int | None:
        """The code to end with when nothing is left to do; ``None`` means 0.

        Raises:
            ArgumentTypeError: set to what is neither a whole number nor text that is one.
        """
        return self._code

    @code.setter
    def code(self, code: int | str | None) -> None:
        self._code = checked_exit_code(code)

    def ended(self, code: int) -> int:
        """Emit ``exit``, unless that was done, and return the code, which a handler may have changed."""
        if self._was_told:
            return code
        self._was_told = True
        self.code = code
        self._tell(code)
        return (self.code or 0) & 0xFF

    def _tell(self, code: int) -> None:
        self.is_being_emitted = True
        try:
            with ending_by_uncaught():
                self._emit("exit", code)
        except SystemExit as error:
            self.code = exit_code_of(error)
        finally:
            self.is_being_emitted = False

    def end_untold(self) -> None:
        """Emit no ``exit`` at the end: a listener of ``uncaughtException`` has raised, as in Node."""
        self._was_told = True

    def watch_program(self) -> None:
        """Emit ``exit`` also in a program that no cluster started: Python alone knows when that ends."""
        if self._atexit_pid is None:
            self._atexit_pid = os.getpid()
            atexit.register(self._program_ended)

    def _program_ended(self) -> None:
        if os.getpid() == self._atexit_pid:
            self.ended(self.code or int(hasattr(sys, "last_value")))

    def abandon(self) -> None:
        """In a forked worker of a script: the end of the primary's program is not its own."""
        self._atexit_pid = None
