"""Hold what a worker process is born with: its channels, the addresses that it serves, the memory that it shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable

    from ...base.records import ServedAddress
    from ...connections.receiver import Receiver
    from ...machine.heartbeat import Heartbeat
    from ...machine.notebook import Notebook
    from ...roles.this_worker import ClusterWorker

from msgspec import Struct

from ...operations.metrics.shared_values import worker_is_left
from ..requests.metering import leave_meter

__all__ = ["Birth"]


class Birth(Struct):
    """What a worker process is born with.

    Attributes:
        members: returns the workers that serve, by slot.
        on_abandoned: called in a process that the worker forks.
    """

    member: ClusterWorker
    connections: _socket.socket
    served: list[ServedAddress]
    heartbeat: Heartbeat
    notebook: Notebook
    members: Callable[[], dict[int, int]]
    receiver: Receiver | None = None
    on_abandoned: Callable[[], None] | None = None

    def abandon(self) -> None:
        """In a process that the worker forked: none of this is that process's own."""
        self.member.abandon()
        self.heartbeat.close()
        leave_meter()
        worker_is_left()
        self.notebook.close()
        if self.on_abandoned is not None:
            self.on_abandoned()
        if self.receiver is not None:
            self.receiver.abandon()
        else:
            self.connections.close()
