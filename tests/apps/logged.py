"""An application whose requests have to do with the logs, or end their worker."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any

from nodecluster_compat import process


class NotAgain(logging.Filter):
    """Counts the lines of the access log on standard error, and lets none pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        os.write(2, b"filtered: %s\n" % record.getMessage().encode())
        return False


def fork() -> None:
    """Fork a child that writes what its streams have buffered, as those of ``multiprocessing`` do at their end."""
    if (pid := os.fork()) == 0:
        for handler in logging.getLogger("gunicorn.access").handlers:
            handler.flush()
        os._exit(0)
    os.waitpid(pid, 0)


DEEDS: dict[str, Callable[[], object]] = {
    "/error": lambda: logging.getLogger("gunicorn.error").error("told amid a turn"),
    "/print": lambda: print("printed amid a turn"),
    "/fork": fork,
    "/filter": lambda: logging.getLogger("gunicorn.access").addFilter(NotAgain()),
    "/process-exit": lambda: process.exit(7),
    "/sys-exit": lambda: sys.exit(7),
    "/term": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "/quit": lambda: os.kill(os.getpid(), signal.SIGQUIT),
    "/abort": lambda: os.kill(os.getpid(), signal.SIGABRT),
}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    DEEDS.get(environ["PATH_INFO"], int)()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
