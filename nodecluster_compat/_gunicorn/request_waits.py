"""Says which connections are idle, where requests are read by gunicorn alone.

gunicorn waits for a request and reads it in one call.  Here the first bytes are waited for, noted, put back and given
to gunicorn, so that what it reads and answers is its own.  ``clean_requests`` does the same on its short way.
"""

from __future__ import annotations

from typing import Any

from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser

from ..runtime.idle_limit import IdleLimit

__all__ = ["knows_idle", "tell_waits"]


def knows_idle(cfg: Any) -> bool:
    """Whether it is known which connections are idle: uwsgi has a parser, and a life of connections, of its own."""
    return getattr(cfg, "protocol", "http") == "http"


def tell_waits(waits: IdleLimit) -> None:
    """Tell ``waits`` of every request that this process reads from now on."""

    def read(cfg: Any, unreader: Any, peer: Any, number: int = 1) -> Any:
        if number == 1:
            waits.began()
        elif waits.is_over:
            raise StopIteration
        data = unreader.read()
        if not data:
            raise StopIteration  # as gunicorn's Request
        waits.began()
        unreader.unread(data)
        return Request(cfg, unreader, peer, number)

    RequestParser.mesg_class = staticmethod(read)
