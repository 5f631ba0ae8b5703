"""A bit of everything: GET / answers at once, /slow after 20 ms, /talk after a message to the primary and back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from itertools import count
from typing import Any

from nodecluster_compat import process

TICKETS = count()
WAITING: dict[int, Future[Any]] = {}
TEXT = "x" * 2000


@process.on("message")
def answered(message: Any, handle: object) -> None:
    WAITING.pop(message["ticket"]).set_result(message["text"])


def talk() -> str:
    ticket = next(TICKETS)
    WAITING[ticket] = waiting = Future()
    process.send({"ticket": ticket, "text": TEXT})
    text: str = waiting.result(timeout=20)
    return text


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    text = "hello"
    if path == "/slow":
        time.sleep(0.02)
    elif path == "/talk":
        text = talk()
    body = text.encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
