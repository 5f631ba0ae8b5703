"""Asking a process for its stacks, however stuck it is: the words that both sides need.

A signal makes the process write all of its threads to a file (``faulthandler``, which needs no Python to run) and
then, as soon as Python does run, its greenlets. A line ends each dump; a process that is stuck outside Python never
writes that line.

A process that is stopped is not asked: signals of this kind queue, and the handlers of many at once, one inside the
other, overflow the small stack that faulthandler has for them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

from ..waiting import poll
from .leaks import is_stopped

__all__ = ["END_LINE", "STACK_SIGNAL", "StackTaker", "stacks_path"]

STACK_SIGNAL = signal.SIGRTMIN + 5
END_LINE = "(end of the dump)"

_STUCK_SECONDS = 1.5
_OVERTIME_SECONDS = 0.5  # a test whose time is over is when stacks are wanted


def stacks_path(folder: str, pid: int) -> str:
    """Return where the process *pid* writes."""
    return os.path.join(folder, f"stacks-{pid}")


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
