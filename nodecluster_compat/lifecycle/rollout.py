"""Follow one reload from the new configuration to its end: one table of states.  Pure.

    rolling ──all──▶ succeeded
       ├────failed──▶ failed        the old generation serves on
       └──replaced──▶ superseded    by another reload that came meanwhile

A reload whose configuration does not load is ``failed`` without ever having been ``rolling``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from ..errors import IllegalTransition

__all__ = ["TRANSITIONS", "ReloadReport", "Rollout", "RolloutState", "RolloutStep"]

RolloutState: TypeAlias = Literal["rolling", "succeeded", "failed", "superseded"]
RolloutStep: TypeAlias = Literal["all", "failed", "replaced"]

TRANSITIONS: Final[dict[tuple[RolloutState, RolloutStep], RolloutState]] = {
    ("rolling", "all"): "succeeded",
    ("rolling", "failed"): "failed",
    ("rolling", "replaced"): "superseded",
}


@dataclass(frozen=True, slots=True)
class ReloadReport:
    """How far a reload is, or how it ended.

    Attributes:
        number: 1 for the first reload of this server.
        state: ``rolling``, ``succeeded``, ``failed`` or ``superseded``.
        reason: why it failed, in a sentence; ``None`` otherwise.
        seconds: how long it took; 0 while it is ``rolling``.
    """

    number: int
    state: RolloutState
    reason: str | None = None
    seconds: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Whether every worker now runs the new generation."""
        return self.state == "succeeded"


class Rollout:
    """A reload under way.

    Args:
        number: of the reload.
        generation: of the workers that it starts.
        before: how many workers there should have been when it began.
        now: the time.
    """

    __slots__ = ("_report", "_started", "before", "generation")

    def __init__(self, number: int, generation: int, before: int, now: float) -> None:
        self.generation = generation
        self.before = before
        self._started = now
        self._report = ReloadReport(number, "rolling")

    @property
    def report(self) -> ReloadReport:
        """What can be said of it now."""
        return self._report

    def advance(self, step: RolloutStep, now: float, reason: str | None = None) -> ReloadReport:
        """Take one step and return the report.

        Raises:
            IllegalTransition: it has ended already; nothing is changed.
        """
        state = TRANSITIONS.get((self._report.state, step))
        if state is None:
            raise IllegalTransition(f"a reload that is {self._report.state!r} cannot take the step {step!r}")
        self._report = ReloadReport(self._report.number, state, reason, now - self._started)
        return self._report
