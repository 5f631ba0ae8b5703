"""The surface: what there is, what it costs to import, and what it says outside a cluster."""

from __future__ import annotations

import subprocess
import sys

import pytest

import nodecluster_compat
from nodecluster_compat import cluster, process
from nodecluster_compat.errors import ArgumentError, NotInCluster, SettingsError
from nodecluster_compat.roles.cluster import Cluster


def test_names_are_those_that_are_promised() -> None:
    """Every public name loads, and no other."""
    names = "ASGIWorker Address ThreadWorker WebSocketWorker Worker __version__ cluster dgram errors http net process"
    assert dir(nodecluster_compat) == names.split()
    for name in dir(nodecluster_compat):
        assert getattr(nodecluster_compat, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = nodecluster_compat.nonsense
    with pytest.raises(ImportError, match="no worker class 'AsgiWorker'; it has ASGIWorker, ThreadWorker"):
        _ = nodecluster_compat.AsgiWorker


def test_import_loads_neither_gevent_nor_gunicorn() -> None:
    """Importing the package, cluster and process patches nothing and costs little."""
    source = (
        "import sys, nodecluster_compat\n"
        "from nodecluster_compat import cluster, process\n"
        "assert not {'gevent', 'gunicorn'} & set(sys.modules), 'too much was imported'"
    )
    subprocess.run([sys.executable, "-c", source], check=True)


def test_plain_program_is_a_primary_without_workers() -> None:
    """A unit test, ``flask run``: roles are clear, registering is safe."""
    assert (cluster.is_primary, cluster.is_master, cluster.is_worker) == (True, True, False)
    assert cluster.worker is None
    assert dict(cluster.workers) == {}
    assert process.connected is False

    @process.on("message")
    def handler(message: object, handle: object) -> None:
        """A handler."""

    process.off("message", handler)
    assert not process.listener_count("message")


def test_plain_program_cannot_do_what_needs_a_cluster() -> None:
    """Each call says what it needs and how to get it."""
    with pytest.raises(NotInCluster, match="needs a primary to talk to"):
        process.send("x")
    with pytest.raises(NotInCluster, match=r"gunicorn -k nodecluster_compat\.Worker"):
        cluster.fork()
    with pytest.raises(NotInCluster, match="needs a running cluster"):
        cluster.disconnect()


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
