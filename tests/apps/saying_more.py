"""Answers with 64 KB in pieces; ``/held`` waits for the file ``release`` first.  It says when its worker leaves."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from nodecluster_compat import process


@process.on("disconnecting")
def goodbye(seconds: float | None) -> None:
    os.write(1, json.dumps({"told": "leaving"}).encode() + b"\n")


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/held":
        os.write(1, json.dumps({"told": "held"}).encode() + b"\n")
        while not os.path.exists("release"):
            time.sleep(0.02)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"z" * 8000] * 8
