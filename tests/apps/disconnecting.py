"""Asks its primary to end the cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from nodecluster_compat import process


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    process.send("disconnect")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
