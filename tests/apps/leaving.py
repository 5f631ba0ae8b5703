"""What an application does about clients that leave, said as JSON in the server's log.

``/silent`` sends one line and then nothing; ``/mute`` sends nothing at all; ``/slow`` answers when the file ``release``
exists; ``/ask`` waits for the client to leave; ``/told`` is called back; ``/unread`` does not read what it is sent.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any


def say(**facts: Any) -> None:
    os.write(1, json.dumps(facts).encode() + b"\n")


def silent(first: bytes) -> Iterator[bytes]:
    say(told="begun")
    try:
        if first:
            yield first
        time.sleep(600)
    finally:
        say(told="closed")


def slow() -> Iterator[bytes]:
    say(told="begun")
    while not os.path.exists("release"):
        time.sleep(0.02)
    yield b"late"


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path, gone = environ["PATH_INFO"], environ["nodecluster.client_gone"]
    if path in ("/silent", "/mute", "/slow"):
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return slow() if path == "/slow" else silent(b"first\n" if path == "/silent" else b"")
    if path == "/ask":
        say(told="begun", gone=gone.is_set())
        say(told="gone", gone=gone.wait(60), still=gone.is_set())
    elif path == "/told":
        gone.on_gone(lambda: say(told="called back"))
        say(told="begun")
        gone.wait(60)
    elif path == "/briefly":
        gone.on_gone(lambda: say(told="called back"))
        say(told="waited", gone=gone.wait(0.01))
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
