"""gunicorn's configuration in the measurements of survival: what ``conf.py`` notes, and more.

In BENCH_EVENTS: forks and the ends of reloads. In the file ``taken``: each connection that a worker has taken, as
``time pid port``; ours is the primary's word that the worker has taken it, stock's the worker's own, its first
line after ``accept``. ``after_boot.py`` runs in each worker that has booted.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

exec(
    (Path(__file__).parent / "conf.py").read_text()
)  # its handlers are this file's, so that HUP forgets and renews them

TAKEN = os.open("taken", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def take(pid: int, port: int) -> None:
    os.write(TAKEN, f"{time.monotonic()} {pid} {port}\n".encode())


if os.environ["BENCH_SIDE"] == "ours":
    from nodecluster_compat import cluster
    from nodecluster_compat.connections.offers import OfferingEnd

    cluster.setup_primary(status_file="status.json")
    cluster.on("fork", lambda worker: note("fork", worker.process.pid))  # noqa: F821
    cluster.on("reloaded", lambda report: note("reload", 0, state=report.state))  # noqa: F821
    cluster.on("reload_failed", lambda report: note("reload", 0, state=report.state))  # noqa: F821

    if not hasattr(OfferingEnd.taken, "stock"):
        stock: Any = OfferingEnd.taken

        def taken(self: Any) -> None:
            if self.offered is not None:
                take(cluster.workers[self.worker_id].process.pid, self.offered[1][1])
            stock(self)

        taken.stock = stock  # type: ignore[attr-defined]
        OfferingEnd.taken = taken  # type: ignore[method-assign]
else:

    def post_fork(server: Any, worker: Any) -> None:
        note("fork", worker.pid)  # noqa: F821


def post_worker_init(worker: Any) -> None:
    if os.environ["BENCH_SIDE"] != "ours":
        note("listening", worker.pid)  # noqa: F821
        handle = worker.handle

        def noted(listener: Any, client: Any, address: Any) -> None:
            take(os.getpid(), address[1])
            handle(listener, client, address)

        worker.handle = noted
    if Path("after_boot.py").exists():
        exec(Path("after_boot.py").read_text(), {"__name__": "after_boot"})
