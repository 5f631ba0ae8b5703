"""Tell other workers of sessions in pieces, so that none holds up a channel for long, however many there are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import structs

from ..wire import Told
from .sessions import Session

__all__ = ["MOST_BYTES", "MOST_SESSIONS", "pieces", "size_of"]

MOST_SESSIONS: Final = 200
"""In one piece."""

MOST_BYTES: Final = 256 * 1024
"""In one piece, unless one session alone has more."""

_UNKNOWN_SIZE: Final = 1024


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


def size_of(data: object) -> int:
    """Return about how many bytes something takes."""
    try:
        return len(msgspec.json.encode(data))
    except (TypeError, ValueError):
        return _UNKNOWN_SIZE
