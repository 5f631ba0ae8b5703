"""Find the handler of a frame or a packet by its kind, in a table that capabilities register in.

A capability adds a kind where kinds are listed, and calls :meth:`Handlers.on`; no code that dispatches is edited.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Generic, Protocol, TypeVar

from ..errors import FrameError, InternalError

__all__ = ["Handlers"]


class _OfKind(Protocol):
    @property
    def kind(self) -> IntEnum: ...


Sender = TypeVar("Sender")
Item = TypeVar("Item", bound=_OfKind)


class Handlers(Generic[Sender, Item]):
    """A table ``kind → handler``; what no handler wants is an error of the sender.

    Args:
        unwanted: what to say of a kind that has no handler, up to its name.

    Attributes:
        by_kind: the table, for others to look at.
    """

    __slots__ = ("_unwanted", "by_kind")

    def __init__(self, unwanted: str) -> None:
        self.by_kind: dict[IntEnum, Callable[[Sender, Item], None]] = {}
        self._unwanted = unwanted

    def on(self, kind: IntEnum, handler: Callable[[Sender, Item], None]) -> None:
        """Call ``handler(sender, item)`` for everything of this kind.

        Raises:
            InternalError: the kind has a handler already.
        """
        if kind in self.by_kind:
            raise InternalError(f"{kind.name} has a handler already")
        self.by_kind[kind] = handler

    def wrap(
        self, kind: IntEnum, wrapped: Callable[[Callable[[Sender, Item], None]], Callable[[Sender, Item], None]]
    ) -> None:
        """Put what ``wrapped`` makes of it in the place of a kind's handler, if it has one."""
        if kind in self.by_kind:
            self.by_kind[kind] = wrapped(self.by_kind[kind])

    def handle(self, sender: Sender, item: Item) -> None:
        """Pass ``item`` to the handler of its kind.

        Raises:
            FrameError: nobody handles that kind here.
        """
        handler = self.by_kind.get(item.kind)
        if handler is None:
            raise FrameError(f"{self._unwanted}: {item.kind.name}")
        handler(sender, item)
