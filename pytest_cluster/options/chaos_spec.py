"""Name a plan of faults in one word: a seed, and perhaps some of its steps."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["ChaosSpec", "parse_spec"]

SPEC = re.compile(r"(\d{1,18})(?::((?:\d+(?:,\d+)*)?))?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class ChaosSpec:
    """A plan, as ``--cluster-chaos`` names it: ``42``, or ``42:3,7`` for two of its steps only."""

    seed: int
    steps: tuple[int, ...] | None = None
    """``None``: every step."""

    def has(self, step: int) -> bool:
        """Whether something happens at a step."""
        return self.steps is None or step in self.steps

    def __str__(self) -> str:
        return f"{self.seed}" if self.steps is None else f"{self.seed}:{','.join(map(str, self.steps))}"


def parse_spec(text: str) -> ChaosSpec:
    """Return the plan that *text* names.

    :raises ValueError: it names none.
    """
    found = SPEC.match(text.strip())
    if found is None:
        raise ValueError(f"expected a seed, as 42, or with the steps that have faults, as 42:3,7, not {text!r:.100}")
    steps = None if found[2] is None else tuple(sorted({int(one) for one in found[2].split(",") if one}))
    return ChaosSpec(int(found[1]), steps)
