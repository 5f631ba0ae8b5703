"""Tell other workers of sessions and packets in pieces, so that none holds up a channel for long.

python-socketio lets a session hold any object.  Of one that cannot be sent the others are told where its client is, and
that its time is over: its own worker alone can give it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias, TypeVar

import msgspec
from msgspec import structs

from ...errors import MessageNotSerializable, MessageTooLarge
from ..wire import Told
from .sessions import Session

__all__ = ["MOST_BYTES", "MOST_ITEMS", "in_pieces", "over", "pieces", "size_of", "tell_each"]

MOST_ITEMS: Final = 200
"""In one piece."""

MOST_BYTES: Final = 256 * 1024
"""In one piece, unless one item alone has more."""

_UNKNOWN_SIZE: Final = 1024
_OVER: Final = {"rooms": [], "data": {}, "left_at": -(1 << 53)}

_Item = TypeVar("_Item")
CannotBeTold: TypeAlias = "MessageNotSerializable | MessageTooLarge"


def pieces(sessions: Iterable[Session]) -> list[list[Told]]:
    """Return sessions as they are told."""
    return in_pieces([structs.asdict(session) for session in sessions], size_of)


def in_pieces(items: Iterable[_Item], size: Callable[[_Item], int]) -> list[list[_Item]]:
    """Return items in pieces that are told one by one.

    Args:
        items: in their order.
        size: about how many bytes one takes.
    """
    made: list[list[_Item]] = []
    room = 0
    for item in items:
        bytes_of_it = size(item)
        if not made or bytes_of_it > room or len(made[-1]) >= MOST_ITEMS:
            made.append([])
            room = MOST_BYTES
        made[-1].append(item)
        room -= bytes_of_it
    return made


def tell_each(
    piece: list[Told], tell: Callable[[list[Told]], None], refused: Callable[[Told, CannotBeTold], object]
) -> None:
    """Tell of what is in a piece, without what cannot be told.

    Args:
        piece: of :func:`in_pieces`.
        tell: tells others of some of it.
        refused: called with what cannot be sent, and why.
    """
    try:
        tell(piece)
    except (MessageNotSerializable, MessageTooLarge) as error:
        if len(piece) > 1:
            for told in piece:
                tell_each([told], tell, refused)
        else:
            refused(piece[0], error)


def over(session: Told) -> Told:
    """Return what others are told of a session that cannot be sent."""
    return {**session, **_OVER}


def size_of(data: object) -> int:
    """Return about how many bytes something takes."""
    try:
        return len(msgspec.json.encode(data))
    except (TypeError, ValueError):
        return _UNKNOWN_SIZE
