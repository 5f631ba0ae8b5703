"""Observe the clusters of a test at the moment when it fails: their stacks, and who has a request."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import pytest

from ..errors import Unanswered, WaitTimeout
from ..requests.unanswered import find_holders
from ..stash import CLUSTERS, MOMENTS
from .error_chain import chain, is_timeout

__all__ = ["MOST_CLUSTERS", "Moment", "observe_at_alarm", "observe_clusters"]

MOST_CLUSTERS = 3  # of a test that starts many: the last ones


@dataclass(frozen=True, slots=True)
class Moment:
    """The stacks and requests of a cluster's processes when a test failed.

    Attributes:
        stacks: titles and texts.
        busy: who had requests, where that may be the reason: somebody has waited who is not ours.
    """

    stacks: list[tuple[str, str]] = field(default_factory=list)
    busy: Unanswered | None = None


def observe_clusters(item: pytest.Item, error: BaseException) -> dict[int, Moment]:
    """Observe the clusters of a test right after a time-out, before they go on; by the primary's pid."""
    if MOMENTS in item.stash:  # pytest-timeout's signal came, and somebody has looked then
        return item.stash[MOMENTS]
    if not is_timeout(error):
        return {}
    return _moments(item, is_ours=any(isinstance(one, WaitTimeout) for one in chain(error)))


def observe_at_alarm(item: pytest.Item) -> None:
    """Observe the clusters of a test whose time is over, while it still holds what it holds."""
    if item.stash.get(CLUSTERS, []):
        item.stash[MOMENTS] = _moments(item, is_ours=False)


def _moments(item: pytest.Item, *, is_ours: bool) -> dict[int, Moment]:
    moments: dict[int, Moment] = {}
    for cluster in item.stash.get(CLUSTERS, [])[-MOST_CLUSTERS:]:
        with contextlib.suppress(Exception):  # the failure itself must be reported
            busy = None if is_ours or cluster.is_closed else find_holders(cluster.server, cluster.workers)
            moments[cluster.server.pid] = Moment(cluster.server.stacks(), busy)
    return moments
