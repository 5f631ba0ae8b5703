"""Keep what clients had: those of this worker, and a copy for those of others, whose worker may be killed.  Pure.

connected ──breaks──▶ left ──claimed in time──▶ connected, of another worker perhaps
    └──said goodbye──▶ forgotten ◀──time is over──┘
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from msgspec import Struct, structs

__all__ = ["Session", "Sessions"]

MOST_SESSIONS: Final = 200_000


class Session(Struct, frozen=True):
    """What one client has.

    Attributes:
        pid: its secret name, by which it asks for it.
        sid: its Socket.IO id.
        namespace: in which.
        rooms: where it is, without its own.
        data: its session.
        home: the id of the worker that serves it, or did last.
        base: the offset when it connected, last.
        began: when it connected first, in milliseconds: what was sent before is not its own.
        version: higher for what is newer.
        left_at: when its connection broke, in milliseconds; ``None`` while it is connected.
    """

    pid: str
    sid: str
    namespace: str
    rooms: list[Any]
    data: Any
    home: int
    base: str
    began: int
    version: int = 0
    left_at: int | None = None

    def left(self, now: int) -> Session:
        """Return the session of a client whose connection broke."""
        return structs.replace(self, left_at=now, version=self.version + 1)


class Sessions:
    """The sessions that this worker knows of.

    Those whose client has left are forgotten in the order in which this worker has heard of it: each in time, or as
    much later as the one before it had left later.  Several threads may call.

    Args:
        milliseconds: how long a client may stay away.
    """

    def __init__(self, milliseconds: int) -> None:
        self._milliseconds = milliseconds
        self._by_pid: dict[str, Session] = {}
        self._left: deque[tuple[int, str]] = deque()  # also of those who have come back meanwhile

    def __len__(self) -> int:
        return len(self._by_pid)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_pid.values()))

    def alive(self, now: int) -> list[Session]:
        """Return those whose time is not over."""
        return [session for session in self if not self._is_over(session, now)]

    def keep(self, session: Session, now: int) -> None:
        """Keep a session, unless what is known of it is newer."""
        known = self._by_pid.pop(session.pid, None)
        if known is not None and session.version < known.version:
            session = known
        elif session.left_at is not None:
            self._left.append((session.left_at, session.pid))
        self._by_pid[session.pid] = session
        self.forget_old(now)
        while len(self._by_pid) > MOST_SESSIONS:
            self.forget(next(iter(self._by_pid)))

    def get(self, pid: str, now: int) -> Session | None:
        """Return a session, unless its time is over."""
        session = self._by_pid.get(pid)
        if session is None or self._is_over(session, now):
            self.forget(pid)
            return None
        return session

    def forget(self, pid: str) -> None:
        """Forget a session that nobody will ask for."""
        self._by_pid.pop(pid, None)

    def forget_old(self, now: int) -> int | None:
        """Forget those whose time is over; return in how many milliseconds there may be more, ``None``: never."""
        while self._left:
            with suppress(IndexError):  # another thread was faster
                left_at, pid = first = self._left.popleft()
                if left_at + self._milliseconds >= now:
                    self._left.appendleft(first)
                    return left_at + self._milliseconds - now + 1
                session = self._by_pid.get(pid)
                if session is not None and self._is_over(session, now):
                    self.forget(pid)
        return None

    def lost(self, home: int, now: int) -> None:
        """A worker is gone, and with it the connections of its clients."""
        for session in self:
            if session.home == home and session.left_at is None:
                self.keep(session.left(now), now)

    def _is_over(self, session: Session, now: int) -> bool:
        return session.left_at is not None and session.left_at + self._milliseconds < now
