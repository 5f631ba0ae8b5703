"""What a group of measurements is, and what it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from comparison.figures import Line
from comparison.tools import Tools


@dataclass(frozen=True)
class Run:
    """What the command line asked for.

    Attributes:
        quick: a smoke test of the script.
        sides: which take part.
        tools: the programs.
    """

    quick: bool
    sides: tuple[str, ...]
    tools: Tools

    @property
    def rounds(self) -> int:
        """How often each contestant has its turn, where all rounds have the same start of it."""
        return 2 if self.quick else 5

    @property
    def sets(self) -> int:
        """How often each contestant is started, where that is done in sets."""
        return 1 if self.quick else 5

    @property
    def rounds_of_set(self) -> int:
        """How often each contestant has its turn in a set."""
        return 2 if self.quick else 3

    def seconds(self, full: int = 3) -> int:
        """How long a round takes."""
        return 1 if self.quick else full

    def scaled(self, full: int, quick: int) -> int:
        """A count, smaller in a quick run."""
        return quick if self.quick else full

    def among(self, *sides: str) -> list[str]:
        """Those of these sides that take part, in this order."""
        return [side for side in sides if side in self.sides]


@dataclass(frozen=True)
class Group:
    """Lines that are measured together.

    Attributes:
        name: what `--only` takes.
        title: names it for people.
        measure: measures the lines.
        needs_wrk: whether that takes wrk.
        in_sets: whether each figure is of another start of the servers.
    """

    name: str
    title: str
    measure: Callable[[Run], list[Line]]
    needs_wrk: bool = False
    in_sets: bool = False
