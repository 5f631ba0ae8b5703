"""The application of the measurements of survival, as an operator deploys it: files beside the server say what it does.

``version`` is what it answers, ``at_import.py`` runs when it is imported. GET /sleep/<s> answers after <s> seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


def content(name: str) -> str:
    path = Path(name)
    return path.read_text() if path.exists() else ""


VERSION = content("version").strip() or "0"
exec(content("at_import.py"), {"__name__": "at_import"})


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path.startswith("/sleep/"):
        time.sleep(float(path.rpartition("/")[2]))
    body = VERSION.encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
