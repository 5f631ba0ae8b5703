"""Delay, drop and reorder messages, for tests.

Only a process under test ever has such faults, and only from when a test asks for one: see
:mod:`nodecluster_compat.under_test`.  What the runtime says for itself (``online``, ``listening``, ``disconnect``) is
spared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, Protocol

from .frames import FrameKind

__all__ = ["APPLICATION_KINDS", "MessageFaults"]

APPLICATION_KINDS: Final = frozenset(
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


class MessageFaults(Protocol):
    """What happens to each message on its way, in both directions."""

    def __call__(
        self, step: Literal["receive", "send"], pass_on: Callable[[], None], lose: Callable[[], None] | None
    ) -> None:
        """Take a message: call ``pass_on`` or ``lose``, now, or later in the loop with the lock held.

        Args:
            step: whether it has come to this process, or leaves it.
            pass_on: lets it go on.
            lose: forgets it; ``None`` where its sender waits for word of the descriptor that goes with it.
        """
