"""Take the stacks of a cluster's processes, however stuck they are.

A signal makes each process write them to a file of its own (see :mod:`pytest_cluster.wire.files`); one that is stuck
outside Python never writes the line that ends a dump.  A process that is stopped is not asked: such signals queue, and
the nested handlers of many at once overflow the small stack that faulthandler has for them.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time

from ..waiting import poll
from ..wire.files import END_LINE, STACK_SIGNAL, stacks_path
from .leaks import is_stopped

__all__ = ["StackTaker"]

_STUCK_SECONDS = 1.5
_OVERTIME_SECONDS = 0.5  # a test whose time is over is when stacks are wanted


class StackTaker:
    """Takes the stacks of the processes of one cluster, for one thread at a time: see above what many signals do.

    :param folder: where the processes write.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._texts: dict[int, str] = {}
        self._taken_at = 0.0

    def take(self, pids: list[int]) -> dict[int, str]:
        """Return the stacks of each process, as far as it could tell; a process without a file is not asked.

        Who had to wait for another thread gets what that has got.
        """
        asked_at = time.monotonic()
        with self._lock:
            if self._taken_at < asked_at or not self._texts.keys() >= set(pids):
                self._texts = _collect(self._folder, pids)
                self._taken_at = time.monotonic()
            return self._texts


def _collect(folder: str, pids: list[int]) -> dict[int, str]:
    before = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            size = os.path.getsize(stacks_path(folder, pid))
            if not is_stopped(pid):
                os.kill(pid, STACK_SIGNAL)
            before[pid] = size
    texts: dict[int, str] = {}

    def all_told() -> bool:
        for pid, offset in before.items():
            texts[pid] = _written_since(stacks_path(folder, pid), offset)
        return all(END_LINE in text or is_stopped(pid) for pid, text in texts.items())

    poll(all_told, _STUCK_SECONDS, at_least=_OVERTIME_SECONDS)
    return {pid: _readable(text) for pid, text in texts.items()}


def _written_since(path: str, offset: int) -> str:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        file.seek(offset)
        return file.read().decode(errors="replace")
    return ""


def _readable(text: str) -> str:
    if END_LINE in text:
        return text.partition(END_LINE)[0].rstrip()
    return f"{text.rstrip()}\n(no greenlets: the process runs no Python now)" if text else "(no answer: it is stopped)"
