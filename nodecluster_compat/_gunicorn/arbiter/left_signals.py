"""Give back the signals that a worker handles, in a process that it forked: there they mean what they do by default.

Otherwise ``Process.terminate()`` of ``multiprocessing``, and every pool with it, would wait for a child that takes
SIGTERM for the request to drain.
"""

from __future__ import annotations

import faulthandler
import signal as signals

from gunicorn.workers.base import Worker

from ...machine.real_time_signals import THREADS_SIGNAL

__all__ = ["leave_signals"]

_OURS = ("gunicorn.", "nodecluster_compat.")


def leave_signals() -> None:
    """Handle none of the worker's signals; the application's own handlers stay."""
    faulthandler.unregister(THREADS_SIGNAL)
    for number in signals.valid_signals():
        handler = signals.getsignal(number)
        is_workers = isinstance(getattr(handler, "__self__", None), Worker)
        if is_workers or str(getattr(handler, "__module__", "")).startswith(_OURS):
            signals.signal(number, signals.SIG_DFL)
