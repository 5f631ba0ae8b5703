"""An application that holds at import what applications hold; what becomes of it is told in the file ``ends``."""

from __future__ import annotations

import atexit
import logging
import os
import tempfile
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from nodecluster_compat import process

BORN = os.getpid()
ENDS = os.open("ends", os.O_APPEND | os.O_CREAT | os.O_WRONLY)


def say(what: str, write: Callable[..., Any] = os.write, fd: int = ENDS, pid: Callable[[], int] = os.getpid) -> None:
    """Tell an end; by what was looked up before, as modules are empty at the end of the interpreter."""
    write(fd, f"{pid()} {what}\n".encode())


class Held:
    """Tells when it is finalised."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __del__(self, say: Callable[[str], None] = say) -> None:
        say(self.name)


class Holder:
    """A class that holds something."""

    held = Held("class")


audit = open(f"audit.{BORN}", "a")  # noqa: SIM115 - the point of it
temporary = tempfile.NamedTemporaryFile(dir=".", prefix="temporary.")  # noqa: SIM115 - as above
handler = logging.StreamHandler()
module, cycle, finalized, listening = Held("module"), Held("cycle"), Held("finalized"), Held("handler")
cycle.name_of = [cycle]  # type: ignore[attr-defined]
weakref.finalize(finalized, say, "finalize")
atexit.register(say, "atexit")
process.on("message", lambda *_: listening)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Write to what is held, and say which process did."""
    audit.write(f"{os.getpid()}\n")
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    """Answer as :func:`app` does; what the lifespan's state holds ends with the rest."""
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    body = b"".join(app({}, lambda *_: None))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
