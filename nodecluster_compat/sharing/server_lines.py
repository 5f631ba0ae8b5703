"""Extend redis-py's connections: they report that a command was never sent, and whether the server is the same run.

A server that was started again, or another one in its place, is reached by a new connection; a replica that becomes the
master under a connection has refused what was asked of it before.  So a question for the server's run, which costs a
fourth of taking a lock, needs to be asked only now and then on a connection that has had its answer.
"""

from __future__ import annotations

import time
from typing import Any, Final

__all__ = ["COMPARE_RUN", "is_unsent", "telling"]

COMPARE_RUN: Final = "compare"
"""The last argument of a script that compares the server's run; it is ``0`` where that was done a moment ago."""

_COMPARED_SECONDS: Final = 1.0
_NEVER: Final = float("-inf")
_UNSENT: Final = "nodecluster_unsent"
_COMPARED_AT: Final = "nodecluster_compared_at"


def is_unsent(error: Exception) -> bool:
    """Whether a question has certainly not been sent."""
    return bool(getattr(error, _UNSENT, False))


def telling(base: Any) -> Any:  # noqa: ANN401 - a class of redis-py's
    """Return a class of connections that say more."""
    return type(f"Telling{base.__name__}", (_Telling, base), {})


class _Telling:
    """What is mixed in front of one of redis-py's classes of connections."""

    def connect(self, *args: Any, **named: Any) -> Any:  # noqa: ANN401 - redis-py's
        upper: Any = super()
        try:
            return upper.connect(*args, **named)
        except Exception as error:
            setattr(error, _UNSENT, True)
            raise

    def disconnect(self, *args: Any, **named: Any) -> Any:  # noqa: ANN401 - redis-py's
        setattr(self, _COMPARED_AT, _NEVER)
        upper: Any = super()
        return upper.disconnect(*args, **named)

    def send_command(self, *args: Any, **named: Any) -> Any:  # noqa: ANN401 - redis-py's
        if args[-1] is COMPARE_RUN:
            args = (*args[:-1], _asked(self))
        upper: Any = super()
        return upper.send_command(*args, **named)

    def read_response(self, *args: Any, **named: Any) -> Any:  # noqa: ANN401 - redis-py's
        upper: Any = super()
        try:
            return upper.read_response(*args, **named)
        except Exception:
            setattr(self, _COMPARED_AT, _NEVER)
            raise


def _asked(connection: Any) -> str:  # noqa: ANN401 - redis-py's
    now = time.monotonic()
    if now - getattr(connection, _COMPARED_AT, _NEVER) < _COMPARED_SECONDS:
        return "0"
    setattr(connection, _COMPARED_AT, now)
    return COMPARE_RUN
