"""The seat of a Socket.IO manager in a cluster without a process."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, cast

from nodecluster_compat.socketio.group_seat import Envelope
from nodecluster_compat.socketio.shared import Clustered


class StandInSeat:
    """Keeps what a manager of worker 1 posts, and what is to be called later."""

    worker_id = 1
    lock = nullcontext()
    memory: object = None

    def __init__(self, manager: Clustered) -> None:
        self.told: list[tuple[int, dict[str, Any]]] = []
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.waited_for: list[object] = []
        self.runtime = self
        self._manager = manager
        manager._seat, manager._seat_pid = cast("Any", self), os.getpid()

    def post(self, body: bytes, target: int, own: object) -> None:
        self.wait_for(self.begin_post(body, target, own))

    def begin_post(self, body: bytes, target: int, _: object) -> object:
        self.told.append((target, self._manager._wire().decode(body)))
        return self.told[-1]

    def wait_for(self, posted: object) -> None:
        self.waited_for.append(posted)

    async def wait_for_async(self, posted: object) -> None:
        self.waited_for.append(posted)

    async def post_async(self, body: bytes, target: int, own: object) -> None:
        await self.wait_for_async(self.begin_post(body, target, own))

    def took(self, envelope: Envelope) -> None:
        pass

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        self.later.append((seconds, callback))
