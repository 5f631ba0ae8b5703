"""What a worker shares with its primary, and that the primary stays a plain process for all that."""

from __future__ import annotations

import pytest
from remote_control import REMOTE, ask

from pytest_cluster import Cluster

IN_PRIMARY = """
import sys, threading, gevent.monkey
from gevent._hub_local import get_hub_if_exists
result = {
    "hub": get_hub_if_exists() is not None,
    "patched": sorted(gevent.monkey.saved),
    "threads": len(threading.enumerate()),
    "tasks": len(os.listdir("/proc/self/task")),
    "application": "remote" in sys.modules,
    "collects": gc.isenabled(),
    "frozen": gc.get_freeze_count(),
}
"""
IN_WORKER = """
result = [gc.isenabled(), gc.get_freeze_count() > 10_000, len(gc.get_objects())]
"""


@pytest.mark.cluster(**REMOTE)
def test_primary_has_imported_and_not_used(cluster: Cluster) -> None:
    """No hub, no thread but the dealer's, nothing patched, and without ``preload`` not the application; its collector works as ever."""
    assert ask(cluster, "primary", "import gc, os\n" + IN_PRIMARY) == {
        "hub": False,
        "patched": [],
        "threads": 1,
        "tasks": 2,
        "application": False,
        "collects": True,
        "frozen": 0,
    }


@pytest.mark.cluster(**REMOTE)
def test_worker_imports_nothing_but_the_application(cluster: Cluster) -> None:
    """Whatever a worker needs of its own, and gevent of others, is there before the fork."""
    modules = "import sys\nresult = sorted(sys.modules)"
    assert set(ask(cluster, "worker/1", modules)) - set(ask(cluster, "primary", modules)) == {"remote"}


@pytest.mark.cluster(**REMOTE)
def test_worker_leaves_what_it_was_born_with_alone(cluster: Cluster) -> None:
    """Its collector works, and does not look at the thousands of objects that it shares."""
    collects, frozen, looked_at = ask(cluster, "worker/1", "import gc\n" + IN_WORKER)
    assert (collects, frozen) == (True, True)
    assert looked_at < ask(cluster, "primary", "import gc\nresult = len(gc.get_objects())") / 2
