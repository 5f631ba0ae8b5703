"""Describe a client as any worker sees it: what ``fetch_sockets`` returns."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

__all__ = ["RemoteSocket"]


class RemoteSocket(Struct, frozen=True):
    """A client of some worker.

    Attributes:
        sid: its Socket.IO session id.
        namespace: in which it has that id.
        rooms: where it is, its own id among them.
        session: what ``save_session`` has kept for it.
        transport: ``"polling"`` or ``"websocket"``.
        address: ``REMOTE_ADDR`` of its first request; ``None`` where that is not known.
        worker_id: who serves it.
    """

    sid: str
    namespace: str
    rooms: list[str]
    session: dict[str, Any]
    transport: str
    address: str | None
    worker_id: int
