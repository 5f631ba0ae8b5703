"""Say what a bad network does to each connection: pure, and the same for the same seed.

Which connection is refused, and which of its segments are lost, follows from the seed and the connection's number
alone.  TCP repeats a segment that was lost, so an application sees no loss: it sees a pause, of 0.2 s (Linux' shortest
time to wait for a word of it), twice as long for each time that it is lost again, and nothing after it comes before.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["Conditions", "Course"]

SEGMENT_BYTES = 1460
REPEATED_AFTER_SECONDS = 0.2
MOST_REPEATS = 6


@dataclass(frozen=True, slots=True)
class Conditions:
    """How the network is: by default as it should be."""

    delay: float = 0.0
    """Seconds that everything takes longer, in each direction."""
    jitter: float = 0.0
    """Up to so many seconds more."""
    loss: float = 0.0
    """Which share of segments is lost, and has to be sent again."""
    refuse: float = 0.0
    """Which share of connections is reset as soon as it is made."""
    cut_after: int | None = None
    """Bytes of answers after which a connection is reset."""
    silent: bool = False
    """Whether nothing gets through, and nobody is told; what was sent comes when that is over."""
    seed: int = 0

    def __str__(self) -> str:
        told = [
            f"delay {self.delay:g} s" if self.delay else "",
            f"jitter {self.jitter:g} s" if self.jitter else "",
            f"loss {self.loss:g}" if self.loss else "",
            f"refuse {self.refuse:g}" if self.refuse else "",
            f"cut after {self.cut_after} bytes" if self.cut_after is not None else "",
            "silent" if self.silent else "",
        ]
        return ", ".join(filter(None, told)) or "as it should be"


class Course:
    """What happens to one direction of one connection.

    :param name: ``out`` or ``back``.
    """

    def __init__(self, seed: int, number: int, name: str) -> None:
        self._random = random.Random(f"{seed}:{number}:{name}")  # noqa: S311 - no secret

    def is_refused(self, conditions: Conditions) -> bool:
        """Whether the connection is reset at once; asked first, and once."""
        return self._random.random() < conditions.refuse

    def lateness(self, size: int, conditions: Conditions) -> float:
        """Return by how many seconds so many bytes are late that come together."""
        late = conditions.delay + self._random.random() * conditions.jitter
        if not conditions.loss:
            return late
        return late + max(self._pause(conditions.loss) for _ in range(max(1, -(-size // SEGMENT_BYTES))))

    def _pause(self, loss: float) -> float:
        repeats = 0
        while repeats < MOST_REPEATS and self._random.random() < loss:
            repeats += 1
        return REPEATED_AFTER_SECONDS * ((1 << repeats) - 1)
