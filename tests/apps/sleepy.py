"""Takes its time: ``/sleep/0.5`` lets the worker's other requests run meanwhile, ``/block/0.5`` does not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from gevent.monkey import get_original

# The sleep of C: nothing else of the worker runs, as in a computation or a call into a library.
block = get_original("time", "sleep")


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    _, how, seconds = (environ["PATH_INFO"] + "//").split("/")[:3]
    if how == "sleep":
        time.sleep(float(seconds))
    elif how == "block":
        block(float(seconds))
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
