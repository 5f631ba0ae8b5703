"""The guard: a small process that outlives pytest by a moment, and ends what pytest can no longer end.

A cluster whose pytest has gone ends by itself: its primary reads end-of-file from the test. A primary that is
stopped, stuck, or of a stock class reads nothing. So one process, started with the first cluster in a session of its
own, reads from a pipe which clusters exist. The pipe's end, whatever killed pytest, is its signal: it gives the
clusters a moment, then kills what is left of their sessions, or has their tag, and removes their folders. With
nothing left to guard it just ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable

__all__ = ["Guard", "guard", "main"]

GRACE_SECONDS = 2.0


class Guard:
    """Pytest's end of the pipe; the process is started with the first cluster.  Several threads may start clusters."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._users = 0
        self._lock = threading.RLock()

    def watch(self, session: int, tag: str, folder: str) -> None:
        """A cluster exists from now on."""
        self._tell(f"+ {session} {tag} {folder}")

    def release(self, session: int) -> None:
        """It is gone, or is meant to stay."""
        self._tell(f"- {session}")

    def prepare(self) -> None:
        """Start the process, before there is anything to guard."""
        if self._pid != os.getpid():  # a fork's lock may be held by a thread that it does not have
            self._lock, self._process, self._pid = threading.RLock(), None, os.getpid()
        with self._lock:
            self._start()

    def _start(self) -> None:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )

    def acquire(self) -> None:
        """A run of pytest uses it; one inside another, as pytester makes them, shares it."""
        self._users += 1

    def drop(self) -> None:
        """A run has ended: with the last, the process ends, which has nothing to guard any more."""
        self._users -= 1
        if self._users:
            return
        process, self._process = self._process, None
        if process is not None and self._pid == os.getpid():
            process.communicate()

    def _tell(self, line: str) -> None:
        self.prepare()
        assert self._process is not None
        assert self._process.stdin is not None
        with self._lock, contextlib.suppress(OSError):  # somebody killed the guard; the primaries have their own leash
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()


guard = Guard()


def main(lines: Iterable[str]) -> None:
    """Read until pytest has gone, then clean up."""
    watched: dict[int, tuple[str, str]] = {}
    for line in lines:
        word, session, *rest = line.rstrip("\n").split(" ", 3)
        if word == "+":
            watched[int(session)] = (rest[0], rest[1])
        else:
            watched.pop(int(session), None)
    deadline = time.monotonic() + GRACE_SECONDS
    while any(_members(session, tag) for session, (tag, _) in watched.items()) and time.monotonic() < deadline:
        time.sleep(0.05)
    for number, (tag, folder) in watched.items():
        _end(number, tag)
        shutil.rmtree(folder, ignore_errors=True)


def _end(session: int, tag: str) -> None:
    deadline = time.monotonic() + GRACE_SECONDS
    while (pids := _members(session, tag)) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, 9)
        time.sleep(0.02)


def _members(session: int, tag: str) -> list[int]:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from leaks import cluster_members  # type: ignore[import-not-found]  # this file runs alone, beside it

    return [member.pid for member in cluster_members(session, tag)]


if __name__ == "__main__":
    main(sys.stdin)
