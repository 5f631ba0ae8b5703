"""The WSGI application of the measurements: every answer's body is the pid of the worker that gave it.

/            at once
/sleep/<s>   after <s> seconds in which the worker goes on serving others
/block/<s>   after <s> seconds in which the whole worker stands still
/mark/<id>   at once, after <id> was appended to the file that BENCH_ENTERED names
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


def block(seconds: float) -> None:
    """Sleep without letting gevent run anything else."""
    from gevent.monkey import get_original

    get_original("time", "sleep")(seconds)


def mark(ident: str) -> None:
    """Note that the request got as far as the application."""
    descriptor = os.open(os.environ["BENCH_ENTERED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{ident}\n".encode())
    os.close(descriptor)


def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    path: str = environ["PATH_INFO"]
    if path != "/":
        _, verb, argument = path.split("/", 2)
        if verb == "sleep":
            time.sleep(float(argument))
        elif verb == "block":
            block(float(argument))
        elif verb == "mark":
            mark(argument)
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
