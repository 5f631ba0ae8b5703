"""Record why a chaos scenario failed, for the report: the fewest faults, and the line that replays them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..options import settings
from ..options.chaos_spec import ChaosSpec
from ..stash import CLUSTERS, REPLAY, VERDICT

if TYPE_CHECKING:
    import pytest

    from ..clusters.cluster import Cluster

__all__ = ["given_plan", "note_verdict"]


def given_plan(item: pytest.Item) -> ChaosSpec | None:
    """Return the plan that the command line, the environment or the ini file names."""
    found = settings.value_of(item.config, "chaos").value
    return found if isinstance(found, ChaosSpec) else None


def note_verdict(item: pytest.Item, spec: ChaosSpec, told: str, cluster: Cluster) -> None:
    """Let the report be about *cluster*, and end with the line that replays *spec*."""
    item.stash[CLUSTERS] = [cluster]
    item.stash[REPLAY] = {"chaos": str(spec)}
    item.stash[VERDICT] = told
