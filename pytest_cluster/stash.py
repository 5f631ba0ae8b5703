"""Keep what the hooks and the fixtures know about a test in pytest's stash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .clusters.cluster import Cluster

__all__ = [
    "ASKED_HERE",
    "CALLED",
    "CLUSTERS",
    "FAILED",
    "FIXTURES",
    "MOMENTS",
    "REPLAY",
    "RUN_ONCE",
    "STARTED",
    "VERDICT",
    "WORKERS",
]

FIXTURES = ("cluster", "cluster_factory", "cluster_client", "cluster_faults", "cluster_journal", "cluster_chaos")
"""A test that uses none of these starts no cluster, whatever its marker says."""

CLUSTERS: pytest.StashKey[list[Cluster]] = pytest.StashKey()
"""The clusters that a test uses, for the report of its failure; nothing when it does not ask for any."""
FAILED = pytest.StashKey[bool]()
"""Whether one of the test's phases has failed."""
STARTED = pytest.StashKey[float]()
"""When the test began, by the monotonic clock."""
ASKED_HERE: pytest.StashKey[list[tuple[Any, ...]]] = pytest.StashKey()
"""What a test has asked in pytest's own process, in place of a cluster; see :mod:`.session.asked_here`."""
CALLED = pytest.StashKey[float]()
"""When its call began, of one whose call alone pytest-timeout counts."""
WORKERS = pytest.StashKey[int]()
"""How many workers a run of a test has that pytest could not parametrize."""
RUN_ONCE = pytest.StashKey[str]()
"""Why a test ran with one number of workers only, where several were asked for."""
REPLAY: pytest.StashKey[dict[str, str]] = pytest.StashKey()
"""Settings that the line to reproduce a test must have, whatever was said."""
VERDICT = pytest.StashKey[str]()
"""What is to be said with the cause: of which faults a scenario fails."""
MOMENTS: pytest.StashKey[dict[int, Any]] = pytest.StashKey()
"""The states of the clusters when pytest-timeout's signal came, by the primaries' pids."""
