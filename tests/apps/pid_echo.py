"""Says who answers: the process, and the worker where there is a cluster."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from nodecluster_compat import cluster


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    worker = cluster.worker
    body = json.dumps({"pid": os.getpid(), "worker": None if worker is None else worker.id}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
