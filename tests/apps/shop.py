"""A shop with the usual mistakes: it counts in the process, and it charges before it writes down that it did."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

visits = 0


def charge(amount: int) -> str:
    """Take the money."""
    book = os.environ.get("SHOP_BOOK")
    if book:
        with Path(book).open("a") as lines:
            print(f"charged {amount}", file=lines)
    return "paid"


def confirm() -> None:
    """Write down that it was taken."""


def visits_here() -> int:
    return visits


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    global visits  # noqa: PLW0603 - the mistake
    path = environ["PATH_INFO"]
    body = b"welcome"
    if path == "/visits":
        visits += 1
        body = str(visits).encode()
    elif path == "/pay":
        body = charge(5).encode()
        confirm()
    elif path == "/warn":
        print("the shop warns", file=sys.stderr, flush=True)
    elif path == "/raise":
        raise LookupError("no such thing in the shop")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
