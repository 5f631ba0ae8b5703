"""Hear from the kernel which workers have taken what lay in their channels: by edges of an epoll of their own.

The kernel tells of each edge once.  Where acting on some has failed, it is asked to tell again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..base.loop import original
from .dealing_loop import EDGE, WRITABLE
from .offers import OfferingEnd

if TYPE_CHECKING:
    import select

__all__ = ["TakenEdges"]


class TakenEdges:
    """The edges of all channels of one engine.

    Args:
        ends: the channels in use, by worker.

    Attributes:
        epoll: tells of the edges; C asks it as well.
    """

    def __init__(self, ends: Mapping[int, OfferingEnd]) -> None:
        self._ends = ends
        self.epoll: select.epoll = original("select", "epoll")()

    def add(self, end: OfferingEnd) -> None:
        """Hear of this channel from now on."""
        self.epoll.register(end.fileno(), WRITABLE | EDGE)

    def remove(self, end: OfferingEnd) -> None:
        """Hear of it no more."""
        self.epoll.unregister(end.fileno())

    def tell_again(self) -> None:
        """Have the kernel tell again of all channels whose offers are taken."""
        for end in self._ends.values():
            self.epoll.modify(end.fileno(), WRITABLE | EDGE)
