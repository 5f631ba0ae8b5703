"""Tell other plugins of a cluster, by the hooks in :mod:`pytest_cluster.hookspecs`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from ..clusters.cluster import Cluster
    from ..journal.entries import JournalEntry
    from ..requests.client import Client

__all__ = ["tell_of"]


def tell_of(cluster: Cluster, item: pytest.Item, problems: list[str]) -> None:
    """Tell that a cluster has started, and from now on of its entries and clients.

    :param problems: gets a sentence, once, when a plugin does not cope with an entry.
    :raises Exception: what a plugin raises that is told of the start, or of the first client.
    """
    hook = item.ihook
    if hook.pytest_cluster_event.get_hookimpls():
        cluster.journal.follow(partial(_tell_entry, cluster, item, problems))
    hook.pytest_cluster_started(cluster=cluster, item=item)
    cluster.on_client = partial(_tell_client, cluster, item)
    cluster.on_client(cluster.client)


def _tell_client(cluster: Cluster, item: pytest.Item, client: Client) -> None:
    item.ihook.pytest_cluster_client_made(cluster=cluster, client=client, config=item.config)


def _tell_entry(cluster: Cluster, item: pytest.Item, problems: list[str], entry: JournalEntry) -> None:
    try:
        item.ihook.pytest_cluster_event(cluster=cluster, entry=entry, config=item.config)
    except Exception as problem:  # noqa: BLE001 - on the journal's thread, which must go on
        sentence = f"pytest_cluster_event failed: {type(problem).__name__}: {problem}"
        if sentence not in problems:
            problems.append(sentence)
