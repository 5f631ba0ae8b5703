"""CPU time that a server has used so far, and that programs which are no part of the measurement have."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

import procfs

from comparison.contestants import HttpServer


@dataclass(frozen=True)
class Usage:
    """Seconds.

    Attributes:
        moment: by the clock.
        tree: of CPU that the server's whole process tree has used.
        primary: of CPU that its primary alone has used.
        others: of CPU that everything but it and this script has used.
    """

    moment: float
    tree: float
    primary: float
    others: float

    def __sub__(self, before: Usage) -> Usage:
        return Usage(
            self.moment - before.moment,
            self.tree - before.tree,
            self.primary - before.primary,
            self.others - before.others,
        )

    @property
    def disturbance(self) -> float:
        """Cores that other programs kept busy, of a difference."""
        return max(0.0, self.others / self.moment)


def usage_of(server: HttpServer) -> Usage:
    """Until now; what has ended of this script's children counts as this script."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = time.process_time() + children.ru_utime + children.ru_stime
    tree = procfs.exact_session_cpu_seconds(server.pid)
    others = procfs.busy_cpu_seconds() - own - tree
    return Usage(time.monotonic(), tree, procfs.exact_cpu_seconds(server.pid), others)
