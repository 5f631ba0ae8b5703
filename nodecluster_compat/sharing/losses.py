"""Count lost messages by reason, for the status and ``/metrics``.

a worker loses one ──▶ counted here ──within a second──▶ CALL lost ──▶ exchange of the primary: the sum of all
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Final, Literal, TypeAlias

__all__ = ["REASONS", "REPORT_SECONDS", "Losses", "Reason"]

Reason: TypeAlias = Literal[
    "slow_worker", "slow_handler", "slow_primary", "server_away", "foreign", "given_up", "too_large"
]
"""Why a message was lost.

``slow_worker``: 16 MiB waited for a worker that does not read.  ``slow_handler``: so much waited for a handler.
``slow_primary``: 16 MiB waited for the primary.  ``server_away``: the server of other hosts could not be reached, or
no worker of this host did so: the one that leads has gone, and the next one is not there yet.
``foreign``: another version's, or none that can be decoded.  ``given_up``: a durable one whose handlers always failed;
it is kept apart.  ``too_large``: what hosts cannot send each other.
"""

REASONS: Final[tuple[Reason, ...]] = (
    "slow_worker",
    "slow_handler",
    "slow_primary",
    "server_away",
    "foreign",
    "given_up",
    "too_large",
)

REPORT_SECONDS: Final = 1.0


class Losses:
    """What one process has lost since it has last said so; may be told from any thread.

    Args:
        later: calls back after so many seconds; returns whether it will.
        tell: tells the primary; returns whether that could be told.
    """

    def __init__(
        self,
        later: Callable[[float, Callable[[], None]], bool],
        tell: Callable[[Mapping[str, int]], bool],
    ) -> None:
        self._later = later
        self._tell = tell
        self._counts: Counter[str] = Counter()
        self._is_due = False
        self._lock = Lock()

    def count(self, reason: Reason, number: int = 1) -> None:
        """Count that so many were lost."""
        with self._lock:
            self._counts[reason] += number
            if self._is_due:
                return
            self._is_due = True
        if not self._later(REPORT_SECONDS, self._report):
            self._is_due = False  # the next one tries again

    def tell_now(self) -> None:
        """Before this process ends: say so at once."""
        self._report()

    def _report(self) -> None:
        with self._lock:
            if not self._counts:
                self._is_due = False
                return
            counts, self._counts = self._counts, Counter()
            self._is_due = False
        if not self._tell(counts):
            with self._lock:
                self._counts.update(counts)
