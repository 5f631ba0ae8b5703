"""Hold log records until they are written: in order, bounded, and what is dropped is counted where it is missing."""

from __future__ import annotations

import _thread  # noqa: F401 - ``original`` looks for it
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct, field

from ..base.loop import original

if TYPE_CHECKING:
    import logging

__all__ = ["Call", "Dropped", "LogEntry", "LogQueue", "Written"]

MOST_RECORDS: Final = 4096
"""Records that wait at most."""

MOST_BYTES: Final = 1024 * 1024
"""Bytes of records that wait at most."""

_RECORD_BYTES: Final = 512


class Written(Struct):
    """A record on its way.

    Attributes:
        handler: whose it is.
        data: what is still to be written; ``None`` where the handler is to emit ``record`` by itself.
        record: ``None`` where there is ``data``.
        done: a lock that somebody waits for.
        stands_for: how many records are lost with it; others than 1 for a line that says how many were.
    """

    handler: logging.Handler
    data: bytes | None
    record: logging.LogRecord | None
    done: Any = None
    stands_for: int = 1

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        if self.data is not None:
            return len(self.data)
        return _RECORD_BYTES + len(str(self.record.msg)) if self.record is not None else 0


class Dropped(Struct):
    """Here records are missing."""

    counts: Counter[logging.Handler] = field(default_factory=Counter)
    done: Any = None


class Call(Struct):
    """Something else to do in between, such as opening the files again."""

    call: Callable[[], object]
    done: Any = None


LogEntry: TypeAlias = "Written | Dropped | Call"


class LogQueue:
    """Entries in the order in which they came; filled by any thread, emptied by one."""

    def __init__(self) -> None:
        self._entries: deque[LogEntry] = deque()
        self._bytes = 0
        self._lock = original("_thread", "RLock")()  # a signal handler may log in the middle of it

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, written: Written) -> bool:
        """Add a record; return whether there was room.  Where there was none, it is counted."""
        with self._lock:
            has_room = len(self._entries) < MOST_RECORDS and self._bytes + written.size <= MOST_BYTES
            if has_room or not self._entries:
                self._bytes += written.size
                self._entries.append(written)
                return True
            last = self._entries[-1]
            if not isinstance(last, Dropped):
                last = Dropped()
                self._entries.append(last)
            last.counts[written.handler] += 1
            return False

    def put_call(self, call: Call) -> None:
        """Add something else to do."""
        with self._lock:
            self._entries.append(call)

    def take(self) -> LogEntry | None:
        """Return the first entry; ``None`` when there is none."""
        with self._lock:
            if not self._entries:
                return None
            entry = self._entries.popleft()
            if isinstance(entry, Written):
                self._bytes -= entry.size
            return entry
