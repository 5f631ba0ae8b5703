"""Find out whether a client may still be sending the body of a request that was answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..gunicorn_types import PlainRequest

__all__ = ["is_unread"]


def is_unread(req: PlainRequest) -> bool:
    """Whether the client may still be sending the body of a request."""
    reader = getattr(req.body, "reader", None)
    length = getattr(reader, "length", None)
    return length > 0 if isinstance(length, int) else getattr(reader, "parser", None) is not None
