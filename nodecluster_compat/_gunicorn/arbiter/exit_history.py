"""Remember how the last workers have ended, and why: the ``exits`` of the status."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from ...base.one_line import one_line
from ...base.wall_time import rfc3339
from ...lifecycle.endings import EXIT_REASONS, ending_of, reason_of
from ...machine.out_of_memory import KernelKills
from ...roles.numbers import NO_NUMBERS
from ...roles.status import WorkerExit

if TYPE_CHECKING:
    from ...base.records import ExitStatus
    from ...lifecycle.endings import ExitReason
    from ...roles.numbers import Numbers
    from ...roles.worker_handle import WorkerEntry, WorkerHandle
    from .seat import Seat

__all__ = ["ExitHistory"]

_MOST: Final = 50
_LOOK_SECONDS: Final = 1.0
_ORDERLY: Final = frozenset({"asked", "reload", "recycled", "finished"})
_FEW_LINES: Final = 2  # of the log, where all is well
_MOST_LINES: Final = 16
_MOST_CHARACTERS: Final = 200  # of a line


class ExitHistory:
    """The exits of one arbiter's workers.

    Attributes:
        numbers: knows what a worker has counted.
        counts: how many have ended, by reason.
    """

    def __init__(self, arbiter: Seat) -> None:
        self._arbiter = arbiter
        self._kills = KernelKills(time.monotonic())
        self._next_look = 0.0
        self._last: deque[WorkerExit] = deque(maxlen=_MOST)
        self._counts: Counter[str] = Counter(dict.fromkeys(EXIT_REASONS, 0))
        self.numbers: Numbers = NO_NUMBERS

    @property
    def last(self) -> tuple[WorkerExit, ...]:
        """The last of them, the newest last."""
        return tuple(self._last)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many there were, by reason; every reason is there."""
        return dict(self._counts)

    def turn(self) -> None:
        """Once a turn of the main loop: see whether the kernel has killed somebody."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK_SECONDS
            self._kills.note(now)

    def ended(self, entry: WorkerEntry, status: ExitStatus) -> None:
        """A worker was reaped; what it shares with the primary can still be read."""
        worker, now = entry.handle, time.monotonic()
        if worker is None:
            return
        has_listened = entry.listening_since is not None
        numbers = self.numbers.of(worker)
        reason = self._reason(entry, status, has_listened=has_listened, now=now)
        self._counts[reason] += 1
        self._last.append(
            WorkerExit(
                id=worker.id,
                slot=worker.slot,
                pid=entry.pid,
                generation=worker.generation,
                at=rfc3339(time.time()),
                age=round(now - entry.started, 3),
                code=status.code,
                signal=status.signal,
                reason=reason,
                how=ending_of(entry.way_out, status, has_listened=has_listened).how,
                requests=numbers.requests,
                active_requests=numbers.active_requests,
                last_words=_last_words(worker, _FEW_LINES if reason in _ORDERLY else _MOST_LINES),
            )
        )

    def _reason(self, entry: WorkerEntry, status: ExitStatus, *, has_listened: bool, now: float) -> ExitReason:
        return reason_of(
            entry.way_out,
            status,
            has_listened=has_listened,
            is_old=entry.generation != self._arbiter.roster.generation,
            is_used_up=self._is_used_up(entry),
            is_out_of_memory=partial(self._kills.take, now),
        )

    def _is_used_up(self, entry: WorkerEntry) -> bool:
        limit = self._arbiter.cfg.max_requests
        served = entry.handle.served() if entry.handle is not None and limit else None
        return served is not None and served >= limit


def _last_words(worker: WorkerHandle, lines: int) -> tuple[str, ...]:
    """Return the end of a worker's log; a worker wrote it, so it is bounded and made harmless for a terminal."""
    text = "" if worker.notebook is None else worker.notebook.read_log()[1]
    return tuple(one_line(line.rstrip())[:_MOST_CHARACTERS] for line in text.split("\n") if line.strip())[-lines:]
