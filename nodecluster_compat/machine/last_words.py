"""Limit what a worker may still do when it has lost its primary: the kernel ends it then, whatever it is doing."""

from __future__ import annotations

import os
import signal as signals
from typing import Final

from .process_state import is_ending

__all__ = ["FINALISE_SECONDS", "limit_last_words", "remember_primary", "renew_last_words"]

FINALISE_SECONDS: Final = 3.0
"""For the interpreter's own end, counted from its begin: it has got there, and takes longer on a busy machine."""

LET_GO_SECONDS: Final = 20.0
"""Where the primary lives, and reads the exit code: a worker that was let go of ends with its own, however busy the
machine is.  One that does not end at all is the primary's to kill."""


class _ThisProcess:
    is_limited = False
    primary = 0


def remember_primary(pid: int) -> None:
    """In a worker that has just been forked: whose child it is."""
    _ThisProcess.primary = pid


def limit_last_words(seconds: float) -> None:
    """End this process by SIGALRM, which nothing can catch, unless it has ended within ``seconds``.

    As long as its primary lives, :data:`LET_GO_SECONDS` are enough.
    """
    _ThisProcess.is_limited = True
    signals.signal(signals.SIGALRM, signals.SIG_DFL)
    signals.setitimer(signals.ITIMER_REAL, max(seconds, LET_GO_SECONDS) if _primary_lives() else seconds)


def _primary_lives() -> bool:
    primary = _ThisProcess.primary
    return primary != 0 and os.getppid() == primary and not is_ending(primary)


def renew_last_words() -> None:
    """The interpreter ends now: where there is a limit, it counts anew, and is :data:`FINALISE_SECONDS`."""
    if _ThisProcess.is_limited:
        limit_last_words(FINALISE_SECONDS)
