"""Define the states of a worker, as the primary sees it: one table, nothing else.

    none ──online──▶ online ──listening──▶ listening ─┐
      │                │                    │  ▲ listening (one for each socket served)
      └───disconnect───┴─────disconnect─────┘  └──────┘
                         ▼
                   disconnected ──exit──▶ dead

Two rules make the order of events part of the contract:

* ``exit`` is legal only after ``disconnect``: whoever reaps a worker disconnects it first, so that
  ``disconnect`` always comes and always comes before ``exit`` (Node: usually, and not always).
* a move that the table does not have raises and changes nothing.  A worker that announces itself
  twice is therefore found out here, and its channel is treated as broken.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from ..errors import IllegalTransition

__all__ = ["TRANSITIONS", "Lifecycle", "State", "Step"]

State: TypeAlias = Literal["none", "online", "listening", "disconnected", "dead"]
Step: TypeAlias = Literal["online", "listening", "disconnect", "exit"]

TRANSITIONS: Final[dict[tuple[State, Step], State]] = {
    ("none", "online"): "online",
    ("online", "listening"): "listening",
    ("listening", "listening"): "listening",
    ("none", "disconnect"): "disconnected",
    ("online", "disconnect"): "disconnected",
    ("listening", "disconnect"): "disconnected",
    ("disconnected", "exit"): "dead",
}


class Lifecycle:
    """The current state of one worker, moved only along :data:`TRANSITIONS`."""

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state: State = "none"

    @property
    def state(self) -> State:
        """The state now."""
        return self._state

    def advance(self, step: Step) -> State:
        """Take one step and return the new state.

        Raises:
            IllegalTransition: the table has no such move; the state is unchanged.
        """
        try:
            self._state = TRANSITIONS[self._state, step]
        except KeyError:
            raise IllegalTransition(f"a worker that is {self._state!r} cannot take the step {step!r}") from None
        return self._state
