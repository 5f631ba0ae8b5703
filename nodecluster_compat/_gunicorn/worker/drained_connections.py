"""Define the connections of a worker as a drain sees them, whatever engine serves them."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Connections"]


class Connections(Protocol):
    """The connections of one worker."""

    def __len__(self) -> int:
        """Return how many have not ended."""

    def end_idle(self) -> None:
        """Wait for no further request: idle connections end, at once or when their client is not sending one.

        The others end when they have been answered; so do those that come from now on.
        """

    def end_idle_now(self) -> None:
        """The drain is at its limit: end what is idle without waiting for anything.  Returns when that is done."""

    def cut(self) -> None:
        """End the rest in the middle of their requests, as far as the engine can; waits for them a second at most."""
