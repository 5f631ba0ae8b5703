"""What the primary keeps of workers that have ended and of reloads that are over: nothing.

What lives is counted, after a collection and while no worker of former generations is left.  The resident size would
tell of the most workers that have lived at once as well, and of the allocator's pools: hundreds of KiB on a busy
machine.

``MEMORY_WORKERS=2000 MEMORY_RELOADS=1000`` in the environment makes it a long run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, NamedTuple

import pytest
from deploy import CONF
from raw_http import folder_of
from remote_control import said, wait

from pytest_cluster import Cluster
from pytest_cluster.waiting import poll

REPLACED: Final = int(os.environ.get("MEMORY_WORKERS", "240"))
RELOADED: Final = int(os.environ.get("MEMORY_RELOADS", "300"))
PATIENCE: Final = 60.0
BLOCKS_KEPT: Final = 8  # for each step: two workers that are kept make 179; caches and logs take 1.5
BYTES_KEPT: Final = 1024  # of the C heap, for each step
WEIGHS: Final = (
    CONF
    + """
import ctypes, gc, sys

class Heap(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"
    )]

mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Heap

def weigh(*told):
    if os.path.exists("weigh") and len(cluster.workers) == 2:
        gc.collect()
        heap = mallinfo()
        say(told="weighed", blocks=sys.getallocatedblocks(), heap=heap.uordblks + heap.hblkhd)

cluster.on("listening", weigh)
cluster.on("exit", weigh)
"""
)
REPLACES: Final = (
    WEIGHS
    + """
def replace(worker, address):
    if os.path.exists("go"):
        worker.kill("SIGKILL" if worker.id % 2 else "SIGTERM")

cluster.on("listening", replace)
cluster.setup_primary(restart_stable=0.001, restart_delay=0.001)  # all are sound: this is no crash loop
"""
)


class Weight(NamedTuple):
    """What lives in the primary: blocks of Python's allocator, and bytes of the C heap."""

    blocks: int
    heap: int


def weight(cluster: Cluster, act: Callable[[], object]) -> Weight:
    """What lives once ``act`` is followed by the end of a worker, and nothing of a former one is left."""
    before = len(said(cluster, told="weighed"))
    asked = folder_of(cluster) / "weigh"
    asked.touch()
    act()
    last = wait(lambda: said(cluster, told="weighed")[before:], "the primary to be weighed", cluster)[-1]
    asked.unlink()
    return Weight(last["blocks"], last["heap"])


def kept(
    cluster: Cluster, times: int, steps: Callable[[range], object], act: Callable[[], object]
) -> tuple[float, float]:
    """What the primary keeps of each of the last third of so many steps, as blocks and as bytes.

    Its caches fill during the first ones.
    """
    warm = times * 2 // 3
    steps(range(warm))
    before = weight(cluster, act)
    steps(range(warm, times))
    after = weight(cluster, act)
    return (after.blocks - before.blocks) / (times - warm), (after.heap - before.heap) / (times - warm)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.cluster(app="deployed:app", config=REPLACES, workers=2, fork_server=False)
def test_replaced_workers_leave_nothing_behind(cluster: Cluster) -> None:
    """Whether they were killed or ended in order."""
    go = folder_of(cluster) / "go"

    def replace(numbers: range) -> None:
        go.touch()
        for worker in cluster.workers:
            worker.kill()
        for number in numbers:
            cluster.journal.wait_for("exit", worker=number + 1)

    blocks, heap = kept(cluster, REPLACED, replace, go.unlink)  # the last ones that were ended are replaced
    assert blocks < BLOCKS_KEPT
    assert heap < BYTES_KEPT


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.cluster(app="deployed:app", config=WEIGHS, workers=2, fork_server=False)
def test_reloads_leave_nothing_behind(cluster: Cluster) -> None:
    """Neither configurations nor workers of former generations."""
    done = 0

    def reloaded() -> bool:
        report = cluster.primary.status()["reload"]
        return report is not None and (report["number"], report["state"]) == (done + 1, "succeeded")

    def reload() -> None:
        nonlocal done
        cluster.primary.signal("SIGHUP")
        assert poll(reloaded, PATIENCE), cluster.log_tail
        done += 1

    def reloads(numbers: range) -> None:
        for _ in numbers:
            reload()

    blocks, heap = kept(cluster, RELOADED, reloads, reload)
    assert blocks < BLOCKS_KEPT
    assert heap < BYTES_KEPT
