"""gunicorn's configuration in every measurement: it notes each step of a worker's life in BENCH_EVENTS.

The handlers must not be called like a gunicorn hook (`on_exit` is one).
One JSON object a line: `time` (the monotonic clock, which all processes of a machine share), `event`, `pid`.
With BENCH_PHASES also how far a worker has got, and the CPU time that it has used (`cpu`).
"""

from __future__ import annotations

import json
import os
import time
from typing import Any


def note(event: str, pid: int, **more: object) -> None:
    """Append one line; O_APPEND keeps the lines of several processes apart."""
    line = json.dumps({"time": time.monotonic(), "event": event, "pid": pid, **more})
    with open(os.environ["BENCH_EVENTS"], "a", encoding="utf-8") as events:
        events.write(line + "\n")


def pre_fork(server: Any, worker: Any) -> None:
    note("forking", 0)


if "BENCH_PHASES" in os.environ:

    def post_fork(server: Any, worker: Any) -> None:
        note("forked", worker.pid, cpu=time.process_time())


if os.environ["BENCH_SIDE"] == "ours":
    from nodecluster_compat import cluster

    @cluster.on("listening")
    def note_listening(worker: Any, address: Any) -> None:
        note("listening", worker.process.pid)

    if "BENCH_PHASES" in os.environ:

        def post_worker_init(worker: Any) -> None:
            note("booted", worker.pid, cpu=time.process_time())

    @cluster.on("disconnect")
    def note_disconnect(worker: Any) -> None:
        note("disconnect", worker.process.pid)

    @cluster.on("exit")
    def note_exit(worker: Any, code: int | None, signal: str | None) -> None:
        note("exit", worker.process.pid, code=code, signal=signal)

    @cluster.on("message")
    def echo(worker: Any, message: Any, handle: object = None) -> None:
        worker.send(message)

else:

    def post_worker_init(worker: Any) -> None:
        note("listening", worker.pid, cpu=time.process_time())

    def child_exit(server: Any, worker: Any) -> None:
        note("exit", worker.pid)


if "BENCH_RECYCLED_AFTER" in os.environ:
    from nodecluster_compat import cluster

    cluster.setup_primary(max_worker_requests=int(os.environ["BENCH_RECYCLED_AFTER"]))

if "BENCH_SETTINGS" in os.environ:
    from nodecluster_compat import cluster

    cluster.setup_primary(**json.loads(os.environ["BENCH_SETTINGS"]))
