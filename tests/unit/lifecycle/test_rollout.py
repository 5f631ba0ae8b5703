"""One reload: its table and its report."""

from __future__ import annotations

import pytest

from nodecluster_compat.errors import IllegalTransition
from nodecluster_compat.lifecycle.rollout import ReloadReport, Rollout, RolloutStep


@pytest.mark.parametrize(
    ("step", "state", "succeeded"),
    [("all", "succeeded", True), ("failed", "failed", False), ("replaced", "superseded", False)],
)
def test_ends_once(step: RolloutStep, state: str, succeeded: bool) -> None:
    """One way out, and no second."""
    rollout = Rollout(3, 7, 4, 10.0)
    assert rollout.report == ReloadReport(3, "rolling")
    report = rollout.advance(step, 12.5, "why")
    assert (report.number, report.state, report.reason, report.seconds) == (3, state, "why", 2.5)
    assert report.succeeded is succeeded
    with pytest.raises(IllegalTransition, match=f"'{state}' cannot take the step 'all'"):
        rollout.advance("all", 13.0)
    assert rollout.report is report
