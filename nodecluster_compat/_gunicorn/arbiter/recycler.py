"""Measure the workers that serve, and mark those that are due; the arithmetic is in ``recycling``.

Resident memory (RSS) is one number in ``/proc/<pid>/stat``.  Rejected: the proportional share (PSS), for which the
kernel walks all page tables, and which falls and rises with the number of siblings, so that a worker would become due
because another one ended.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from ...lifecycle.recycling import Due, Recycling
from ...machine.process_usage import usage_of
from .current_settings import settings_in_force

if TYPE_CHECKING:
    from ...base.log import Log
    from ...base.loop import Loop
    from ...roles.worker_handle import WorkerEntry, WorkerRoster

__all__ = ["Recycler"]

_SERVED: Final = "it has served as many requests as it should (max_worker_requests)"


class Recycler:
    """Finds the workers of one arbiter that are due.

    Args:
        loop: the arbiter's.
        roster: its workers.
        log: says who is due, and why.
        wakeup: lets the main loop take another turn.
    """

    def __init__(self, loop: Loop, roster: WorkerRoster, log: Log, wakeup: Callable[[], None]) -> None:
        self._loop = loop
        self._roster = roster
        self._log = log
        self._wakeup = wakeup
        self._recycling = Recycling(settings_in_force().recycling, random.random)
        self._is_sampling = False

    def turn(self) -> None:
        """Once a turn of the main loop: mark who is due by age or by requests."""
        self._recycling.policy = settings_in_force().recycling
        if self._recycling.policy.max_memory and not self._is_sampling:
            self._sample_later()
        candidates = self._candidates()
        self._recycling.forget_others(entry.pid for entry in self._roster.staying)
        since = {pid: entry.listening_since for pid, entry in candidates.items() if entry.listening_since is not None}
        self._mark(self._recycling.aged(time.monotonic(), since), candidates)
        for entry in candidates.values():
            if entry.handle is not None and entry.handle.wants_successor:
                self._mark([Due(entry.pid, _SERVED)], candidates)

    def _candidates(self) -> dict[int, WorkerEntry]:
        """Return those that serve and are not due; nobody during a reload, which replaces all of them."""
        roster = self._roster
        return (
            {}
            if roster.rollout is not None
            else {entry.pid: entry for entry in roster.listening if not entry.way_out.was_due}
        )

    def _mark(self, due: Iterable[Due], candidates: dict[int, WorkerEntry]) -> None:
        now = time.monotonic()
        for one in due:
            entry = candidates[one.pid]
            entry.due_after = 0.0 if entry.listening_since is None else now - entry.listening_since
            entry.way_out.fall_due(one.reason)
            self._log.info("Recycling worker (pid:%s): %s", one.pid, one.reason)

    def _sample_later(self) -> None:
        self._is_sampling = True
        self._loop.call_later(self._recycling.policy.interval, self._sample)

    def _sample(self) -> None:
        self._is_sampling = False
        if self._recycling.policy.max_memory:
            self._sample_later()
            candidates = self._candidates()
            self._mark(self._recycling.heavy(_resident(candidates)), candidates)
            self._wakeup()


def _resident(pids: Iterable[int]) -> dict[int, int]:
    """Return the resident bytes of these processes, as far as they can be read."""
    used = ((pid, usage_of(pid)) for pid in pids)
    return {pid: usage.rss_bytes for pid, usage in used if usage is not None}
