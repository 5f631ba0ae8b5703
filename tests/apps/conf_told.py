"""Says every event of supervision as one line of JSON in the server's log: the text of a ``gunicorn.conf.py``."""

import dataclasses
import json
import os
from typing import Any

from nodecluster_compat import cluster

graceful_timeout = 8


def say(**facts: Any) -> None:
    """Write one line of JSON to the server's log."""
    os.write(1, json.dumps(facts, default=repr).encode() + b"\n")


def plain(value: Any) -> Any:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


for name in ("reloaded", "reload_failed", "degraded", "recovered", "upgrade_ready", "upgrade_failed"):
    cluster.on(name, lambda told, name=name: say(told=name, what=plain(told)))

cluster.on("fork", lambda worker: say(told="fork", worker=worker.id))
cluster.on("exit", lambda worker, code, signal: say(told="exit", worker=worker.id, code=code, signal=signal))


def post_worker_init(worker: Any) -> None:
    if os.path.exists("after_boot.py"):
        with open("after_boot.py") as file:
            exec(file.read(), {"__name__": "after_boot", "worker": worker})


if os.path.exists("second.py"):
    with open("second.py") as file:
        exec(file.read())
