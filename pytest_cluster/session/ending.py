"""Keep a cluster running at the end of its test, or tell that its primary has crashed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ClusterError, CrashError
from ..journal.entries import last_fault
from ..server.exits import error_in_log

if TYPE_CHECKING:
    from ..clusters.cluster import Cluster

__all__ = ["crash_of", "keep"]


def keep(cluster: Cluster) -> tuple[bool, str]:
    """Let it run on after pytest has ended; return whether it could be, and what to tell."""
    try:
        cluster.keep()
    except ClusterError as error:
        return False, f"could not be kept and was ended: {str(error).splitlines()[0]}"
    where = cluster.address if isinstance(cluster.address, str) else cluster.url
    pid, folder = cluster.primary.pid, cluster.server.folder
    return True, f"{where}, primary pid {pid}, logs in {folder}; end it with: kill {pid} && rm -r {folder}"


def crash_of(cluster: Cluster) -> CrashError | None:
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
