"""Requests that take too long, in whatever way a path says; what the application noticed is written to the log."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from nodecluster_compat import errors, http


def say(**facts: Any) -> None:
    os.write(1, json.dumps(facts).encode() + b"\n")


def hang() -> None:
    """Wait for what never comes, in slices, so that a thread ends some day."""
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline:
        time.sleep(0.02)


def stream() -> Iterator[bytes]:
    try:
        yield b"first"
        hang()
        yield b"last"
    finally:
        say(told="stream closed")


def ticks() -> Iterator[bytes]:
    """For 1.4 seconds."""
    try:
        for _ in range(14):
            yield b"tick"
            time.sleep(0.1)
        yield b"last"
    finally:
        say(told="ticks closed")


def slow() -> list[bytes]:
    time.sleep(2)
    say(told="slow ended")
    return [b"too late"]


@http.request_timeout(0.3)
def quick() -> list[bytes]:
    hang()
    return [b"never"]


@http.request_timeout(0)
def unlimited() -> list[bytes]:
    time.sleep(1.2)
    return [b"at last"]


def caught() -> list[bytes]:
    try:
        hang()
    except errors.TimeLimitExceeded as late:
        return [f"caught: {late}".encode()]
    return [b"never"]


def stubborn() -> list[bytes]:
    """Goes on all the same, once."""
    try:
        hang()
    except BaseException as error:  # noqa: BLE001 - whatever it is
        say(told="first", kind=type(error).__name__)
    hang()
    return [b"never"]


def hang_finally() -> list[bytes]:
    try:
        hang()
    finally:
        say(told="finally")
    return [b"never"]


VIEWS: dict[str, Callable[[], Iterable[bytes]]] = {
    "/hang": hang_finally,
    "/slow": slow,
    "/quick": quick,
    "/unlimited": unlimited,
    "/caught": caught,
    "/stubborn": stubborn,
    "/stream": stream,
    "/events": stream,
    "/ticks": ticks,
    "/ticks-of-events": ticks,
}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/by-environ":
        environ["nodecluster.request_timeout"](0)
        time.sleep(1.2)
    elif path == "/body":
        environ["wsgi.input"].read()
    headers = [("Content-Type", "text/event-stream" if path.endswith("events") else "text/plain")]
    body = VIEWS[path]() if path in VIEWS else [b"in time"]
    if isinstance(body, list):
        headers.append(("Content-Length", str(len(body[0]))))
    start_response("200 OK", headers)
    return body
