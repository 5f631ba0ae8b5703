"""End a worker when its primary dies (``PR_SET_PDEATHSIG``), also one that does not turn its loop.

A worker knows of its primary's end by end-of-file on its channel, which its loop reads.  One that
computes, imports a large module or waits in a C call reads nothing, and would live on until it comes back.  So the
kernel sends it a signal as well (``PR_SET_PDEATHSIG``), and the handler sets an alarm that nothing in the process can
catch: whatever has not ended in an orderly way by then is ended by the kernel.

The signal ends a process that has no handler yet: one that was just forked.  It is lost when a process changes its
user, so it is asked for twice, after the fork and when the handler is there.  Not reached: a process that is stopped,
or inside a C function that returns to the interpreter late.

The C extension asks the kernel by itself (``native/parent_death.c``); Python does by ctypes, a quarter of a mebibyte.

Rejected: ``SIGKILL`` itself, which would leave the application no moment for its ``disconnect`` handlers.
"""

from __future__ import annotations

import os
import signal as signals
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ...base.native import in_force
from ...machine.last_words import limit_last_words
from ...machine.real_time_signals import PARENT_DEATH_SIGNAL

if TYPE_CHECKING:
    from ...base.native import Choice

__all__ = ["ask_for_signal", "asker", "on_parent_death"]

_PR_SET_PDEATHSIG: Final = 1
_LAST_WORDS_SECONDS: Final = 0.75


def asker(choice: Choice) -> Callable[[int], None]:
    """Return what asks the kernel for a signal: C or Python."""
    if choice.module is not None:
        return choice.module.ask_for_death_signal
    from ctypes import CDLL

    prctl = CDLL(None).prctl

    def ask(number: int) -> None:
        prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)

    return ask


_ask: Final = asker(in_force())


def ask_for_signal(parent: int) -> None:
    """In a forked child: be told of the end of ``parent``; do not survive it when it has ended already."""
    _ask(int(PARENT_DEATH_SIGNAL))
    if os.getppid() != parent:
        os._exit(0)


def on_parent_death() -> None:
    """In a worker: from now on its parent's end leaves it a moment for what it has to say."""
    signals.signal(PARENT_DEATH_SIGNAL, _set_alarm)
    ask_for_signal(os.getppid())


def _set_alarm(*_: object) -> None:
    limit_last_words(_LAST_WORDS_SECONDS)
