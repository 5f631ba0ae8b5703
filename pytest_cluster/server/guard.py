"""Kill what is left of the clusters when pytest has died: the guard, a process that outlives it by a moment.

A cluster whose pytest has died ends by itself: its primary reads end-of-file from the test.  A primary that is stopped,
stuck, or of a stock class does not.  So one process, started with the first cluster in a session of its own, reads from
a pipe which clusters there are: first the tag and the folder, then the number of the session, then each file at which
the workers listen.  The pipe ends with pytest, whatever has killed it.  The guard then gives the clusters a moment,
kills what is left in their sessions or with their tag, and removes their folders and sockets.  It just ends when no
cluster is left.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import ModuleType

__all__ = ["Guard", "guard", "main"]

GRACE_SECONDS = 2.0


class Guard:
    """Pytest's end of the pipe; the process is started with the first cluster.  Several threads may start clusters."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._users = 0
        self._lock = threading.RLock()

    def announce(self, tag: str, folder: str) -> None:
        """Guard a cluster that is about to be started."""
        self._tell(f"+ {tag} {folder}")

    def watch(self, tag: str, session: int) -> None:
        """Note the session of a cluster that was started."""
        self._tell(f"= {tag} {session}")

    def note_socket(self, tag: str, path: str) -> None:
        """Note a socket file at which a cluster's workers listen."""
        if self._process is not None:  # as long as the cluster is watched: no process is started for a last word
            self._tell(f"@ {tag} {os.fsencode(path).hex()}")

    def release(self, tag: str) -> None:
        """Guard a cluster no more: it is gone, or is meant to stay."""
        self._tell(f"- {tag}")

    def _prepare(self) -> None:
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
        """Count a run of pytest that uses the guard; one inside another, as pytester makes them, shares it."""
        self._users += 1

    def drop(self) -> None:
        """Count out a run that has ended, and end the process with the last."""
        self._users -= 1
        if self._users:
            return
        process, self._process = self._process, None
        if process is not None and self._pid == os.getpid():
            process.communicate()

    def _tell(self, line: str) -> None:
        self._prepare()
        assert self._process is not None
        assert self._process.stdin is not None
        with self._lock, contextlib.suppress(OSError):  # somebody killed the guard; the primaries have their own leash
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()


guard: Guard = Guard()


@dataclass
class _GuardedCluster:
    """A cluster that the guard is to clean up."""

    tag: str
    folder: str
    session: int | None = None
    sockets: list[str] = field(default_factory=list)


def main(lines: Iterable[str]) -> None:
    """Read until pytest has gone, then clean up."""
    leaks, stale = _standalone_modules()  # now: at the end the folder that holds them may be gone as well
    clusters = _left_at_the_end(lines)
    deadline = time.monotonic() + GRACE_SECONDS
    for one in clusters:
        leaks.wait_cluster_empty(one.session, one.tag, max(0.0, deadline - time.monotonic()))
    for one in clusters:
        leaks.kill_cluster(one.session, one.tag, GRACE_SECONDS)
        for path in one.sockets:
            stale.remove_stale_socket(path)
        shutil.rmtree(one.folder, ignore_errors=True)


def _left_at_the_end(lines: Iterable[str]) -> list[_GuardedCluster]:
    clusters: dict[str, _GuardedCluster] = {}
    for line in lines:
        word, tag, *rest = line.rstrip("\n").split(" ", 2)
        if word == "+":
            clusters[tag] = _GuardedCluster(tag, rest[0])
        elif word == "=":
            clusters[tag].session = int(rest[0])
        elif word == "@":
            clusters[tag].sockets.append(os.fsdecode(bytes.fromhex(rest[0])))
        else:
            clusters.pop(tag, None)
    return list(clusters.values())


def _standalone_modules() -> tuple[ModuleType, ModuleType]:
    """Import ``leaks`` and ``stale`` from beside this file, which runs alone, outside of its package."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    return importlib.import_module("leaks"), importlib.import_module("stale")


if __name__ == "__main__":
    main(sys.stdin)
