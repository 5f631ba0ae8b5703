"""The settings and the policy of ``cluster``, before any server runs."""

from __future__ import annotations

import pytest

from nodecluster_compat.base.handler_calls import current_origin
from nodecluster_compat.base.variables import SCHED_POLICY
from nodecluster_compat.errors import ArgumentError, SettingsError
from nodecluster_compat.roles.cluster import Cluster
from nodecluster_compat.roles.cluster_setup import SCHED_NONE, SCHED_RR


@pytest.mark.parametrize(("asked", "policy"), [("none", SCHED_NONE), ("rr", SCHED_RR), ("else", SCHED_RR)])
def test_policy_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, asked: str, policy: int) -> None:
    monkeypatch.setenv(SCHED_POLICY, asked)
    cluster = Cluster()
    assert cluster.scheduling_policy == policy
    assert cluster.asks_for_round_robin is (asked == "rr")


def test_settings_of_a_configuration_that_is_read_again_are_forgotten() -> None:
    """What others have set stays, and a reload that fails brings all of it back."""
    cluster = Cluster()
    cluster.setup_primary(own="of the configuration")
    before = cluster.settings
    cluster.begin_load(current_origin())
    assert "own" not in cluster.settings
    cluster.undo_load(before)
    assert cluster.settings["own"] == "of the configuration"
    cluster.begin_load("another module")
    assert cluster.settings["own"] == "of the configuration"


def test_settings_are_cumulative_and_replaced() -> None:
    """Node's merge rule: unknown keys stay, the old mapping is never changed."""
    mine = Cluster()
    assert dict(mine.settings) == {}
    mine.setup_primary(args=["a"], colour="red")
    first = mine.settings
    mine.setup_primary(silent=True)
    assert first["silent"] is False
    assert (mine.settings["args"], mine.settings["silent"], mine.settings["colour"]) == (["a"], True, "red")


def test_settings_may_be_changed_as_in_node() -> None:
    """By item, by attribute, as a whole; what cannot be is refused and changes nothing."""
    mine = Cluster()
    mine.settings.args = ["early"]
    mine.setup_primary({"exec": "a.py"}, silent=True)
    mine.settings["exec"] = "b.py"
    mine.settings.update(max_surge=2)
    assert (mine.settings.exec, mine.settings["args"], mine.settings["max_surge"]) == ("b.py", ["early"], 2)
    with pytest.raises(SettingsError, match="max_surge"):
        mine.settings["max_surge"] = "many"
    assert mine.settings["max_surge"] == 2
    del mine.settings["max_surge"]
    assert "max_surge" not in mine.settings
    with pytest.raises(AttributeError, match="has no 'exce'"):
        _ = mine.settings.exce
    mine.settings = {"exec": "c.py"}  # type: ignore[assignment]
    assert dict(mine.settings) == {"exec": "c.py"}
    with pytest.raises(ArgumentError, match="expected a mapping"):
        mine.settings = "c.py"  # type: ignore[assignment]


def test_policy_freezes_at_the_first_setup() -> None:
    """Later writes change the visible property and nothing else."""
    mine = Cluster()
    mine.scheduling_policy = mine.SCHED_NONE
    mine.setup_primary()
    mine.scheduling_policy = mine.SCHED_RR
    assert mine.freeze_policy() == mine.SCHED_NONE


def test_policy_that_is_none_is_refused() -> None:
    """The sentence says what was expected and what came."""
    mine = Cluster()
    mine.scheduling_policy = 7
    with pytest.raises(SettingsError, match=r"SCHED_RR \(2\) or cluster.SCHED_NONE \(1\), got 7"):
        mine.setup_primary()
