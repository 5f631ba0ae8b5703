"""Read signals as people write them, and know which of them end a process."""

from __future__ import annotations

import signal

from .errors import OptionError

__all__ = ["DEADLY", "signal_number"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

DEADLY = frozenset(
    {
        signal.SIGABRT, signal.SIGBUS, signal.SIGINT, signal.SIGKILL, signal.SIGQUIT, signal.SIGSEGV, signal.SIGTERM,
    }
)  # fmt: skip
"""Signals that end a process of the cluster, at once or as soon as it has finished."""


def signal_number(which: int | str) -> signal.Signals:
    """Accept what people write for a signal: ``9``, ``signal.SIGKILL``, ``"SIGKILL"``, ``"KILL"``.

    :raises OptionError: there is no such signal.
    """
    try:
        if isinstance(which, int):
            return signal.Signals(which)
        return signal.Signals[which if which.startswith("SIG") else f"SIG{which}"]
    except (KeyError, ValueError):
        raise OptionError(f"unknown signal {which!r}: expected a number, or a name such as 'SIGTERM'") from None
