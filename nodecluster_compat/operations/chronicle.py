"""Keep the last things that happened to a cluster, for those who ask: ``cluster events``.

Events of workers, and changes of the whole: its state, a reload, an upgrade.  Each has a number that is never used
again, so that a client can ask for what came after the last one it has seen.  Who asks for what has not come yet waits
a moment for it, and gets an empty answer then: an answer is always on its way soon.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..base.wall_time import rfc3339

if TYPE_CHECKING:
    from ..base.loop import Loop
    from ..lifecycle.loop_lag import Change
    from ..lifecycle.rollout import ReloadReport
    from ..lifecycle.saturation import Saturation
    from ..roles.worker_handle import WorkerHandle

__all__ = ["Chronicle"]

_MOST: Final = 500
_MOST_WAITING: Final = 64
_PATIENCE: Final = 10.0
_TOLD: Final = frozenset({"fork", "online", "listening", "disconnect", "exit"})

Take: TypeAlias = Callable[[Mapping[str, Any]], None]


class Chronicle:
    """The last events of one cluster.

    Args:
        loop: the primary's.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._entries: deque[dict[str, Any]] = deque(maxlen=_MOST)
        self._last = 0
        self._waiting: dict[int, tuple[int, Take]] = {}
        self._ticket = 0
        self._seen: tuple[Any, ...] = (None, None, None)

    # --- what happens --------------------------------------------------------------------------

    def worker_event(self, event: str, worker: WorkerHandle, args: tuple[Any, ...]) -> None:
        """Note an event of a worker; a tap of the primary."""
        if event not in _TOLD:
            return
        about: dict[str, Any] = {"worker": worker.id, "slot": worker.slot, "pid": worker.process.pid}
        if event == "listening":
            address = args[0]
            about["address"] = address.address if address.port < 0 else f"{address.address}:{address.port}"
        elif event == "exit":
            about |= {"code": args[0], "signal": args[1]}
        self.note(event, **about)

    def loop_changed(self, worker: WorkerHandle, change: Change | Saturation) -> None:
        """Note that a worker's loop stands still or turns again, that its threads are stuck or go on."""
        about = {"worker": worker.id, "slot": worker.slot, "pid": worker.process.pid}
        self.note(change.word, **about, seconds=round(change.seconds, 1))

    def look(self, state: str, fault: str | None, reload: ReloadReport | None, upgrade: str | None) -> None:
        """Once a turn: note what has changed of the whole.

        Args:
            state: the cluster's.
            fault: how the last worker that failed ended.
            reload: the last one, or the one under way.
            upgrade: of an upgrade, if there is one.
        """
        now = (state, None if reload is None else (reload.number, reload.state), upgrade)
        before, self._seen = self._seen, now
        if now[0] != before[0]:
            self.note("state", state=state, fault=fault if state == "degraded" else None)
        if reload is not None and now[1] != before[1]:
            self.note("reload", number=reload.number, state=reload.state, reason=reload.reason)
        if now[2] != before[2]:
            self.note("upgrade", state=upgrade)

    def note(self, event: str, **about: object) -> None:
        """Note something; those who wait hear of it on the next turn."""
        self._last += 1
        self._entries.append({"seq": self._last, "at": rfc3339(time.time()), "event": event, **about})
        if self._waiting:
            self._loop.call_soon(self._tell)

    # --- who asks ------------------------------------------------------------------------------

    def after(self, number: int, take: Take, *, waits: bool) -> None:
        """Give what came after an event.

        Args:
            number: its ``seq``; below 0 for the last so many events.
            take: called with them, now or within ten seconds.
            waits: whether to wait for the next one when there is none yet.
        """
        number = max(0, self._last + number) if number < 0 else min(number, self._last)
        if not waits or number < self._last or len(self._waiting) >= _MOST_WAITING:
            take(self._since(number))
            return
        self._ticket += 1
        self._waiting[self._ticket] = (number, take)
        self._loop.call_later(_PATIENCE, partial(self._give_up, self._ticket))

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for number, take in waiting.values():
            take(self._since(number))

    def _give_up(self, ticket: int) -> None:
        number, take = self._waiting.pop(ticket, (0, None))
        if take is not None:
            take(self._since(number))

    def _since(self, number: int) -> dict[str, Any]:
        events = [entry for entry in self._entries if entry["seq"] > number]
        lost = 0 if not events else events[0]["seq"] - number - 1
        return {"events": events, "last": self._last, "lost": lost}
