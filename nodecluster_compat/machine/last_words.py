"""Limit what a worker may still do when it has lost its primary: the kernel ends it then, whatever it is doing."""

from __future__ import annotations

import signal as signals
from typing import Final

__all__ = ["FINALISE_SECONDS", "limit_last_words", "renew_last_words"]

FINALISE_SECONDS: Final = 3.0
"""For the interpreter's own end, counted from its begin: it has got there, and takes longer on a busy machine."""


class _ThisProcess:
    is_limited = False


def limit_last_words(seconds: float) -> None:
    """End this process by SIGALRM, which nothing can catch, unless it has ended within ``seconds``."""
    _ThisProcess.is_limited = True
    signals.signal(signals.SIGALRM, signals.SIG_DFL)
    signals.setitimer(signals.ITIMER_REAL, seconds)


def renew_last_words() -> None:
    """The interpreter ends now: where there is a limit, it counts anew, and is :data:`FINALISE_SECONDS`."""
    if _ThisProcess.is_limited:
        limit_last_words(FINALISE_SECONDS)
