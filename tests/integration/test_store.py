"""The store of a real cluster: shared by every kind of worker and the primary, over deaths, reloads and upgrades."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from kinds import every_kind
from remote_control import CONF, REMOTE, ask, healthy, here, said, wait, wait_ended

from pytest_cluster import Cluster

COUNT = "result = cluster.store.incr('hits')"
FOLDER = "from nodecluster_compat.sharing.this_process import sharing; result = sharing._state_folder()"


@pytest.mark.table(quick=["gevent"])
@every_kind
@pytest.mark.cluster(**REMOTE, workers=2)
def test_the_store_outlives_workers(cluster: Cluster) -> None:
    """Whoever counts, the count is one; a reload and a death leave it; the end of the cluster removes it."""
    counts = [here(cluster, COUNT)["result"] for _ in range(6)]
    assert counts == [1, 2, 3, 4, 5, 6]
    assert ask(cluster, "primary", COUNT) == 7
    os.kill(cluster.worker(1).pid, signal.SIGKILL)
    wait_ended(cluster, worker=1)
    assert cluster.reload().state == "succeeded"
    assert here(cluster, COUNT)["result"] == 8
    folder = Path(here(cluster, FOLDER)["result"])
    assert folder.stat().st_mode & 0o777 == 0o700
    assert healthy(cluster)
    assert cluster.stop() == 0
    wait(lambda: not folder.exists(), "the end of the folder", cluster)


UPGRADED = {**REMOTE, "config": CONF + "cluster.on('upgrade_ready', lambda pid: say(upgraded=pid))\n"}


@pytest.mark.cluster(**UPGRADED, workers=1)
def test_the_store_outlives_an_upgrade(cluster: Cluster) -> None:
    """Both masters have the same, and the last one to end removes it."""
    assert here(cluster, COUNT)["result"] == 1
    folder = Path(here(cluster, FOLDER)["result"])
    cluster.primary.signal("SIGUSR2")
    [line] = wait(lambda: [one for one in said(cluster) if "upgraded" in one], "the new master", cluster)
    cluster.primary.signal("SIGTERM")
    wait(lambda: cluster.returncode is not None, "the end of the old master", cluster)
    try:
        assert here(cluster, COUNT)["result"] == 2
        assert here(cluster, FOLDER)["result"] == str(folder)
    finally:
        os.kill(line["upgraded"], signal.SIGTERM)
        wait(lambda: not Path(f"/proc/{line['upgraded']}").exists(), "the end of the new master", cluster)
    assert not folder.exists()
