"""An application that ends its process over some requests, as a broken library in C does."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

CRASHES: dict[str, Callable[[], object]] = {
    "/segfault": lambda: ctypes.string_at(0),
    "/abort": os.abort,
    "/exit": lambda: os._exit(3),
    "/sys-exit": lambda: sys.exit(3),
}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    CRASHES.get(environ["PATH_INFO"], str)()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
