"""Write what a command of ``nodeclusterctl`` has found: to the terminal, or into a file that loses nothing before."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

__all__ = ["UNPRINTABLE", "output_to", "say"]

Write: TypeAlias = Callable[[str], None]

UNPRINTABLE: Final = "backslashreplace"
"""What becomes of what an encoding does not have: names of files may be any bytes."""


def say(text: str) -> None:
    """Print an answer, at once: somebody may follow it through a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@contextmanager
def output_to(path: str | None) -> Iterator[Write]:
    """Return what writes a text, if there is one: in place of what is in a file, or to the terminal.

    The file is opened at once, so that nobody waits for a result that cannot be written.  What is in it stays until
    there is something to take its place.

    Args:
        path: of the file; ``None`` for the terminal.

    Raises:
        OSError: it cannot be written to.
    """
    if path is None:
        yield _say_if_any
        return
    is_new = not os.path.exists(path)
    with open(path, "a", encoding="utf-8", errors=UNPRINTABLE) as file:

        def write(text: str) -> None:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # a pipe has nothing to lose
                file.truncate(0)
            file.write(f"{text}\n" if text else "")

        try:
            yield write
        except BaseException:
            if is_new:
                os.unlink(path)
            raise


def _say_if_any(text: str) -> None:
    if text:
        say(text)
