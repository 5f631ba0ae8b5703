"""What the primary keeps of workers that have ended and of reloads that are over: nothing."""

from __future__ import annotations

from functools import partial
from typing import Final

import pytest
from deploy import CONF
from raw_http import folder_of
from remote_control import resident_bytes

from pytest_cluster import Cluster
from pytest_cluster.waiting import poll

REPLACED: Final = 2000
RELOADED: Final = 1000
PATIENCE: Final = 1500.0
FLAT_BYTES: Final = 256 * 1024  # over the second half: a quarter of a KiB for each worker, half a KiB for each reload
COUNTS: Final = CONF + ("import sys\ndef count(*_):\n    sys.count_here = getattr(sys, 'count_here', 0) + 1\n")
REPLACES: Final = COUNTS + (
    "import os\n"
    "def replace(worker, address):\n"
    "    if os.path.exists('go'):\n"
    "        worker.kill('SIGKILL' if worker.id % 2 else 'SIGTERM')\n"
    "cluster.on('listening', replace)\n"
    "cluster.on('exit', count)\n"
    "cluster.setup_primary(restart_stable=0.001, restart_delay=0.001)\n"  # all are sound: this is no crash loop
)
RELOADS: Final = COUNTS + (
    "def again(report):\n"
    "    count()\n"
    "    cluster.reload()\n"
    "cluster.on('reloaded', again)\n"
    "cluster.on('reload_failed', again)\n"
    "if not hasattr(sys, 'count_here'):\n"
    "    count()\n"
    "    cluster.call_later(1, cluster.reload)\n"
)


def counted() -> int:
    import sys

    count: int = getattr(sys, "count_here", 0)
    return count


def has_counted(cluster: Cluster, times: int) -> bool:
    return cluster.primary.run(counted) >= times


def grows_between(cluster: Cluster, first: int, last: int) -> int:
    """By how many bytes the primary is larger after ``last`` times than after ``first``."""
    sizes = []
    for times in (first, last):
        assert poll(partial(has_counted, cluster, times), PATIENCE), cluster.log_tail
        sizes.append(resident_bytes(cluster.primary.pid))
    return sizes[1] - sizes[0]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.cluster(app="deployed:app", config=REPLACES, workers=2)
def test_replaced_workers_leave_nothing_behind(cluster: Cluster) -> None:
    """Whether they were killed or ended in order."""
    (folder_of(cluster) / "go").touch()
    for worker in cluster.workers:
        worker.kill()
    assert grows_between(cluster, REPLACED // 2, REPLACED) < FLAT_BYTES


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.cluster(app="deployed:app", config=RELOADS, workers=2)
def test_reloads_leave_nothing_behind(cluster: Cluster) -> None:
    """Neither configurations nor workers of former generations."""
    assert grows_between(cluster, RELOADED // 2, RELOADED) < FLAT_BYTES
