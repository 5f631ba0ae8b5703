"""An application whose open files are no names of its module: of a closure, an object, a handler, Python's modules."""

from __future__ import annotations

import builtins
import json
import logging
import os
from collections.abc import Callable, Iterable
from typing import Any, TextIO


class FileHandler(logging.Handler):
    """A handler that keeps its own file, which ``logging.shutdown`` does not know."""

    def __init__(self, file: TextIO) -> None:
        super().__init__()
        self.file = file

    def emit(self, record: logging.LogRecord) -> None:
        self.file.write(record.getMessage())


class Site:
    """An application object, as Flask's and Django's are."""

    def __init__(self) -> None:
        self.file = open("attribute", "a")  # noqa: SIM115 - the point of it
        self.serve: Callable[..., Iterable[bytes]] | None = None


def create_app() -> Callable[..., Iterable[bytes]]:
    site, closure = Site(), open("closure", "a")  # noqa: SIM115 - as above
    log = logging.getLogger("holding")
    log.propagate = False
    log.addHandler(FileHandler(open("handler", "a")))  # noqa: SIM115 - as above
    json.held = open("standard", "a")  # type: ignore[attr-defined]  # noqa: SIM115 - as above
    builtins.held = open("builtin", "a")  # type: ignore[attr-defined]  # noqa: SIM115 - as above

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        closure.write("written")
        site.file.write("written")
        log.warning("written")
        json.held.write("written")  # type: ignore[attr-defined]
        builtins.held.write("written")  # type: ignore[attr-defined]
        start_response("200 OK", [("Content-Length", "2")])
        return [str(os.getpid() % 100).zfill(2).encode()]

    return app
