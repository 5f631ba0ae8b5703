"""Define the numbers that workers count, and the protocol by which the status reads them.

The status is composed in one place, which asks :class:`Numbers` for what it cannot know by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from .status import Durations
    from .worker_handle import WorkerHandle

__all__ = ["LAG_DIGITS", "NO_NUMBERS", "NoNumbers", "Numbers", "TotalNumbers", "WorkerNumbers"]

LAG_DIGITS: Final = 1
"""Of the seconds that a loop is late.  Not more, or the status file would be written all the time."""


class WorkerNumbers(Struct, frozen=True):
    """The numbers that a worker, and the kernel for it, have counted; ``None`` where one is not known.

    Attributes:
        requests: that it has answered.
        active_requests: that it is answering.
        oldest_request_seconds: how long the oldest of these has taken by now.
        connections: that it has open.
        rss_bytes: its resident memory.
        cpu_seconds: of processor time, user and system.
    """

    requests: int | None = None
    active_requests: int | None = None
    oldest_request_seconds: float | None = None
    connections: int | None = None
    rss_bytes: int | None = None
    cpu_seconds: float | None = None


class TotalNumbers(Struct, frozen=True):
    """The sums over all workers since the server began, dead ones included; ``None`` where one is not known.

    Attributes:
        requests: that were answered.
        responses: the same by class: ``1xx`` to ``5xx``.
        connections: that were taken.
        durations: how long the requests took.
    """

    requests: int | None = None
    responses: Mapping[str, int] | None = None
    connections: int | None = None
    durations: Durations | None = None


if TYPE_CHECKING:

    class Numbers(Protocol):
        """Knows the numbers of the workers; registered with ``StatusBoard.numbers``."""

        def of(self, worker: WorkerHandle) -> WorkerNumbers:
            """Return those of one worker, alive, blocked, or about to be reaped."""

        def totals(self) -> TotalNumbers:
            """Return those of all workers since the server began."""


class NoNumbers:
    """Nobody counts."""

    def of(self, worker: WorkerHandle) -> WorkerNumbers:
        """Return that nothing is known."""
        return WorkerNumbers()

    def totals(self) -> TotalNumbers:
        """Return that nothing is known."""
        return TotalNumbers()


NO_NUMBERS: Final[Numbers] = NoNumbers()
