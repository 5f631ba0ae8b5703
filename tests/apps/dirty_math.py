"""A dirty application, and the WSGI application that asks it: ``dirty_apps=["dirty_math:Adder"]``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from gunicorn.dirty import DirtyApp, get_dirty_client


class Adder(DirtyApp):  # type: ignore[misc]  # gunicorn has no type hints
    """Adds numbers, says who it is."""

    def add(self, one: int, two: int) -> dict[str, Any]:
        return {"sum": one + two, "pid": os.getpid()}

    def close(self) -> None:
        os.write(1, b"the adder was closed\n")


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = json.dumps(get_dirty_client().execute("dirty_math:Adder", "add", 40, 2)).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
