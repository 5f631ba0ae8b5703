"""What modules have found out while they were imported is found out again in a process that is forked then."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from gunicorn.config import Chdir, Config, Workers

from nodecluster_compat._gunicorn.preloading import FOUND_OUT_AGAIN, find_out_again
from nodecluster_compat.machine import frozen
from nodecluster_compat.roles.cluster import SCHED_NONE, SCHED_RR, cluster


@pytest.fixture(autouse=True)
def what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there again after the test."""
    found = ((Chdir, "default"), (Workers, "default"), (cluster, "_policy"), (cluster, "_policy_asked"))
    for owner, name in (*found, (frozen._ThisProcess, "probe")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    for variable in FOUND_OUT_AGAIN:
        monkeypatch.delenv(variable, raising=False)


def test_folder_and_variables_of_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    monkeypatch.setenv("NODE_CLUSTER_SCHED_POLICY", "none")

    find_out_again()

    settings = Config()
    assert (os.path.realpath(settings.chdir), settings.workers) == (os.path.realpath(tmp_path), 3)
    assert cluster.scheduling_policy == SCHED_NONE


def test_nothing_is_left_of_what_was_found_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workers, "default", 7)
    monkeypatch.setattr(cluster, "_policy", SCHED_NONE)

    find_out_again()

    assert Config().workers == 1
    assert cluster.scheduling_policy == SCHED_RR


def test_number_of_workers_that_is_none_is_an_error_as_in_gunicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "many")
    with pytest.raises(ValueError, match="many"):
        find_out_again()
