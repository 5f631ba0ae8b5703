"""What the tests of the recipes share: the page's programs, servers that Debian brings, a collector of telemetry."""

from __future__ import annotations

import glob
import http.server
import os
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from pytest_cluster import Cluster

__all__ = ["PATIENCE", "PROGRAMS", "Collector", "Start", "program"]

PAGE: Final = Path(__file__).parents[2] / "docs" / "recipes.md"
PROGRAMS: Final = dict(re.findall(r'(?ms)^```python title="([^"]+)"\n(.*?)^```$', PAGE.read_text()))
"""Every program of the page, by its title."""

PATIENCE: Final = 30.0

Start = Callable[..., Cluster]
"""Starts the recipe of a name."""


def program(name: str) -> str:
    """The path of a server's program, wherever Debian has it."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
    found = shutil.which(name, path=path) or next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))), None)
    if found is None:
        pytest.skip(f"this machine has no {name}: apt-get install redis-server postgresql nginx haproxy")
    return found


class Collector:
    """An HTTP server that keeps what is posted to it, as Sentry's and OpenTelemetry's do."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, bytes]] = []
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.posted.append((self.path, body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
