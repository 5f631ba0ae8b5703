"""Reuse clusters: lease a test one that an earlier test has left exactly as it was, or a new one.

A cluster is kept only while a later test of this run asks for the same.  It ends in the teardown of the last test that
can use it, so that what goes wrong with its end is that test's failure.  At most two are kept; a third takes the place
of the one that has waited longest.  *The same* means the options, the folders that the server imports from, and its
environment.

*As an earlier test has left it* means: the same workers, nothing injected, nothing ended, no request under way, no
traceback in the logs, no more descriptors in the primary.  What the application itself remembers is not checked: a test
that minds says ``fresh=True``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..waiting import poll, scaled

if TYPE_CHECKING:
    from ..clusters.cluster import Cluster
    from ..options.recipe import Recipe

__all__ = ["Lease", "Pool"]

MOST_KEPT = 2
QUIET_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Lease:
    """A cluster as it was when a test got it, and what another must ask for to get it as well."""

    cluster: Cluster
    key: str
    seq: int
    descriptors: int
    injected: int
    done: tuple[int, ...]
    is_reused: bool


class Pool:
    """The clusters that are kept between tests, the one that has waited longest first.

    :param close: ends a cluster.
    :param only_untouched: keep only those that have done nothing, so that nothing an application remembers is a part of
        what a test finds.
    """

    def __init__(self, close: Callable[[Cluster], None], *, only_untouched: bool = False) -> None:
        self._close = close
        self._only_untouched = only_untouched
        self._free: dict[str, Cluster] = {}

    def lease(self, recipe: Recipe, start: Callable[[], Cluster]) -> Lease:
        """Return a cluster of this recipe, an idle one if there is one that still is as it should be."""
        key = recipe.key
        kept = None if recipe.options.is_fresh else self._free.pop(key, None)
        if kept is not None and not _has_changed_meanwhile(kept):
            kept.server.logs.mark()
            return _leased(kept, key, is_reused=True)
        if kept is not None:
            with contextlib.suppress(Exception):  # it died between two tests, of neither
                self._close(kept)
        return _leased(start(), key, is_reused=False)

    def give_back(self, lease: Lease, *, failed: bool, wanted: bool, test: str) -> None:
        """Keep the cluster if it is as it was and *wanted* by a later test, end it otherwise.

        :param test: the one that has had it.
        :raises ClusterError: it, or the one whose place it took, did not end as it should.
        """
        keeps = False
        try:
            lease.cluster.faults.undo()
            free = lease.key not in self._free and not lease.cluster.options.is_fresh
            keeps = wanted and not failed and free and not why_dirty(lease) and self._may_be_kept(lease, test)
        finally:  # also when the test is interrupted here
            if not keeps:
                self._close(lease.cluster)
        if keeps:
            self._free[lease.key] = lease.cluster
            self._make_place()

    def _may_be_kept(self, lease: Lease, test: str) -> bool:
        if not was_touched(lease):
            return True
        lease.cluster.used_by.append(test)
        return not self._only_untouched

    def _make_place(self) -> None:
        if len(self._free) > MOST_KEPT:
            self._close(self._free.pop(next(iter(self._free))))

    def close(self) -> list[Exception]:
        """End all that are kept; return what went wrong."""
        problems: list[Exception] = []
        while self._free:
            _, cluster = self._free.popitem()
            try:
                self._close(cluster)
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


def was_touched(lease: Lease) -> bool:
    """Whether the processes of a cluster have done anything that they may remember: a request, a call, a message."""
    cluster = lease.cluster
    if not cluster.options.has_journal:
        return True  # nobody tells
    return done_by(cluster) != lease.done


def _has_changed_meanwhile(cluster: Cluster) -> bool:
    return cluster.returncode is not None or any(worker.is_dead() for worker in cluster.every_worker)


def _leased(cluster: Cluster, key: str, *, is_reused: bool) -> Lease:
    return Lease(
        cluster,
        key,
        cluster.journal.last_seq,
        _descriptors(cluster),
        cluster.faults.injected,
        done_by(cluster),
        is_reused,
    )


def done_by(cluster: Cluster) -> tuple[int, ...]:
    """Return the counts of what may leave traces in the processes: calls, entries of the journal, requests."""
    requests = sum(worker.tally.begun for worker in cluster.every_worker)
    return cluster.server.control.calls, cluster.journal.last_seq, requests


def _descriptors(cluster: Cluster) -> int:
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{cluster.primary.pid}/fd"))
    return 0
