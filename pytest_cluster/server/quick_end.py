"""End a server quickly after a failed test: by its signals, with little patience where it has requests."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..waiting import scaled

if TYPE_CHECKING:
    from .spawning import Process

__all__ = ["end_quickly"]

# For each of two signals, with a request under way and without.
STEP_SECONDS = 0.45
END_SECONDS = 4.0


def end_quickly(process: Process, has_requests: Callable[[], bool]) -> bool:
    """Return whether it has ended: with requests it has a second for that, without any some seconds more."""
    return any(_ends_by(which, process, has_requests) for which in (signal.SIGTERM, signal.SIGQUIT))


def _ends_by(which: signal.Signals, process: Process, has_requests: Callable[[], bool]) -> bool:
    process.send_signal(which)
    deadline = time.monotonic() + scaled(END_SECONDS)
    while time.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(scaled(STEP_SECONDS))
            return True
        if has_requests():
            break
    return False
