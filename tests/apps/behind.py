"""Work after an answer: ``/greenlet`` and ``/thread`` begin what ends soon, ``/endless`` what never does."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import gevent


def soon() -> None:
    time.sleep(0.1)
    os.write(1, json.dumps({"told": "done"}).encode() + b"\n")


def never() -> None:
    while True:
        time.sleep(60)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/greenlet":
        gevent.spawn(soon)
    elif path == "/thread":
        threading.Thread(target=soon).start()
    elif path == "/endless":
        gevent.spawn(never)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
