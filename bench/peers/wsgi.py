"""The WSGI application of the comparison; `hello.js` is the same for Node.

/       a short text              /10k, /1m   so many bytes
/slow   after 50 ms of CPU time   POST        how many bytes came
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

StartResponse = Callable[[str, list[tuple[str, str]]], Any]

CHUNK_BYTES = 65536
SLOW_SECONDS = 0.05
BODIES = {"/": b"Hello, World!", "/slow": b"slow", "/10k": b"x" * 10_240, "/1m": b"x" * 1_048_576}


def burn(seconds: float) -> None:
    """Use up so much CPU time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def count_body(stream: Any) -> int:
    """Read the body to its end."""
    count = 0
    while data := stream.read(CHUNK_BYTES):
        count += len(data)
    return count


def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if environ["REQUEST_METHOD"] == "POST":
        body = str(count_body(environ["wsgi.input"])).encode()
    else:
        if path == "/slow":
            burn(SLOW_SECONDS)
        body = BODIES[path]
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
