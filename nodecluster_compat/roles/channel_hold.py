"""Say whether a channel keeps its process alive: Node's ``ref()`` and ``unref()``, on both sides of it."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["ChannelHold"]


class ChannelHold:
    """Whether a channel keeps its process alive: Node's ``process.channel``."""

    def __init__(self, hold: Callable[[bool], None]) -> None:
        self._hold = hold
        self._holds = True

    def ref(self) -> ChannelHold:
        """Keep the process alive while the channel is open, as it does unless told otherwise."""
        self._holds = True
        self._hold(True)
        return self

    def unref(self) -> ChannelHold:
        """Let the process end although the channel is open: when no server, timer or connection is left."""
        self._holds = False
        self._hold(False)
        return self

    def has_ref(self) -> bool:
        """Whether it keeps the process alive."""
        return self._holds
