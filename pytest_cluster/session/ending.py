"""Keep a cluster running at the end of its test, or tell what the test has overlooked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import ClusterError, CrashError, UncheckedExpectation
from ..journal.entries import last_fault
from ..server.exits import error_in_log
from ..stash import FAILED
from ..waiting import poll, scaled

if TYPE_CHECKING:
    import pytest

    from ..clusters.cluster import Cluster

__all__ = ["ends_of_test", "keep", "missed_by_test", "requests_under_way"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

SLOW_END_SECONDS = 2.0
ANSWERED_SECONDS = 0.5
"""A client has its answer before the worker has noted that the request is over."""


@contextmanager
def ends_of_test(cluster: Cluster, item: pytest.Item, slow_ends: list[str]) -> Iterator[None]:
    """Find out before a cluster's end what a test that passed has overlooked, and raise that after the end.

    :param slow_ends: gets a sentence that tells what the end has waited for, where that was long.
    """
    missed = None if item.stash.get(FAILED, False) else missed_by_test(cluster)
    cluster.journal.unchecked.clear()
    if not cluster.ends_quickly:
        poll(lambda: not requests_under_way(cluster), scaled(ANSWERED_SECONDS))
    under_way = requests_under_way(cluster)
    begin = time.monotonic()
    yield
    seconds = time.monotonic() - begin
    if under_way and seconds > SLOW_END_SECONDS:
        slow_ends.append(f"{item.nodeid}: its end took {seconds:.1f} s, because {under_way}")
    if missed is not None:
        raise missed


def keep(cluster: Cluster) -> tuple[bool, str]:
    """Let it run on after pytest has ended; return whether it could be, and what to tell."""
    try:
        cluster.keep()
    except ClusterError as error:
        return False, f"could not be kept and was ended: {str(error).splitlines()[0]}"
    where = cluster.address if isinstance(cluster.address, str) else cluster.url
    pid, folder = cluster.primary.pid, cluster.server.folder
    return True, f"{where}, primary pid {pid}, logs in {folder}; end it with: kill {pid} && rm -r {folder}"


def requests_under_way(cluster: Cluster) -> str:
    """Say which workers have requests, and for how long a graceful end waits for them; empty when none has."""
    counts = {} if cluster.is_closed else {worker: worker.requests_in_flight for worker in cluster.workers}
    told = [f"{one.title} (pid {one.pid}) had {_requests(count)} under way" for one, count in counts.items() if count]
    grace = cluster.options.settings.get("graceful_timeout", 30)
    return f"{', '.join(told)}: a graceful end waits for that, up to graceful_timeout ({grace} s)" if told else ""


def _requests(count: int) -> str:
    return f"{count} request{'s' if count > 1 else ''}"


def missed_by_test(cluster: Cluster) -> ClusterError | None:
    """Return what a test that passed has overlooked: the end of its primary, or an expectation of its own."""
    crash, unchecked = _crash_of(cluster), cluster.journal.unchecked
    return crash or (UncheckedExpectation(next(iter(unchecked.values()))) if unchecked else None)


def _crash_of(cluster: Cluster) -> CrashError | None:
    """Return the error of a test that passed while its primary ended badly, and neither did that nor saw it."""
    if cluster.primary.end_was_told or cluster.is_closed or cluster.returncode in (None, 0):
        return None
    if last_fault(cluster.journal.entries, 0) is not None:
        return None
    said = error_in_log(cluster.log)
    return CrashError(
        f"the primary ended by itself during the test: {cluster.primary.describe_end()}"
        + (f"; its log says: {said}" if said else "")
        + "; a test that expects that looks at cluster.returncode",
        cluster.server,
    )
