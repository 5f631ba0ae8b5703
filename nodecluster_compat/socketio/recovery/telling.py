"""Tell other workers of sessions in pieces, so that none holds up a channel for long, however many there are.

python-socketio lets a session hold any object.  Of one that cannot be sent the others are told where its client is, and
that its time is over: its own worker alone can give it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import msgspec
from msgspec import structs

from ...errors import MessageNotSerializable, MessageTooLarge
from ..wire import Told
from .sessions import Session

__all__ = ["MOST_BYTES", "MOST_SESSIONS", "pieces", "size_of", "tell_each"]

MOST_SESSIONS: Final = 200
"""In one piece."""

MOST_BYTES: Final = 256 * 1024
"""In one piece, unless one session alone has more."""

_UNKNOWN_SIZE: Final = 1024
_OVER: Final = {"rooms": [], "data": {}, "left_at": -(1 << 53)}

CannotBeTold: TypeAlias = "MessageNotSerializable | MessageTooLarge"


def pieces(sessions: Iterable[Session]) -> list[list[Told]]:
    """Return sessions as they are told."""
    made: list[list[Told]] = []
    room = 0
    for session in sessions:
        told = structs.asdict(session)
        size = size_of(told)
        if not made or size > room or len(made[-1]) >= MOST_SESSIONS:
            made.append([])
            room = MOST_BYTES
        made[-1].append(told)
        room -= size
    return made


def tell_each(piece: list[Told], tell: Callable[[list[Told]], None], refused: Callable[[CannotBeTold], object]) -> None:
    """Tell of the sessions of a piece.

    Args:
        piece: of :func:`pieces`.
        tell: tells others of some of them.
        refused: told why one cannot be sent.
    """
    try:
        tell(piece)
    except (MessageNotSerializable, MessageTooLarge) as error:
        if len(piece) > 1:
            for told in piece:
                tell_each([told], tell, refused)
        else:
            refused(error)
            tell([{**told, **_OVER} for told in piece])


def size_of(data: object) -> int:
    """Return about how many bytes something takes."""
    try:
        return len(msgspec.json.encode(data))
    except (TypeError, ValueError):
        return _UNKNOWN_SIZE
