"""What the primary keeps of workers that have ended and of reloads that are over: nothing.

``MEMORY_WORKERS=2000 MEMORY_RELOADS=1000`` in the environment makes it a long run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

import pytest
from deploy import CONF
from raw_http import folder_of
from remote_control import resident_bytes

from pytest_cluster import Cluster
from pytest_cluster.waiting import poll

REPLACED: Final = int(os.environ.get("MEMORY_WORKERS", "240"))
RELOADED: Final = int(os.environ.get("MEMORY_RELOADS", "300"))
PATIENCE: Final = 60.0
FLAT_BYTES: Final = 256 * 1024  # over the last third; 4 KiB for each worker or 3 for each reload would be more
REPLACES: Final = CONF + (
    "import os\n"
    "def replace(worker, address):\n"
    "    if os.path.exists('go'):\n"
    "        worker.kill('SIGKILL' if worker.id % 2 else 'SIGTERM')\n"
    "cluster.on('listening', replace)\n"
    "cluster.setup_primary(restart_stable=0.001, restart_delay=0.001)\n"  # all are sound: this is no crash loop
)


def sizes(cluster: Cluster, times: int, step: Callable[[int], object]) -> tuple[int, int]:
    """The primary's memory after two thirds of so many steps, and after all of them.

    It grows by some 3 MiB over the first 200 reloads, while caches and the allocator's pools fill, and then no more:
    24 KiB over the last 300 of 600.
    """
    found = []
    warm = times * 2 // 3
    for part in (range(warm), range(warm, times)):
        for number in part:
            step(number)
        found.append(resident_bytes(cluster.primary.pid))
    return found[0], found[1]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.cluster(app="deployed:app", config=REPLACES, workers=2, fork_server=False)
def test_replaced_workers_leave_nothing_behind(cluster: Cluster) -> None:
    """Whether they were killed or ended in order."""
    (folder_of(cluster) / "go").touch()
    for worker in cluster.workers:
        worker.kill()
    warm, end = sizes(cluster, REPLACED, lambda number: cluster.journal.wait_for("exit", worker=number + 1))
    assert end - warm < FLAT_BYTES


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.cluster(app="deployed:app", config=CONF, workers=2, fork_server=False)
def test_reloads_leave_nothing_behind(cluster: Cluster) -> None:
    """Neither configurations nor workers of former generations."""

    def reloaded(number: int) -> bool:
        report = cluster.primary.status()["reload"]
        return report is not None and (report["number"], report["state"]) == (number + 1, "succeeded")

    def reload(number: int) -> None:
        cluster.primary.signal("SIGHUP")
        assert poll(lambda: reloaded(number), PATIENCE), cluster.log_tail

    warm, end = sizes(cluster, RELOADED, reload)
    assert end - warm < FLAT_BYTES
