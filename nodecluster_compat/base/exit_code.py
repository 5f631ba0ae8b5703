"""Say with which code Python ends on ``SystemExit``, and which codes a program may ask for."""

from __future__ import annotations

from ..errors import ArgumentTypeError

__all__ = ["checked_exit_code", "exit_code_of"]


def exit_code_of(error: SystemExit) -> int:
    """Return the code that Python ends with on ``SystemExit``."""
    return error.code if isinstance(error.code, int) else int(error.code is not None)


def checked_exit_code(code: object) -> int | None:
    """Return ``code`` as a number, ``None`` if nothing was said; text that is a whole number counts, as in Node.

    Raises:
        ArgumentTypeError: it is none.
    """
    if isinstance(code, str):
        try:
            return int(code)
        except ValueError:
            pass
    elif code is None or (isinstance(code, int) and not isinstance(code, bool)):
        return code
    raise ArgumentTypeError(f"expected a whole number from 0 to 255 as the exit code, got {code!r}")
