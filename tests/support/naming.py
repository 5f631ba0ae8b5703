"""A policy that names workers, for tests of what dealing promises to such policies."""

from __future__ import annotations

from nodecluster_compat.base.records import Connection


class Naming:
    """Names the worker that a connection asks for by its peer; without a wish, the first that is idle."""

    def __init__(self) -> None:
        self.idle: dict[int, None] = {}

    def add(self, worker_id: int) -> None:
        self.idle.setdefault(worker_id)

    def remove(self, worker_id: int) -> None:
        self.idle.pop(worker_id, None)

    def choose(self, connection: Connection) -> int | None:
        chosen = int(str(connection.peer)) if connection.peer else next(iter(self.idle), None)
        self.idle.pop(chosen or 0, None)
        return chosen
