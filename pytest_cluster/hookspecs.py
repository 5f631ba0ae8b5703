"""Specify the hooks that this plugin calls, for plugins that build on it, and for ``conftest.py``.

A plugin that works without this one as well marks what it implements ``@pytest.hookimpl(optionalhook=True)``.  The page
of ``--cluster-html`` is made by :func:`pytest_cluster_failed`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from .clusters.cluster import Cluster
    from .failures.records import FailureRecord
    from .journal.entries import JournalEntry
    from .requests.client import Client

__all__ = [
    "pytest_cluster_client_made",
    "pytest_cluster_ended",
    "pytest_cluster_event",
    "pytest_cluster_failed",
    "pytest_cluster_report_sections",
    "pytest_cluster_started",
]


def pytest_cluster_started(cluster: Cluster, item: pytest.Item) -> None:
    """Tell that a cluster has been started, whose workers all listen; not again when another test gets it.

    What this raises is an error of the test, and ends the cluster.

    :param cluster: it may be asked anything.
    :param item: the test that has started it.
    """


def pytest_cluster_ended(cluster: Cluster, config: pytest.Config) -> None:
    """Tell that a cluster has ended, whatever went wrong with that; what it knew of its workers is still readable.

    :param cluster: it cannot be asked any more.
    :param config: pytest's; of which test this is the end is not always to be said.
    """


def pytest_cluster_event(cluster: Cluster, entry: JournalEntry, config: pytest.Config) -> None:
    """Tell of each entry of a cluster's journal, once and in order, as soon as it was read.

    Called on the thread that reads the journal, from which nothing can be waited for that is still to come.  What this
    raises fails the run at its end.

    :param entry: an event, a message or a fault; those of the boot come when the cluster has started.
    """


def pytest_cluster_client_made(cluster: Cluster, client: Client, config: pytest.Config) -> None:
    """Tell that a cluster has a new client: each has one, and ``new_client`` and the test clients make more.

    :param client: no request was sent by it yet.
    """


def pytest_cluster_report_sections(
    cluster: Cluster, item: pytest.Item, report: pytest.TestReport
) -> Sequence[tuple[str, str]]:
    """Return more for the report of a failed test: titles and texts.

    :param cluster: one that the test has used, perhaps ended already.
    :param report: what it is added to.
    :return: pairs of a title and a text; texts are cut at 80 lines.
    """
    raise NotImplementedError


def pytest_cluster_failed(failure: FailureRecord, item: pytest.Item, report: pytest.TestReport) -> None:
    """Tell all that is known of a failed test, as plain data: what the terminal shows cut, and the page draws.

    Called in the process that has run the test.  What is put into ``vars(report)`` comes through xdist, if it is text.

    :param failure: it is bounded: the last 400 entries, requests and lines.
    :param report: of the phase that has failed.
    """
