"""Lease, verify, reuse: a test gets a cluster that an earlier one has left exactly as it was, or a new one.

A cluster is worth keeping only while a later test of this run asks for the same options, so it is kept no longer: it
is ended in the teardown of the last test that can use it, and what goes wrong with its end is that test's failure. At
most two are kept.

*As it was* means: the same workers, nothing injected, nothing ended, no request under way, no traceback in the logs,
no descriptor more in the primary. What the application itself remembers is not looked at: a test that minds says
``fresh=True``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .waiting import poll, scaled

if TYPE_CHECKING:
    from .cluster import Cluster
    from .options import ClusterOptions

__all__ = ["Lease", "Pool"]

MOST_KEPT = 2
QUIET_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Lease:
    """A cluster as it was when a test got it."""

    cluster: Cluster
    seq: int
    descriptors: int
    injected: int
    is_reused: bool


@dataclass(slots=True)
class Pool:
    """The clusters that are kept between tests."""

    _free: dict[str, Cluster] = field(default_factory=dict)

    def lease(self, options: ClusterOptions, start: Callable[[], Cluster]) -> Lease:
        """Return a cluster with these options, an idle one if there is one that still is as it should be."""
        kept = None if options.fresh else self._free.pop(options.key, None)
        if kept is not None and not _has_changed_meanwhile(kept):
            return _leased(kept, True)
        if kept is not None:
            with contextlib.suppress(Exception):  # it died between two tests, of neither
                kept.close()
        return _leased(start(), False)

    def give_back(self, lease: Lease, *, failed: bool, wanted: bool) -> None:
        """Keep the cluster if it is as it was and *wanted* by a later test, end it otherwise.

        :raises ClusterError: it did not end as it should.
        """
        cluster = lease.cluster
        cluster.faults.undo()
        key = cluster.options.key
        keeps = wanted and not failed and not cluster.options.fresh and len(self._free) < MOST_KEPT
        if keeps and key not in self._free and not why_dirty(lease):
            self._free[key] = cluster
        else:
            cluster.close()

    def close(self) -> list[Exception]:
        """End all that are kept; return what went wrong."""
        problems: list[Exception] = []
        while self._free:
            _, cluster = self._free.popitem()
            try:
                cluster.close()
            except Exception as error:  # noqa: BLE001 - the others must end as well
                problems.append(error)
        return problems


def why_dirty(lease: Lease) -> str:
    """Return why a cluster cannot be used again; empty when it can."""
    cluster = lease.cluster
    if cluster.returncode is not None:
        return "its primary has ended"
    if cluster.faults.injected != lease.injected:
        return "faults were injected"
    changes = [entry for entry in cluster.journal.entries[lease.seq :] if entry.event != "message"]
    if changes:
        return f"it has changed: {changes[0]}"
    if not poll(lambda: not any(worker.tally.in_flight for worker in cluster.workers), scaled(QUIET_SECONDS)):
        return "a request is still under way"
    logs = [cluster.server.logs.primary, *cluster.server.logs.of_workers().values()]
    if any("Traceback (most recent call last)" in log.since_test_start() for log in logs):
        return "there is a traceback in its log"
    if not poll(lambda: _descriptors(cluster) <= lease.descriptors, scaled(QUIET_SECONDS)):
        return "its primary has more descriptors open than before"
    return ""


def _has_changed_meanwhile(cluster: Cluster) -> bool:
    return cluster.returncode is not None or any(worker.is_dead() for worker in cluster.every_worker)


def _leased(cluster: Cluster, is_reused: bool) -> Lease:
    if is_reused:
        cluster.server.logs.mark()
    return Lease(cluster, cluster.journal.last_seq, _descriptors(cluster), cluster.faults.injected, is_reused)


def _descriptors(cluster: Cluster) -> int:
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{cluster.primary.pid}/fd"))
    return 0
