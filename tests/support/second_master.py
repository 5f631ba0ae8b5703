"""What the journal says of the master that USR2 has started."""

from __future__ import annotations

from pytest_cluster import Cluster
from pytest_cluster.journal.entries import JournalEntry

__all__ = ["wait_later"]


def wait_later(cluster: Cluster, event: str, count: int = 1, since: int = 0) -> list[JournalEntry]:
    """Wait for ``count`` events of later masters; return them all.

    Args:
        cluster: whose first master was told USR2.
        event: as in the journal.
        count: how many, at least.
        since: leave out so many entries, which the journal had before.
    """

    def found() -> list[JournalEntry]:
        return [entry for entry in cluster.journal.later[since:] if entry.event == event]

    cluster.journal.wait_until(lambda _: len(found()) >= count, expected=f"{count} x {event} of the new master")
    return found()
