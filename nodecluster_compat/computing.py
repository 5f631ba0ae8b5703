"""Whether a worker computes right now, so that it could not take a connection.

A worker does not say so: it would have to, twice for every turn of its loop.  The kernel knows.  Who has used a
millisecond of CPU since it was last found at rest is *suspicious* (an ordinary request takes a fifth of that), and only
then it is looked up whether its main thread is running or about to.  So a look costs one system call where requests are
small, and there a worker that is merely late, on a machine that is short of processors, keeps its turn.

Who is blocked without using CPU is not found: the kernel does not tell a wait in the loop from any other.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .worker_handle import WorkerHandle

__all__ = ["Computing"]

_SUSPICIOUS_SECONDS: Final = 0.001
_PROCESS_CLOCK: Final = 2  # CPUCLOCK_SCHED in the lowest three bits, the inverted pid above: clock_getcpuclockid(3)
_STAT_BYTES: Final = 256  # the pid, a name of at most 64 bytes in brackets, the state


class Computing:
    """Says of the workers of one primary who computes.

    Args:
        workers: the living ones, by id.
    """

    __slots__ = ("_workers",)

    def __init__(self, workers: Mapping[int, WorkerHandle]) -> None:
        self._workers = workers

    def __call__(self, worker_id: int) -> bool:
        """Whether the worker computes; one that is gone, or that the kernel says nothing of, does not."""
        worker = self._workers.get(worker_id)
        pid = None if worker is None else worker.process.pid
        if worker is None or pid is None:
            return False
        try:
            used = time.clock_gettime(~pid << 3 | _PROCESS_CLOCK)
            if used - worker.cpu_at_rest > _SUSPICIOUS_SECONDS and _runs(pid):
                return True
        except OSError:
            return False
        worker.cpu_at_rest = used
        return False


def _runs(pid: int) -> bool:
    with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
        _, _, behind_name = file.read(_STAT_BYTES).rpartition(b") ")
    return behind_name.startswith(b"R")
