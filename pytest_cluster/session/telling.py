"""Tell other plugins of a cluster, by the hooks in :mod:`pytest_cluster.hookspecs`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from ..failures.hook_calls import FAILURES, call_hook, failed_hook

if TYPE_CHECKING:
    from ..clusters.cluster import Cluster
    from ..journal.entries import JournalEntry
    from ..requests.client import Client

__all__ = ["tell_of", "tell_of_end"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all


def tell_of(cluster: Cluster, item: pytest.Item, problems: list[str]) -> None:
    """Tell that a cluster has started, and from now on of its entries and clients.

    :param problems: gets a sentence, once, when a plugin does not cope with an entry.
    :raises HookError: a plugin that is told of the start, or of the first client, has failed.
    """
    hook = item.ihook
    if hook.pytest_cluster_event.get_hookimpls():
        cluster.journal.follow(partial(_tell_entry, cluster, item, problems))
    call_hook(hook.pytest_cluster_started, lets=(pytest.skip.Exception,), cluster=cluster, item=item)
    cluster.on_client = partial(_tell_client, cluster, item)
    cluster.on_client(cluster.client)


def tell_of_end(cluster: Cluster, config: pytest.Config) -> None:
    """Tell that a cluster has ended.

    :raises HookError: a plugin that is told so has failed.
    """
    call_hook(config.hook.pytest_cluster_ended, cluster=cluster, config=config)


def _tell_client(cluster: Cluster, item: pytest.Item, client: Client) -> None:
    call_hook(item.ihook.pytest_cluster_client_made, cluster=cluster, client=client, config=item.config)


def _tell_entry(cluster: Cluster, item: pytest.Item, problems: list[str], entry: JournalEntry) -> None:
    caller = item.ihook.pytest_cluster_event
    try:
        caller(cluster=cluster, entry=entry, config=item.config)
    except FAILURES as problem:  # on the journal's thread, which must go on
        sentence = failed_hook(caller, problem)
        if sentence not in problems:
            problems.append(sentence)
