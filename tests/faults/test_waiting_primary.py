"""The arbiter waits: in a hook, in its configuration, in a handler. Connections are dealt all the same.

In each test its thread stands still until the test has been served; stock gunicorn's workers accept for themselves, so
there nobody waits either.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from remote_control import freeze, wait

from nodecluster_compat.base.native import in_force
from pytest_cluster import Cluster, ClusterFactory

HELD = """
import os, time

def hold(*_):
    if os.path.exists({held!r}):
        open({entered!r}, "w").close()
        while os.path.exists({held!r}):
            time.sleep(0.01)
"""
ASKED = 30
GAP = 5  # seconds that no client may wait, on the busiest machine; ``bench/held.py`` measures

Act = Callable[[Cluster], Any]


def hup(cluster: Cluster) -> None:
    cluster.primary.signal("SIGHUP")


def kill(cluster: Cluster) -> None:
    cluster.workers[0].kill()


def add(cluster: Cluster) -> None:
    cluster.primary.signal("SIGTTIN")


WAITS: list[Any] = [
    pytest.param("pre_fork = lambda server, worker: hold()", add, id="pre_fork"),
    pytest.param("child_exit = lambda server, worker: hold()", kill, id="child_exit"),
    pytest.param("nworkers_changed = lambda server, new, old: hold()", add, id="nworkers_changed"),
    pytest.param("on_reload = lambda server: hold()", hup, id="on_reload"),
    pytest.param("hold()", hup, id="configuration at HUP"),
    pytest.param("from nodecluster_compat import cluster\ncluster.on('exit', hold)", kill, id="exit handler"),
    pytest.param("from nodecluster_compat import cluster\ncluster.on('fork', hold)", kill, id="fork handler"),
]


KEPT = """
import ctypes, os

def on_reload(server):
    open({entered!r}, "w").close()
    ctypes.PyDLL(None).open({fifo!r}.encode(), os.O_RDONLY)  # keeps the interpreter's lock until somebody writes
"""

STUCK = """
import logging, os

class Stuck(logging.Handler):
    primary = os.getpid()

    def emit(self, record):
        if os.getpid() == self.primary:
            hold()

def on_starting(server):
    server.log.error_log.addHandler(Stuck())
"""


class Hold:
    """A file: while it is there, whoever calls ``hold`` in the primary waits."""

    def __init__(self, folder: Path) -> None:
        self.held, self.entered = folder / "held", folder / "entered"
        self.source = HELD.format(held=str(self.held), entered=str(self.entered))

    @contextmanager
    def while_held(self, cluster: Cluster, act: Act) -> Iterator[None]:
        self.held.touch()
        try:
            act(cluster)
            wait(self.entered.exists, "the arbiter to wait", cluster)
            yield
        finally:
            self.held.unlink()


@pytest.fixture
def hold(tmp_path: Path) -> Hold:
    return Hold(tmp_path)


@pytest.mark.table(quick=["pre_fork", "exit handler"])
@pytest.mark.parametrize(("config", "act"), WAITS)
def test_connections_are_dealt_while_the_arbiter_waits(
    cluster_factory: ClusterFactory, hold: Hold, config: str, act: Act
) -> None:
    cluster = cluster_factory(app="pid_echo:app", workers=3, config=f"{hold.source}\n{config}\n", fresh=True)
    with hold.while_held(cluster, act):
        assert [cluster.get("/", timeout=GAP).status for _ in range(ASKED)] == [200] * ASKED
    cluster.wait_listening(4 if act is add else 3)


@pytest.mark.table(quick=["SIGSTOP"])
@pytest.mark.parametrize("sign", ["SIGKILL", "SIGSTOP"])
def test_worker_that_dies_or_stops_meanwhile_keeps_nobody(
    cluster_factory: ClusterFactory, hold: Hold, sign: str
) -> None:
    """The dealer finds out by itself: nobody reaps, and no successor comes."""
    cluster = cluster_factory(
        app="pid_echo:app", workers=3, config=f"{hold.source}\non_reload = lambda server: hold()\n", fresh=True
    )
    victim = cluster.workers[0].pid
    with hold.while_held(cluster, hup):
        if sign == "SIGSTOP":
            freeze(cluster, victim)
        else:
            os.kill(victim, signal.SIGKILL)
        answers = [cluster.get("/", timeout=GAP) for _ in range(ASKED)]
        assert {answer.status for answer in answers} == {200}
        if sign == "SIGSTOP":
            os.kill(victim, signal.SIGCONT)
    cluster.wait_listening()


@pytest.mark.skipif(in_force().module is None, reason="Python has no standby")
def test_connections_are_dealt_while_somebody_keeps_the_interpreters_lock(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    """In C, for as long as it likes: a thread of Python's gets nowhere, so the standby deals."""
    entered, fifo = tmp_path / "entered", tmp_path / "fifo"
    os.mkfifo(fifo)
    config = KEPT.format(entered=str(entered), fifo=str(fifo))
    cluster = cluster_factory(app="pid_echo:app", workers=3, config=config, fresh=True)
    try:
        hup(cluster)
        wait(entered.exists, "the arbiter to wait", cluster)
        assert [cluster.get("/", timeout=GAP).status for _ in range(ASKED)] == [200] * ASKED
    finally:
        os.close(os.open(fifo, os.O_RDWR))
    cluster.wait_listening()


def test_workers_are_forked_while_a_log_hangs(cluster_factory: ClusterFactory, hold: Hold) -> None:
    """The thread that writes it cannot end for a fork, which waits for a moment; the dealer deals meanwhile."""
    cluster = cluster_factory(app="pid_echo:app", workers=2, config=f"{hold.source}\n{STUCK}\n", fresh=True)
    with hold.while_held(cluster, add):
        cluster.wait_listening(3)
        assert [cluster.get("/", timeout=GAP).status for _ in range(ASKED)] == [200] * ASKED
        kill(cluster)
        cluster.journal.wait_for("exit", worker=1)
        cluster.wait_listening(3)
        assert [cluster.get("/", timeout=GAP).status for _ in range(ASKED)] == [200] * ASKED
