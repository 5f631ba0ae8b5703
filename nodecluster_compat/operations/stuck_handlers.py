"""Leave out the log handlers that a thread is stuck in, before Python ends: ``logging.shutdown`` waits for their locks.

It takes the lock of every handler that there is, to flush and close it.  A thread that waits in one, for a syslog that
nobody reads or a disk that hangs, has that lock for as long as it waits: for ever, perhaps.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

__all__ = ["known_handlers", "leave_out_stuck_handlers"]

_known: Final[list[Any]] = logging._handlerList  # type: ignore[attr-defined]  # what shutdown goes through


def known_handlers() -> list[logging.Handler]:
    """Return all handlers of this process that ``logging`` knows."""
    return [one for one in (known() for known in list(_known)) if one is not None]


def leave_out_stuck_handlers(seconds: float) -> list[logging.Handler]:
    """Make ``logging.shutdown`` leave out the handlers whose lock cannot be had; return them.

    Args:
        seconds: that are waited for all of them together.
    """
    deadline = time.monotonic() + seconds
    stuck = [one for one in known_handlers() if not _can_be_had(one, deadline)]
    _known[:] = [known for known in _known if known() not in stuck]
    return stuck


def _can_be_had(handler: logging.Handler, deadline: float) -> bool:
    lock = handler.lock
    if lock is None:
        return True
    can_be_had = lock.acquire(timeout=max(deadline - time.monotonic(), 0.0))
    if can_be_had:
        lock.release()
    return can_be_had
