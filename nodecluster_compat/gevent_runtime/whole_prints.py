"""Write what one ``print()`` prints in one piece, so that lines of several processes do not mix.

Python writes the words, the separators and the end of a line one after another.  Without a buffer (``python -u``,
``PYTHONUNBUFFERED=1``, as containers have it) each of them is a system call, and with a buffer the end of each line
within the text is one; another worker that has the same pipe writes in between.  Node writes once.

Of a pipe the kernel takes 4096 bytes in one piece (``PIPE_BUF``); longer text may be torn while the pipe is full.
"""

from __future__ import annotations

import builtins
import sys
from functools import wraps
from typing import Any, Final, Protocol

__all__ = ["print_whole", "use_whole_prints"]


class SupportsWrite(Protocol):
    """What ``print()`` can print to."""

    def write(self, text: str, /) -> object:
        """Write ``text``."""


_print: Final[Any] = builtins.print


@wraps(_print)
def print_whole(
    *values: object,
    sep: str | None = None,
    end: str | None = None,
    file: SupportsWrite | None = None,
    flush: bool = False,
) -> None:
    """Print as Python's does; to a standard stream in one piece."""
    stream: Any = sys.stdout if file is None else file
    is_standard = stream is not None and (stream is sys.stdout or stream is sys.stderr)
    if is_standard and _is_text(sep) and _is_text(end):
        stream.write((" " if sep is None else sep).join(map(str, values)) + ("\n" if end is None else end))
        if flush:
            stream.flush()
    else:
        _print(*values, sep=sep, end=end, file=file, flush=flush)


def _is_text(option: object) -> bool:
    return option is None or isinstance(option, str)


def use_whole_prints() -> None:
    """Let every ``print()`` of this process be in one piece."""
    builtins.print = print_whole
