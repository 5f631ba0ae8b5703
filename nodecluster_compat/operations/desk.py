"""What the agents of a test ask of the arbiter and of a worker; see :mod:`nodecluster_compat.under_test`."""

from __future__ import annotations

import os
import signal as signals
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..errors import NotInCluster
from ..roles.cluster import cluster

if TYPE_CHECKING:
    from .._gunicorn.arbiter.cluster_arbiter import ClusterArbiter
    from ..lifecycle.rollout import ReloadReport
    from ..roles.worker_handle import WorkerHandle

__all__ = ["PrimaryTestHost", "WorkerTestHost"]


class PrimaryTestHost:
    """The primary, as its agent needs it."""

    def __init__(self, arbiter: ClusterArbiter) -> None:
        self._arbiter = arbiter
        loop = arbiter.loop
        self.add_reader, self.remove_reader = loop.add_reader, loop.remove_reader
        self.add_writer, self.remove_writer = loop.add_writer, loop.remove_writer

    def send(self, worker: int, message: Any) -> bool:
        """Send a message to a worker."""
        return self._worker(worker).send(message)

    def disconnect_worker(self, worker: int) -> None:
        """Disconnect a worker."""
        self._worker(worker).disconnect()

    def disconnect(self) -> None:
        """Disconnect all of them."""
        cluster.disconnect()

    def scale(self, workers: int) -> None:
        """Have so many workers from now on, as after TTIN and TTOU."""
        if not self._arbiter.is_supervised:
            raise NotInCluster("nobody keeps a number of workers in script mode: the script forks")
        self._arbiter.num_workers = workers
        self._arbiter.wakeup()

    def reload(self, callback: Callable[[Any], Any]) -> None:
        """Reload; call back with the report as a mapping."""

        def done(report: ReloadReport) -> None:
            callback(asdict(report))

        cluster.reload(done)

    def status(self) -> dict[str, Any]:
        """Return the status as a mapping; empty in script mode."""
        return asdict(cluster.status) if self._arbiter.is_supervised else {}

    def end(self) -> None:
        """End at once: QUIT in server mode, TERM in script mode."""
        os.kill(os.getpid(), signals.SIGQUIT if self._arbiter.is_supervised else signals.SIGTERM)

    def _worker(self, worker: int) -> WorkerHandle:
        try:
            return cluster.workers[worker]
        except KeyError:
            raise NotInCluster(f"there is no worker {worker} (any more)") from None


class WorkerTestHost:
    """A worker, as its agent needs it.

    Args:
        reactor: the runtime's.
        throw: raises an exception in the main greenlet.
    """

    def __init__(self, reactor: Any, throw: Callable[[BaseException], None]) -> None:
        from ..runtime.greenlet_stacks import blocking_sleep, greenlet_stacks

        self.add_reader, self.remove_reader = reactor.add_reader, reactor.remove_reader
        self.add_writer, self.remove_writer = reactor.add_writer, reactor.remove_writer
        self.spawn: Callable[[Callable[[], None]], None] = reactor.spawn
        self.crash = throw
        self.greenlets = greenlet_stacks
        self.block = blocking_sleep
