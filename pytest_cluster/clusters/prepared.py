"""Prepare a cluster without starting it, so that a test can inject faults into its first boot."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from ..errors import ClusterError
from ..faults.cluster_faults import Faults
from ..options.checks import check_count
from ..options.cluster_options import ClusterOptions
from .cluster import Cluster
from .readiness import bring_up, prepare_server

__all__ = ["PreparedCluster"]

State = Literal["prepared", "started", "started, and has failed", "removed with its test"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all


class PreparedCluster:
    """A cluster that is not started yet: ``cluster_factory(start=False)`` returns it.

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
        self.faults: Faults = Faults(self._server, options)
        self._started = started
        self._state: State = "prepared"

    def start(self, *, workers: int | None = None) -> Cluster:
        """Start it, and return the cluster when it is ready.

        :param workers: so many must listen (default: all of them), when a fault keeps the others.
        :raises StartError: it ended, or was not ready in time.
        :raises ClusterError: it has been started already, or removed with its test.
        :raises OptionError: *workers* is no number that can be.
        """
        wanted = self.options.workers if workers is None else workers
        check_count("start(workers)", wanted, 1, self.options.workers)
        if self._state != "prepared":
            raise ClusterError(f"this cluster was {self._state}; cluster_factory(start=False) prepares another")
        self._state = "started, and has failed"
        begin = time.monotonic()
        endpoint = bring_up(self._server, self.options, workers=wanted)
        self._state = "started"
        cluster = Cluster(self.options, self._server, endpoint, self.faults)
        self._started(cluster, time.monotonic() - begin)
        return cluster

    def discard(self) -> None:
        """Remove what was prepared, unless it has been started.  The fixture does this."""
        if self._state == "prepared":
            self._state = "removed with its test"
            self._server.abort()

    def __repr__(self) -> str:
        return f"<cluster of {self.options.target}, {self._state}>"
