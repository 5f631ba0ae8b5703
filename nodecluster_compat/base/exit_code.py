"""Say with which code Python ends on ``SystemExit``."""

from __future__ import annotations

__all__ = ["exit_code_of"]


def exit_code_of(error: SystemExit) -> int:
    """Return the code that Python ends with on ``SystemExit``."""
    return error.code if isinstance(error.code, int) else int(error.code is not None)
