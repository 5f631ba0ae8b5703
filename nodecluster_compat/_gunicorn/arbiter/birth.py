"""Hold what a worker process is born with: its channels, the addresses that it serves, the memory that it shares."""

from __future__ import annotations

import _socket
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...base.records import ServedAddress
    from ...connections.connection_faults import ConnectionFaults
    from ...connections.receiver import Receiver
    from ...machine.heartbeat import Heartbeat
    from ...machine.notebook import Notebook
    from ...roles.this_worker import ClusterWorker

from msgspec import Struct

from ...operations.metrics.shared_values import abandon_values
from ...operations.metrics.this_meter import abandon_meter, this_meter

__all__ = ["Birth"]


class Birth(Struct):
    """Holds what a worker process is born with.

    Attributes:
        members: returns the workers that serve, by slot.
        on_abandoned: called in a process that the worker forks.
        faults: under test, what happens to each connection.
    """

    member: ClusterWorker
    connections: _socket.socket
    served: list[ServedAddress]
    heartbeat: Heartbeat
    notebook: Notebook
    members: Callable[[], dict[int, int]]
    receiver: Receiver | None = None
    on_abandoned: Callable[[], None] | None = None
    faults: ConnectionFaults | None = None

    def receives(self, receiver: Receiver) -> None:
        """Connections come from now on."""
        self.receiver = receiver
        if self.faults is not None:
            receiver.interpose(self.faults, this_meter().count_failed)

    def interpose(self, faults: ConnectionFaults) -> None:
        """Under test: leave each connection that comes from now on, as soon as any can, to ``faults``."""
        self.faults = faults
        if self.receiver is not None:
            self.receives(self.receiver)

    def cut_connections(self) -> None:
        """Under test: break the connection channel; both sides see its end."""
        with contextlib.suppress(OSError):  # it is closed already
            self.connections.shutdown(_socket.SHUT_RDWR)

    def abandon(self) -> None:
        """In a process that the worker forked: none of this is that process's own."""
        self.member.abandon()
        self.heartbeat.close()
        abandon_meter()
        abandon_values()
        self.notebook.close()
        if self.on_abandoned is not None:
            self.on_abandoned()
        if self.receiver is not None:
            self.receiver.abandon()
        else:
            self.connections.close()
