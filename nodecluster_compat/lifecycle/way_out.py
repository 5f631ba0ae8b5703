"""Track how far a worker is on its way out, from serving to told, in one table.

    serving ──fall_due──▶ due ──leave──▶ leaving ──tell──▶ told
       └──────overrun──────┴──▶ overdue ──leave, tell──▶ leaving, told

*serving*: it boots or serves, and nobody wants it gone.  *due*: it is to be replaced although nothing is wrong, and
serves until its successor listens.  *leaving*: it was asked to leave over its channel, or said that it will; its place
is to be filled.  *told*: the primary has sent it a signal that ends it, so it has a limit of time.  *overdue*: it was
ended for a limit (of booting, of silence).

The same step may be asked for twice, and any of them may come first, so every step is legal everywhere; a step that
would lead back changes nothing.  Some facts outlast the stage: why the worker was due, the limit that it overran, and
whether a signal of ours killed it.  Node's ``exited_after_disconnect`` is no part of this: it says who wished the end,
not how far it has come.  ``endings`` decides what an end counts as.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

__all__ = ["TRANSITIONS", "Stage", "WayOut", "WayOutStep"]

Stage: TypeAlias = Literal["serving", "due", "leaving", "told", "overdue"]
WayOutStep: TypeAlias = Literal["fall_due", "leave", "tell", "overrun"]

TRANSITIONS: Final[dict[tuple[Stage, WayOutStep], Stage]] = {
    ("serving", "fall_due"): "due",
    ("serving", "leave"): "leaving",
    ("serving", "tell"): "told",
    ("serving", "overrun"): "overdue",
    ("due", "fall_due"): "due",
    ("due", "leave"): "leaving",
    ("due", "tell"): "told",
    ("due", "overrun"): "overdue",
    ("overdue", "fall_due"): "overdue",
    ("overdue", "leave"): "leaving",
    ("overdue", "tell"): "told",
    ("overdue", "overrun"): "overdue",
    ("leaving", "fall_due"): "leaving",
    ("leaving", "leave"): "leaving",
    ("leaving", "tell"): "told",
    ("leaving", "overrun"): "leaving",
    ("told", "fall_due"): "told",
    ("told", "leave"): "told",
    ("told", "tell"): "told",
    ("told", "overrun"): "told",
}


class WayOut:
    """How far one worker has come on its way out.

    Attributes:
        due: why it fell due, in words; ``None`` when it did not.
        overran: the limit for which it was ended, in words; ``None`` when it was not.
        was_signalled: whether a signal that ends programs was sent to it by its handle (``worker.kill()``).
        was_killed: whether SIGKILL was sent from here.
        was_asked: whether an operator wished it gone.
    """

    __slots__ = ("_stage", "due", "overran", "was_asked", "was_killed", "was_signalled")

    def __init__(self) -> None:
        self._stage: Stage = "serving"
        self.due: str | None = None
        self.overran: str | None = None
        self.was_signalled = False
        self.was_killed = False
        self.was_asked = False

    @property
    def stage(self) -> Stage:
        """Where it stands now."""
        return self._stage

    @property
    def is_ending(self) -> bool:
        """Whether its end was asked for, by anybody: its place is to be filled."""
        return self._stage in ("leaving", "told")

    @property
    def was_told(self) -> bool:
        """Whether a signal that ends it was sent from here."""
        return self._stage == "told"

    @property
    def was_due(self) -> bool:
        """Whether it fell due at some time."""
        return self.due is not None

    def fall_due(self, reason: str) -> None:
        """It is to be replaced although nothing is wrong; the reason continues "the worker is due because ..."."""
        self.due = reason
        self._take("fall_due")

    def leave(self) -> None:
        """It was asked to leave, or said that it will."""
        self._take("leave")

    def tell(self) -> bool:
        """A signal that ends it is sent from here; return whether it is the first one."""
        first = self._stage != "told"
        self._take("tell")
        return first

    def overrun(self, limit: str) -> None:
        """It is ended for a limit, said in words that continue "the worker ..."."""
        self.overran = limit
        self._take("overrun")

    def _take(self, step: WayOutStep) -> None:
        self._stage = TRANSITIONS[self._stage, step]
