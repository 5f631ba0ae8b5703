"""Note the requests of a test, for the report and the page of its failure: the last ones, in bounded memory."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ["MOST_NOTED", "NotedRequest", "NotedRequests"]

MOST_NOTED = 1000


@dataclass(frozen=True, slots=True)
class NotedRequest:
    """A request that a client of the test has sent, and what has become of it."""

    time: float
    """When it was sent, by the monotonic clock."""
    seconds: float
    """Until its answer was there, or its error."""
    method: str
    target: str
    status: int | None
    """Of the answer; ``None`` where there was none."""
    worker: int | None
    """Who has answered, as far as that is known."""
    error: str = ""
    """Why there was no answer."""

    def __str__(self) -> str:
        outcome = self.error if self.status is None else str(self.status)
        return f"{self.method} {self.target} {outcome} in {self.seconds * 1000:.1f} ms"


NotedRequests = deque[NotedRequest]
"""The last :data:`MOST_NOTED`; any thread may add one."""
