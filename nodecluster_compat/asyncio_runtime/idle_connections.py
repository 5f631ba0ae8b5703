"""End connections on which no further request comes: after a while, or at once when the whole server ends.

One timer for all of them: all deadlines are equally far, so the notes are in order, and a sweep every now and then
looks at the oldest.  gunicorn's own connections start and stop a timer for each request.

A wait ends at the second sweep that finds it over, so up to twice :data:`SWEEP_SECONDS` late.  Between the two the loop
has asked the kernel once more: after a handler that blocked the loop, requests wait there that came in time.

A connection is *idle* when an answer was given and nothing of a next request has been read.  Where the whole server
ends, an idle connection ends at once, unless the kernel has bytes of it already: then a request has come after all, and
it is answered.  One that was answered less than :data:`LINGER_SECONDS` ago gets that long: the next request of a busy
client is on its way, and its answer says ``Connection: close``, so that nothing is lost.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LINGER_SECONDS", "SWEEP_SECONDS", "IdleConnections", "WaitingConnection"]

SWEEP_SECONDS: Final = 0.1
LINGER_SECONDS: Final = 0.5


class WaitingConnection(Protocol):
    """A connection that waits for a further request."""

    def has_sent(self) -> bool:
        """Whether the kernel has something to read: bytes, or the end of the connection."""

    def end_wait(self) -> None:
        """Wait no longer: close."""


class IdleConnections:
    """The connections that wait for a further request.

    Args:
        call_later: the loop's.
        seconds: how long one may wait.
    """

    def __init__(self, call_later: Callable[[float, Callable[[], None]], Any], seconds: float) -> None:
        self._call_later = call_later
        self._seconds = seconds
        self._deadlines: dict[WaitingConnection, float] = {}
        self._timer: object = None
        self._swept = 0.0  # when the last sweep was
        self._linger: float | None = None  # with which all of them end now; None while they may stay

    def __len__(self) -> int:
        return len(self._deadlines)

    def __contains__(self, connection: object) -> bool:
        return connection in self._deadlines

    def note(self, connection: WaitingConnection) -> None:
        """``connection`` was answered, and waits from now on."""
        self._deadlines[connection] = monotonic() + self._seconds
        if self._timer is None:
            self._swept = monotonic()
            self._timer = self._call_later(SWEEP_SECONDS, self._sweep)

    def forget(self, connection: WaitingConnection) -> None:
        """``connection`` waits no longer."""
        self._deadlines.pop(connection, None)

    def end(self, linger: float = LINGER_SECONDS) -> None:
        """From now on idle connections end: each of them ``linger`` seconds after its last answer."""
        self._linger = linger
        self._end_idle(linger)

    def _end_idle(self, linger: float) -> None:
        latest = monotonic() - linger + self._seconds
        for connection, deadline in list(self._deadlines.items()):
            if deadline <= latest and not connection.has_sent():
                self._end_one(connection)

    def _sweep(self) -> None:
        if self._linger is not None:
            self._end_idle(self._linger)
        limit, self._swept = self._swept, monotonic()
        for connection, deadline in list(self._deadlines.items()):
            if deadline > limit:
                break
            self._end_one(connection)
        self._timer = self._call_later(SWEEP_SECONDS, self._sweep) if self._deadlines else None

    def _end_one(self, connection: WaitingConnection) -> None:
        self._deadlines.pop(connection, None)
        connection.end_wait()
