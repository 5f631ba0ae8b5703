"""A cluster that is yet to be started: what a test wants to happen at its first boot can be said now."""

from __future__ import annotations

import time
from collections.abc import Callable

from .cluster import Cluster
from .errors import ClusterError
from .faults import Faults
from .options import ClusterOptions
from .readiness import bring_up, prepare_server

__all__ = ["PreparedCluster"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all


class PreparedCluster:
    """What ``cluster_factory(start=False)`` returns.

    Attributes:
        options: what it will be started with.
        faults: those of workers: ``boot_failure``, ``at``, ``hold``, ``slow``, ``fail_next``. They are in place when
            the first worker is born, and stay the cluster's.

    :param pythonpath: where its application is imported from.
    :param started: called with the cluster, and the seconds that its start has taken.
    """

    def __init__(self, options: ClusterOptions, *, pythonpath: str, started: Callable[[Cluster, float], None]) -> None:
        self.options = options
        self._server = prepare_server(options, pythonpath=pythonpath)
        self.faults = Faults(self._server, options)
        self._started = started
        self._is_new = True

    def start(self, *, workers: int | None = None) -> Cluster:
        """Start it, and return the cluster when it is ready.

        :param workers: so many must listen (default: all of them), when a fault keeps the others.
        :raises StartError: it ended, or was not ready in time.
        :raises ClusterError: it has been started already, or *workers* is no number that can be.
        """
        wanted = self.options.workers if workers is None else workers
        if not 1 <= wanted <= self.options.workers:
            raise ClusterError(f"expected 1 to {self.options.workers} workers to wait for, got {wanted}")
        if not self._is_new:
            raise ClusterError("this cluster has been started already; cluster_factory() prepares another")
        self._is_new = False
        begin = time.monotonic()
        endpoint = bring_up(self._server, self.options, workers=wanted)
        cluster = Cluster(self.options, self._server, endpoint, self.faults)
        self._started(cluster, time.monotonic() - begin)
        return cluster

    def discard(self) -> None:
        """Remove what was prepared, unless it has been started."""
        if self._is_new:
            self._is_new = False
            self._server.abort()

    def __repr__(self) -> str:
        return f"<cluster of {self.options.target}, {'not started' if self._is_new else 'started'}>"
