"""Carry a worker's id in the session id (``sid``) of Engine.IO, and find it in a request.  Pure.

A ``sid`` is Engine.IO's own, then a dot and the id of the worker that made it: ``wGf0hLQyoVuhV3R6AAAA.3``.  Both
clients send it unescaped.  It is no secret: whoever changes the number only chooses which worker answers that it
does not know the session.
"""

from __future__ import annotations

import re
from typing import Final

from .head import RequestHead
from .keys import ANYBODY, Found

__all__ = ["EngineIO", "stamp", "worker_of"]

_ORIGINAL: Final = r"[A-Za-z0-9_-]{20}"
_ID: Final = r"[1-9][0-9]{0,9}"
_STAMPED: Final = re.compile(rf"{_ORIGINAL}\.({_ID})")
_IS_ENGINEIO: Final = re.compile(r"[?&]EIO=")
_LINE: Final = re.compile(rf"[^\n]*[?&]sid={_ORIGINAL}(?:\.|%2[Ee])({_ID})[& ]".encode())
_IN_QUERY: Final = re.compile(rf"[?&]sid={_ORIGINAL}(?:\.|%2[Ee])({_ID})(?:&|\Z)")


def stamp(original: str, worker_id: int) -> str:
    """Return the session id that says whose it is.

    Args:
        original: what Engine.IO made; 20 characters unless somebody has replaced its ``generate_id``.
        worker_id: 1 or more; a worker's ``cluster.worker.id``, which no other worker of this server ever has.
    """
    return f"{original}.{worker_id}"


def worker_of(sid: str) -> int | None:
    """Return the id of the worker that made a session; ``None`` for whatever :func:`stamp` has not made."""
    match = _STAMPED.fullmatch(sid)
    return None if match is None else int(match[1])


class EngineIO:
    """Finds the worker of an Engine.IO session (Socket.IO, Flask-SocketIO); a key, see :mod:`keys`.

    A request with ``EIO=`` in its query is Engine.IO's.  With a ``sid`` it belongs to the worker that made it; without
    one it begins a session, which on a connection that was used before may be anybody's: otherwise the new sessions
    behind a proxy that keeps connections would pile up where those happen to be.
    """

    needs_fields = False
    hint: bytes | None = b"EIO="

    @staticmethod
    def look(data: bytes) -> int:
        """Return what :meth:`find` would say of the first request in ``data``, if that is an id; 0 for anything else.

        For who looks at every connection, and may be wrong about a request that is odd.  The C extension has the twin
        (``native/engineio.c``).
        """
        if b"EIO=" not in data:
            return 0
        match = _LINE.match(data)
        return 0 if match is None else int(match[1])

    def find(self, head: RequestHead) -> Found:
        """See :class:`~nodecluster_compat.routing.keys.Key`."""
        target = head.target
        if _IS_ENGINEIO.search(target) is None:
            return None
        match = _IN_QUERY.search(target)
        if match is not None:
            return int(match[1])
        return ANYBODY if head.query("sid") is None else None
