"""Delay, drop and reorder messages, for tests.

Only a process under test ever has a toll, and only from when a test asks for such a fault: see
:mod:`nodecluster_compat.under_test`.  What the runtime says for itself (``online``, ``listening``, ``disconnect``) pays
none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, Protocol

from .frames import FrameKind

__all__ = ["TOLLED", "Toll"]

TOLLED: Final = frozenset(
    {
        FrameKind.MESSAGE,
        FrameKind.HANDLE,
        FrameKind.REQUEST,
        FrameKind.REPLY,
        FrameKind.PUBLISH,
        FrameKind.CALL,
        FrameKind.RETURN,
    }
)
"""The kinds that carry something of the application's."""


class Toll(Protocol):
    """Whom each message has to pass, in both directions."""

    def __call__(
        self, step: Literal["receive", "send"], pass_on: Callable[[], None], lose: Callable[[], None] | None
    ) -> None:
        """Take a message: call ``pass_on`` or ``lose``, now, or later in the loop with the lock held.

        Args:
            step: whether it has come to this process, or leaves it.
            pass_on: lets it go on.
            lose: forgets it; ``None`` where its sender waits for word of the descriptor that goes with it.
        """
