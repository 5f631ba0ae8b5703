"""Take memory, disk and time away from a process: limits, a full or slow disk, a clock that jumps."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from importlib.util import find_spec

from ..errors import MissingLibrary, OptionError
from ..options.checks import check_count, check_seconds
from ..processes.worker import WorkerProxy
from ..wire.records import CLOCK_STEP, DISK_STEP, Disk, Jump
from .connection_faults import ConnectionFaults
from .injector import Target, check_target
from .memory_groups import memory_group

__all__ = ["MachineFaults"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

MOST_BYTES = 1 << 50


class MachineFaults(ConnectionFaults):
    """The faults of what the machine gives a process."""

    # Memory

    @contextlib.contextmanager
    def memory_limit(self, target: Target, spare: int = 0) -> Iterator[None]:
        """Leave a process only *spare* bytes of memory beyond what it has mapped, for the time of a block.

        What wants more gets a ``MemoryError`` (``RLIMIT_AS``); the kernel ends nobody.  See :meth:`memory_group`.

        :raises OptionError: that is no number of bytes.
        """
        check_target(target)
        check_count("memory_limit(spare)", spare, 0, MOST_BYTES)
        target.check_alive()
        with target.reached(), open(f"/proc/{target.pid}/statm", encoding="ascii") as statm:
            mapped = int(statm.read().split()[0]) * resource.getpagesize()
        with self._limited(target, f"memory_limit({spare}) of", resource.RLIMIT_AS, mapped + spare):
            yield

    @contextlib.contextmanager
    def memory_group(self, target: Target, most: int) -> Iterator[None]:
        """Move a process into a control group that may use *most* bytes, for the time of a block.

        A process that uses more is ended by the kernel (SIGKILL), as in a container that is out of memory.

        :raises FaultError: this machine lets nobody make such a group; the sentence says why.
        :raises OptionError: that is no number of bytes.
        """
        check_target(target)
        check_count("memory_group(most)", most, 1, MOST_BYTES)
        target.check_alive()
        with contextlib.ExitStack() as stack:
            group = memory_group(most)
            stack.callback(group.remove)
            stack.enter_context(self._lasting(target, f"memory_group({most}) of", group.release))
            with target.reached():
                group.take(target.pid)
            yield

    # The disk

    @contextlib.contextmanager
    def file_limit(self, target: Target, most: int = 0) -> Iterator[None]:
        """Let a process write no file beyond *most* bytes, for the time of a block; what it has written stays.

        The kernel holds it (``RLIMIT_FSIZE``), for code in C as well: ``OSError`` with ``EFBIG``, in SQLite
        ``disk I/O error``.  It is one of all files: also of logs.

        :raises OptionError: that is no number of bytes.
        """
        check_target(target)
        check_count("file_limit(most)", most, 0, MOST_BYTES)
        with self._limited(target, f"file_limit({most}) of", resource.RLIMIT_FSIZE, most):
            yield

    @contextlib.contextmanager
    def full_disk(
        self, folder: str | os.PathLike[str] = "/", *, worker: WorkerProxy | int | None = None
    ) -> Iterator[None]:
        """Let the disk be full for files in *folder* that are opened in a block: writing raises ``ENOSPC``.

        What Python opens and writes (``open``, ``os.write``, ``os.mkdir``); for code in C there is :meth:`file_limit`.

        :raises OptionError: it is no folder.
        """
        with self._armed(DISK_STEP, Disk(_folder(folder), full=True), worker, f"full disk at {folder} for"):
            yield

    def slow_disk(
        self, seconds: float, folder: str | os.PathLike[str] = "/", *, worker: WorkerProxy | int | None = None
    ) -> None:
        """Let each operation on files in *folder* that are opened from now on take longer, until :meth:`undo`.

        It holds up the whole worker, as a slow disk does, or on threads its thread.

        :param seconds: how much longer.
        :raises OptionError: it is no folder, or no time.
        """
        check_seconds("slow_disk(seconds)", seconds)
        what = f"disk slow by {seconds:g} s at {folder} for"
        self._arm(DISK_STEP, Disk(_folder(folder), seconds), worker, what)

    # The clock

    @contextlib.contextmanager
    def clock_jump(self, seconds: float, *, worker: WorkerProxy | int | None = None) -> Iterator[None]:
        """Set the wall clock of workers before (or, below 0, after) by *seconds*, for the time of a block.

        ``time.time``, ``datetime.now`` and what reads them; ``time.monotonic`` goes on.  ``time-machine`` does it.

        :raises OptionError: that is no number of seconds.
        :raises MissingLibrary: ``time-machine`` is not installed.
        """
        _check_jump(seconds)
        if find_spec("time_machine") is None:
            raise MissingLibrary("a clock that jumps", "time-machine")
        with self._armed(CLOCK_STEP, Jump(float(seconds)), worker, f"clock set by {seconds:+g} s in"):
            yield

    @contextlib.contextmanager
    def _limited(self, target: Target, what: str, which: int, limit: int) -> Iterator[None]:
        target.check_alive()
        pid = target.pid
        with target.reached():
            before = resource.prlimit(pid, which)

        def restore() -> None:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, which, before)

        with self._lasting(target, what, restore):
            with target.reached():
                resource.prlimit(pid, which, (limit, before[1]))
            yield


MOST_JUMP = 30 * 366 * 86400.0
"""Thirty years: a clock that is further off is a mistake."""


def _check_jump(seconds: object) -> None:
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not -MOST_JUMP < seconds < MOST_JUMP:  # type: ignore[operator]
        raise OptionError(f"clock_jump(seconds): expected a number of seconds, got {seconds!r:.100}")


def _folder(folder: object) -> str:
    """Return a folder as the beginning of the paths of what is in it."""
    if not isinstance(folder, str | bytes | os.PathLike) or not os.path.isdir(folder):
        raise OptionError(f"expected the path of a folder that exists, got {folder!r:.100}")
    return os.path.realpath(os.fsdecode(folder)).rstrip(os.sep) + os.sep
