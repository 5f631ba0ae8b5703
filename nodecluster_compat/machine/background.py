"""Run work that a slow disk may hold up on a thread: write a file, scan a folder.

Jobs are done one after another.  One that waits is replaced by a newer one of its kind, so a disk that hangs costs one
job of each kind, whatever happens meanwhile.  The thread begins with the first job.
"""

from __future__ import annotations

import _thread  # noqa: F401 - ``original`` looks for it
import os
import select  # noqa: F401 - ``original`` looks for it
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from ..base.loop import original
from .helper_thread import HelperThread

__all__ = ["Background"]

_PATIENCE: Final = 0.05  # at a fork; a job that takes longer goes on beside it
_POLLIN: Final = 0x001  # spelled out because gevent removes it from the select module


class Background:
    """Jobs on a thread of their own.

    Args:
        failed: called, on the thread, with what a job has raised; or with why there is no thread, which is tried again
            with the next job.
    """

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self._jobs: dict[str, Callable[[], object]] = {}
        self._lock = original("_thread", "allocate_lock")()
        self._wakes = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._is_over = False
        self._thread = HelperThread("background", self._work, self._wake, failed, _PATIENCE)

    @property
    def is_running(self) -> bool:
        """Whether there is a thread; also after :meth:`finish`, as long as its last job takes."""
        return self._thread.is_running

    def do(self, kind: str, job: Callable[[], object]) -> None:
        """Do this, behind what waits; one of this kind that waits is not done any more.  Nothing is, once finished.

        Args:
            kind: of job.
            job: must not log, nor wait for anything but the disk.
        """
        if self._is_over:
            return
        with self._lock:
            self._jobs.pop(kind, None)
            self._jobs[kind] = job
        self._thread.start()
        self._wake()

    def finish(self, seconds: float) -> bool:
        """Wait up to ``seconds`` until everything is done, then end; return whether it is."""
        if not self._thread.is_running or self._is_over:
            return self._is_over or not self._jobs
        done = self._end_of_jobs()
        self._is_over = True
        is_done: bool = done.acquire(timeout=seconds)
        has_ended, deadline = self._thread.stop(), time.monotonic() + seconds
        while is_done and not has_ended and time.monotonic() < deadline:
            has_ended = self._thread.stop()  # it has nothing more to do, but may wait for a processor
        return has_ended and is_done

    def flush(self, seconds: float) -> bool:
        """Wait up to ``seconds`` until everything is done; return whether it is."""
        if self._is_over:
            return not self._thread.is_running
        is_done: bool = self._end_of_jobs().acquire(timeout=seconds)
        return is_done

    def _end_of_jobs(self) -> Any:  # noqa: ANN401 - the type of a lock has no public name before 3.13
        """Return a lock that is released once everything is done."""
        done = original("_thread", "allocate_lock")()
        done.acquire()
        self.do(f"end {id(done)}", done.release)
        return done

    def abandon(self) -> None:
        """In a forked child: give back the descriptor, and do nothing any more."""
        self._is_over = True
        os.close(self._wakes)

    def _wake(self) -> None:
        os.eventfd_write(self._wakes, 1)

    def _work(self) -> None:
        while not self._thread.is_stopping:
            job = self._next()
            if job is None:
                self._rest()
                continue
            try:
                job()
            except Exception as error:  # noqa: BLE001 - the next job has nothing to do with it
                self._failed(error)

    def _next(self) -> Callable[[], object] | None:
        with self._lock:
            kind = next(iter(self._jobs), None)
            return None if kind is None else self._jobs.pop(kind)

    def _rest(self) -> None:
        poll = original("select", "poll")()
        poll.register(self._wakes, _POLLIN)
        poll.poll()
        with suppress(BlockingIOError):
            os.eventfd_read(self._wakes)
