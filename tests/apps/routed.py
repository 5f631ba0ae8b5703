"""Say who serves, and what is known of the client; make sessions; ``/held`` waits for the file ``release``."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from nodecluster_compat import cluster


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    assert cluster.worker is not None
    body = environ["wsgi.input"].read()
    told = {
        "worker": cluster.worker.id,
        "path": environ["PATH_INFO"],
        "client": environ.get("REMOTE_ADDR", ""),
        "scheme": environ["wsgi.url_scheme"],
        "sent": len(body),
        "session": environ.get("HTTP_MCP_SESSION_ID"),
    }
    if environ["PATH_INFO"] == "/slow":
        time.sleep(0.3)
    if environ["PATH_INFO"] == "/held":
        os.write(1, b'{"told": "held"}\n')
        while not os.path.exists("release"):
            time.sleep(0.02)
    if environ["PATH_INFO"] == "/large":
        told["filler"] = "x" * 32 * 1024 * 1024
    answer = json.dumps(told).encode()
    fields = [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))]
    if environ["PATH_INFO"] == "/begin":
        fields.append(("Mcp-Session-Id", "made"))
    start_response("200 OK", fields)
    return [answer]
