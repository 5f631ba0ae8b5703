"""Find out whether the kernel has killed a process of this control group for want of memory.

The kernel counts such kills for each control group: ``memory.events`` (version 2), ``memory.oom_control`` (version 1).
A worker that SIGKILL has ended, and that nobody here has killed, was killed by the kernel if the count has just risen.
A rise is good for one worker: two that end, and one kill that was counted, are one of each kind.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

__all__ = ["KernelKills"]

_FRESH_SECONDS: Final = 5.0  # a rise is noticed within a second, and may be that of a process which no worker is
_COUNT: Final = b"oom_kill "


class KernelKills:
    """The kills that the kernel has counted.

    Args:
        now: the time, in seconds of the monotonic clock.
        root: where the file systems of control groups are mounted.
        own: the file that says which groups this process is in.
    """

    def __init__(self, now: float, root: str = "/sys/fs/cgroup", own: str = "/proc/self/cgroup") -> None:
        self._path = _path_of_counter(root, own)
        self._count = self._read()
        self._rises: list[float] = []
        self.note(now)

    def note(self, now: float) -> None:
        """Look at the count; called every now and then."""
        count = self._read()
        self._rises = [rise for rise in self._rises if now - rise < _FRESH_SECONDS]
        self._rises += [now] * min(max(0, count - self._count), 64)
        self._count = count

    def take(self, now: float) -> bool:
        """Return whether there was a kill just now; each is told once."""
        self.note(now)
        return bool(self._rises and self._rises.pop(0))

    def _read(self) -> int:
        if self._path is None:
            return 0
        with suppress(OSError, ValueError, IndexError), open(self._path, "rb") as file:
            for line in file:
                if line.startswith(_COUNT):
                    return int(line.split()[1])
        return 0


def _path_of_counter(root: str, own: str) -> str | None:
    """Return the file of this process's group, ``None`` where there is none to be read."""
    with suppress(OSError, ValueError), open(own, encoding="utf-8", errors="surrogateescape") as groups:
        for line in groups:
            _, controllers, group = line.rstrip("\n").split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            folder, name = ("memory", "memory.oom_control") if controllers else ("", "memory.events")
            # In a container the path may be one that only the host sees: the group is the root then.
            for path in (os.path.join(root, folder, group.strip("/"), name), os.path.join(root, folder, name)):
                if os.access(path, os.R_OK):
                    return path
    return None
