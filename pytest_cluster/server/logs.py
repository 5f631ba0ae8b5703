"""Read the output of a cluster's processes: the primary's file, and one for each worker.

They can be read while the processes run, after their end and, kept in memory up to a bound, after the folder is gone.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence

from ..wire.files import server_log_path, worker_log_path

__all__ = ["LogFolder", "ProcessLog"]

_KEPT_BYTES = 1024 * 1024
_TAIL_CHARACTERS = 6000
_TAIL_LINES = 40
_WORKER_FILE = re.compile(r"worker-(\d+)-(\d+)\.log\Z")


class ProcessLog:
    """Stdout and stderr of one process."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._start = 0
        self._kept: bytes | None = None

    @property
    def text(self) -> str:
        """The whole log."""
        return self._read(0)

    def tail(self, lines: int = 50) -> str:
        """The last *lines* lines."""
        return "\n".join(self.text.splitlines()[-lines:])

    def since_test_start(self) -> str:
        """Return what was written since the test began; the cluster may be older than the test."""
        return self._read(self._start)

    def mark(self) -> None:
        """Note where the log ends when a test begins."""
        with contextlib.suppress(OSError):
            self._start = os.path.getsize(self.path)

    def keep(self) -> None:
        """Keep the log in memory: the file is about to be removed."""
        data = self._file()
        dropped = max(0, len(data) - _KEPT_BYTES)
        self._kept = data[dropped:]
        self._start = max(0, self._start - dropped)

    def _read(self, start: int) -> str:
        data = self._kept if self._kept is not None else self._file()
        return data[start:].decode(errors="replace")

    def _file(self) -> bytes:
        with contextlib.suppress(FileNotFoundError), open(self.path, "rb") as file:
            return file.read()
        return b""

    def __str__(self) -> str:
        return self.text


class LogFolder:
    """The logs of one cluster."""

    def __init__(self, folder: str) -> None:
        self.primary: ProcessLog = ProcessLog(server_log_path(folder))
        self._folder = folder
        self._workers: dict[tuple[int, int], ProcessLog] = {}

    def worker(self, worker: int, pid: int) -> ProcessLog:
        """Return the log of a worker."""
        self._find_files()
        path = worker_log_path(self._folder, worker, pid)
        return self._workers.setdefault((worker, pid), ProcessLog(path))

    @property
    def everything(self) -> str:
        """The primary's log, then each worker's, by id."""
        self._find_files()
        every = [self.primary, *(self._workers[key] for key in sorted(self._workers))]
        return "".join(one.text for one in every)

    def of_workers(self) -> dict[int, ProcessLog]:
        """Return the log of each worker that has one; of two with one id, the later."""
        self._find_files()
        return {worker: self._workers[worker, pid] for worker, pid in sorted(self._workers)}

    def tail(self, ended: Sequence[int]) -> str:
        """Return the ends of two logs, short enough for a message: the primary's, and the worker's that ended last.

        Of workers that all live it is the youngest's.

        :param ended: the workers that have ended, in order.
        """
        workers = self.of_workers()
        gone = [worker for worker in ended if worker in workers]
        shown = [(f"worker {one}:\n", workers[one].text) for one in (gone or sorted(workers))[-1:]]
        parts = [("", self.primary.text), *shown]
        return "\n".join(title + _end_of(text) for title, text in parts if text.strip())

    def mark(self) -> None:
        """Note where the log ends when a test begins."""
        self._find_files()
        for one in (self.primary, *self._workers.values()):
            one.mark()

    def keep(self) -> None:
        """Keep all logs in memory: the folder is about to be removed."""
        self._find_files()
        for one in (self.primary, *self._workers.values()):
            one.keep()

    def _find_files(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._folder):
                found = _WORKER_FILE.match(name)
                if found is not None:
                    key = int(found[1]), int(found[2])
                    self._workers.setdefault(key, ProcessLog(os.path.join(self._folder, name)))


def _end_of(text: str) -> str:
    return "\n".join(text[-_TAIL_CHARACTERS:].splitlines()[-_TAIL_LINES:])
