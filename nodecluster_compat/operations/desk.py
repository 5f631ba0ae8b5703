"""Carry out orders to a running cluster by name: send, disconnect, scale, reload, status, end.

It knows neither sockets nor the arbiter.  The agent of a test, which takes the orders, brings them here.  What only the
server can do is given to the constructor.  A capability adds its orders by :meth:`Desk.on`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeAlias

from ..base.records import Message
from ..errors import NotInCluster

if TYPE_CHECKING:
    from ..lifecycle.rollout import ReloadReport
    from ..roles.cluster import Cluster
    from ..roles.worker_handle import WorkerHandle

__all__ = ["Desk"]

Handler: TypeAlias = Callable[..., object]


class Desk:
    """Carries out the orders that the primary gets.

    Args:
        cluster: the primary's.
        scale: has so many workers from now on; ``None`` in script mode, where nobody keeps a number.
        end_signal: ends the server, quickly.
    """

    def __init__(self, cluster: Cluster, scale: Callable[[int], None] | None, end_signal: int) -> None:
        self._cluster = cluster
        self._scale_server = scale
        self._end_signal = end_signal
        self._handlers: dict[str, Handler] = {}
        self.on("send", self._send)
        self.on("disconnect_worker", self._disconnect_worker)
        self.on("disconnect", self._disconnect)
        self.on("scale", self._scale)
        self.on("reload", self._reload)
        self.on("status", self._status)
        self.on("end", self._end)

    def on(self, verb: str, handler: Handler) -> None:
        """Let ``handler`` carry out ``verb`` from now on.

        Raises:
            ValueError: another one does.
        """
        if verb in self._handlers:
            raise ValueError(f"expected a new verb, got {verb!r}, which has a handler")
        self._handlers[verb] = handler

    def perform(self, verb: str, *arguments: object) -> object:
        """Carry out ``verb``; return what its handler returns, raise what it raises.

        Raises:
            LookupError: nobody carries it out.
        """
        try:
            handler = self._handlers[verb]
        except KeyError:
            raise LookupError(f"expected one of {', '.join(self._handlers)}, got {verb!r}") from None
        return handler(*arguments)

    # --- the verbs of every cluster ------------------------------------------------------------

    def _send(self, worker: int, message: Message) -> bool:
        return self._worker(worker).send(message)

    def _disconnect_worker(self, worker: int) -> None:
        self._worker(worker).disconnect()

    def _disconnect(self) -> None:
        self._cluster.disconnect()

    def _scale(self, workers: int) -> None:
        """As after TTIN and TTOU."""
        if self._scale_server is None:
            raise NotInCluster("nobody keeps a number of workers in script mode: the script forks")
        self._scale_server(workers)

    def _reload(self, callback: Callable[[Any], Any]) -> None:
        """Call back with the report as a mapping."""

        def done(report: ReloadReport) -> None:
            callback(asdict(report))

        self._cluster.reload(done)

    def _status(self) -> dict[str, Any]:
        """Return a mapping; empty in script mode."""
        return {} if self._scale_server is None else asdict(self._cluster.status)

    def _end(self) -> None:
        os.kill(os.getpid(), self._end_signal)

    def _worker(self, worker: int) -> WorkerHandle:
        try:
            return self._cluster.workers[worker]
        except KeyError:
            raise NotInCluster(f"there is no worker {worker} (any more)") from None
