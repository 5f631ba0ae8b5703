"""What a worker shares with its primary, and that the primary stays a plain process for all that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from raw_http import APPS
from remote_control import REMOTE, ask

from nodecluster_compat.base.native import in_force
from pytest_cluster import Cluster, ClusterFactory

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


@pytest.mark.slow
@pytest.mark.cluster(**REMOTE, fork_server=False)
def test_primary_has_imported_and_not_used(cluster: Cluster) -> None:
    """No hub, no thread but the dealer, its standby in C and the log writer; the application only with ``preload``."""
    assert ask(cluster, "primary", "import gc, os\n" + IN_PRIMARY) == {
        "hub": False,
        "patched": [],
        "threads": 1,
        "tasks": 3 if in_force().module is None else 4,
        "application": False,
        "collects": True,
        "frozen": int(subprocess.check_output([sys.executable, "-c", "import gc; print(gc.get_freeze_count())"])),
    }


@pytest.mark.cluster(**REMOTE, fork_server=False)
def test_worker_imports_nothing_but_the_application(cluster: Cluster) -> None:
    """Whatever a worker needs of its own, and gevent of others, is there before the fork."""
    modules = "import sys\nresult = sorted(sys.modules)"
    assert set(ask(cluster, "worker/1", modules)) - set(ask(cluster, "primary", modules)) == {"remote"}


@pytest.mark.slow
@pytest.mark.cluster(**REMOTE, fork_server=False)
def test_worker_leaves_what_it_was_born_with_alone(cluster: Cluster) -> None:
    """Its collector works, and does not look at the thousands of objects that it shares."""
    collects, frozen, looked_at = ask(cluster, "worker/1", "import gc\n" + IN_WORKER)
    assert (collects, frozen) == (True, True)
    assert looked_at < ask(cluster, "primary", "import gc\nresult = len(gc.get_objects())") / 2


COUNTED = """
import sys, gunicorn.arbiter
result = []
for one in (gunicorn.arbiter, gunicorn.arbiter.Arbiter, gunicorn.arbiter.Arbiter.kill_worker, sys.modules["remote"]):
    before = sys.getrefcount(one)
    more = [one] * 100
    result.append(sys.getrefcount(more[0]) - before)
"""


@pytest.mark.slow
@pytest.mark.cluster(**REMOTE, fork_server=False)
def test_no_process_counts_references_to_libraries(cluster: Cluster) -> None:
    """Or else each page that a worker looks at would be copied; what is the application's is counted."""
    can = sys.version_info >= (3, 12) and in_force().module is not None
    assert ask(cluster, "worker/1", COUNTED) == [*[0 if can else 100] * 3, 100]


EARLY: Final = "from time import sleep\n"


@pytest.mark.table(quick=["none"])
@pytest.mark.parametrize("patch", ["", "from gevent import monkey; monkey.patch_all()\n"], ids=["none", "first line"])
def test_library_that_is_loaded_before_the_patch_is_named(
    cluster_factory: ClusterFactory, tmp_path: Path, patch: str
) -> None:
    """At start, once, with the line that helps; which helps."""
    (tmp_path / "library.py").write_text(EARLY)
    (tmp_path / "early.py").write_text("import library\nfrom pid_echo import app\n")
    path = os.pathsep.join([str(tmp_path), str(APPS)])
    cluster = cluster_factory(app="early:app", preload=True, config=patch, workers=2, env={"PYTHONPATH": path})
    assert cluster.get("/").status == 200
    named = "Loaded before gevent patches the workers: library (time.sleep: stops all of its worker while it waits)"
    assert cluster.log.count(named) == (0 if patch else 1)
    assert cluster.log.count("Loaded before") == (0 if patch else 1)
