"""An application as an operator deploys it: what it does is in files beside the server, which a test changes.

``version`` is what it answers; ``at_import`` and ``after_boot`` are source that runs then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any


def content(name: str) -> str:
    if not os.path.exists(name):
        return ""
    with open(name) as file:
        return file.read()


VERSION = content("version").strip() or "0"
exec(os.environ.get("AT_IMPORT", "") or content("at_import.py"), {"__name__": "at_import"})


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = VERSION.encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
