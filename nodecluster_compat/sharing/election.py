"""Elect the worker that leads: one, or none, never two.  Pure: no sockets, no clock.

    nobody ──elect──▶ leads ──it leaves──▶ resigns ──resigned, ended──▶ nobody
                        └────────ended, not told────────────────────────▶ nobody

A worker can be elected once it stands and is ready, until it leaves.  While a leader resigns nobody else is elected: it
may still be at work.  An election needs the ``mandate``, which another primary may have during an upgrade; it is given
back when no worker here leads or could lead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

__all__ = ["Election", "Phase"]

Phase: TypeAlias = Literal["nobody", "leads", "resigns"]


class Election:
    """Elects the leader of one primary's workers.

    Args:
        first_token: larger than those of every primary before.
        mandate: asks whether this primary may have a leader.
        give_back: told when it needs no mandate any more.
        lead: told of the worker that leads, and its token.
        resign: told of the worker that is to resign.
    """

    def __init__(
        self,
        first_token: int,
        mandate: Callable[[], bool],
        give_back: Callable[[], None],
        lead: Callable[[int, int], None],
        resign: Callable[[int], None],
    ) -> None:
        self.phase: Phase = "nobody"
        self.leader: int | None = None
        self.token = first_token
        self._standing: dict[int, None] = {}
        self._ready: set[int] = set()
        self._deaf: set[int] = set()
        self._mandate = mandate
        self._give_back = give_back
        self._lead = lead
        self._resign = resign

    @property
    def lacks_mandate(self) -> bool:
        """Whether somebody could lead, and nobody does: ask again."""
        return self.phase == "nobody" and bool(self._candidates())

    def stands(self, worker: int) -> None:
        """A worker would lead."""
        self._standing[worker] = None
        self.elect()

    def ready(self, worker: int) -> None:
        """A worker serves."""
        self._ready.add(worker)
        self.elect()

    def not_told(self, worker: int) -> None:
        """A worker could not be told that it leads, so it does not; others come first in the next election."""
        if self.leader == worker and self.phase == "leads":
            self._deaf.add(worker)
            self.phase, self.leader = "nobody", None

    def leaves(self, worker: int) -> None:
        """A worker is on its way out; told again, it changes nothing."""
        self._ready.discard(worker)
        self._standing.pop(worker, None)
        if self.leader == worker and self.phase == "leads":
            self.phase = "resigns"
            self._resign(worker)
        self.elect()

    def resigned(self, worker: int) -> None:
        """The leader has done its last."""
        if self.leader == worker and self.phase == "resigns":
            self._none_leads()

    def ended(self, worker: int) -> None:
        """A process has ended."""
        self._deaf.discard(worker)
        self._ready.discard(worker)
        self._standing.pop(worker, None)
        if self.leader == worker:
            self._none_leads()
        self.elect()

    def elect(self) -> None:
        """Elect, if nobody leads, and somebody can."""
        if self.phase != "nobody":
            return
        candidates = self._candidates()
        if not candidates:
            self._give_back()
        elif self._mandate():
            self.token += 1
            if self._deaf.issuperset(candidates):
                self._deaf.clear()
            leader = max(one for one in candidates if one not in self._deaf)  # the youngest: in a reload others leave
            self.phase, self.leader = "leads", leader
            self._lead(leader, self.token)

    def _none_leads(self) -> None:
        self.phase, self.leader = "nobody", None
        self.elect()

    def _candidates(self) -> list[int]:
        return [worker for worker in self._standing if worker in self._ready]
