"""The least that must work: workers are ready, each gets its share, a death is told, nothing is left."""

from __future__ import annotations

from collections import Counter

import pytest

from pytest_cluster import Cluster


@pytest.mark.cluster(workers=3)
def test_sequential_connections_are_dealt_evenly(cluster: Cluster) -> None:
    """Twelve connections, one after another, are four for each of three workers."""
    hits = Counter(cluster.get("/").json()["worker"] for _ in range(12))

    assert hits == {1: 4, 2: 4, 3: 4}


@pytest.mark.cluster(workers=2)
def test_a_worker_is_the_process_that_answers(cluster: Cluster) -> None:
    """The ids and pids of the journal are those that the application sees."""
    answers = [cluster.get("/").json() for _ in range(4)]

    assert {(one["worker"], one["pid"]) for one in answers} == {(one.id, one.pid) for one in cluster.workers}


@pytest.mark.cluster(workers=2)
def test_a_killed_worker_is_told_of_and_replaced(cluster: Cluster) -> None:
    """SIGKILL gives ``disconnect``, then ``exit`` with the signal's name, then a successor that listens."""
    victim = cluster.workers[0]

    victim.kill()
    exit_ = cluster.journal.wait_for("exit", worker=victim.id)
    successors = cluster.wait_listening()

    disconnect = cluster.journal.wait_for("disconnect", worker=victim.id)
    assert disconnect.seq < exit_.seq
    assert (exit_.code, exit_.signal, victim.state) == (None, "SIGKILL", "dead")
    assert victim.exited_after_disconnect is False
    assert victim.id not in [one.id for one in successors]


def test_term_ends_the_server(cluster: Cluster) -> None:
    """SIGTERM is graceful: return code 0, and every worker has left in order."""
    assert cluster.stop() == 0
    assert cluster.workers == []
    assert {cluster.worker(one).exit_code for one in (1, 2)} == {0}
