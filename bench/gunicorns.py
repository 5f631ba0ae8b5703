"""The gunicorns of a measurement: ours and stock, in the interpreter that runs it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from sessions import HERE, BenchError, Session, free_port

__all__ = ["OURS", "STOCK", "BenchError", "Server", "Side", "free_port", "gunicorn_command"]


@dataclass(frozen=True)
class Side:
    """One of the two servers that are compared."""

    name: str
    worker_class: str


OURS = Side("ours", "nodecluster_compat.Worker")
STOCK = Side("stock", "gevent")


class Server(Session):
    """A gunicorn in a session of its own: `with Server(OURS, workers=2) as server: ...`."""

    def __init__(self, side: Side, workers: int, *options: str, app: str = "app:app") -> None:
        self.side = side
        self.port = free_port()
        arguments = [
            *gunicorn_command(),
            *("-k", side.worker_class, "-w", str(workers), "-b", f"127.0.0.1:{self.port}"),
            *("-c", str(HERE / "apps" / "conf.py"), *options, app),
        ]
        environment = {
            "PYTHONPATH": os.pathsep.join([str(HERE / "apps"), str(HERE.parent)]),
            "BENCH_SIDE": side.name,
        }
        super().__init__(arguments, environment, workers)


def gunicorn_command() -> list[str]:
    """The stock `gunicorn` of this interpreter's environment."""
    script = Path(sys.executable).with_name("gunicorn")
    return [str(script)] if script.exists() else [sys.executable, "-m", "gunicorn"]
