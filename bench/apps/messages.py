"""The application that talks to the primary: GET /messages/<n> sends <n> messages and waits for <n> echoes.

The body of the answer is the number of echoes that came back, in order. Any other path answers like `app.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from app import StartResponse
from app import app as plain_app
from gevent.event import Event

from nodecluster_compat import process

ECHO_SECONDS = 30.0
tokens = itertools.count()
waiting: dict[int, Round] = {}


class Round:
    """One request's messages: how many came back in their order, and an event for the last of them."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.received = 0
        self.complete = Event()

    def count(self, index: int) -> None:
        if index != self.received:
            return  # lost, doubled or overtaken: this round will not be complete
        self.received += 1
        if self.received >= self.expected:
            self.complete.set()


@process.on("message")
def received(message: dict[str, int], handle: object = None) -> None:
    """Credit an echo to the request that sent it."""
    waiting[message["token"]].count(message["index"])


def exchange(number: int) -> int:
    """Send `number` messages and return how many echoes came back in time."""
    token = next(tokens)
    this_round = waiting[token] = Round(number)
    try:
        for index in range(number):
            process.send({"token": token, "index": index})
        this_round.complete.wait(ECHO_SECONDS)
    finally:
        del waiting[token]
    return this_round.received


def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    path: str = environ["PATH_INFO"]
    if not path.startswith("/messages/"):
        return plain_app(environ, start_response)
    body = str(exchange(int(path.rpartition("/")[2]))).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
