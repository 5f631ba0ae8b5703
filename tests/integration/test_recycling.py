"""Workers that are due, by requests, age or memory, are replaced one at a time, and the successor listens first."""

from __future__ import annotations

from typing import Final

import pytest
from deploy import CONF as TOLD
from deploy import DEPLOYED, write
from kinds import every_kind, every_kind_slowly
from remote_control import CONF, REMOTE, ask, said, wait, wait_logged, wait_said

from pytest_cluster import Cluster, assert_no_request_lost

MEGABYTE: Final = 1_000_000
HEAVY: Final = 300 * MEGABYTE  # an ordinary worker of these tests has a tenth of it
MEMORY: Final = CONF + f"\ncluster.setup_primary(max_worker_memory={HEAVY}, max_worker_memory_interval=0.05)\n"
AGE: Final = CONF + "\ncluster.setup_primary(max_worker_age=0.5, max_worker_age_jitter=0)\n"
REQUESTS: Final = TOLD + (
    "\ncluster.setup_primary(max_worker_requests=10, max_worker_requests_jitter=0, restart_delay=0.2)\n"
    "cluster.on('exit', lambda worker, code, signal: cluster.fork())\n"
)


def order(cluster: Cluster, *steps: tuple[str, int]) -> list[tuple[str, int]]:
    """These events of these workers, in the order in which they came."""
    return [(one.event, one.worker) for one in cluster.journal.entries if (one.event, one.worker) in steps]


@pytest.mark.cluster(**{**REMOTE, "config": MEMORY}, workers=2)
def test_worker_that_is_too_large_is_replaced_and_no_other(cluster: Cluster) -> None:
    """Its successor listens before it is told to leave; its end is orderly."""
    ask(cluster, "worker/2", f"ballast = b'x' * {HEAVY}")
    ended = cluster.journal.wait_for("exit")
    assert (ended.worker, ended.code, ended.exited_after_disconnect) == (2, 0, True)
    steps = [("listening", 3), ("disconnect", 2), ("exit", 2)]
    assert order(cluster, *steps) == steps
    assert [one.id for one in cluster.wait_listening(2)] == [1, 3]
    pid = cluster.worker(2).pid
    (line,) = [line for line in cluster.log.splitlines() if "Recycling worker" in line]
    assert f"Recycling worker (pid:{pid}): it has 3" in line
    assert line.endswith("bytes in memory, 3 times over max_worker_memory")


@every_kind_slowly
@pytest.mark.cluster(**{**REMOTE, "config": AGE}, workers=3)
def test_workers_that_are_too_old_take_turns_under_load(cluster: Cluster) -> None:
    """All are due at once: no request fails, never fewer serve than asked for, never two more."""
    with cluster.client.load("/", concurrency=3, pause=0.01, timeout=30) as hits:
        wait(lambda: sum(one.event == "exit" for one in cluster.journal.entries) >= 5, "five ends", cluster)
    assert_no_request_lost(hits)
    serving: set[int] = set()
    running: set[int] = set()
    started = False
    for one in cluster.journal.entries:
        if one.event == "fork":
            running.add(one.worker)
        elif one.event == "listening":
            serving.add(one.worker)
            started = started or len(serving) == 3
        elif one.event == "disconnect":
            serving.discard(one.worker)
        elif one.event == "exit":
            running.discard(one.worker)
            assert one.exited_after_disconnect is True
        assert len(running) <= 4
        assert not started or len(serving) >= 3
    assert started
    assert ask(cluster, "primary", "result = server.num_workers") == 3
    wait_logged(cluster, "it has listened for 0.5 s (max_worker_age)")
    assert said(cluster, saw="cluster", event="exit", ead=False) == []


@pytest.mark.table(quick=["threads"])
@every_kind
@pytest.mark.cluster(app="deployed:app", config=REQUESTS, workers=1)
def test_worker_that_served_enough_serves_on_until_its_successor_listens(cluster: Cluster) -> None:
    """Also when that cannot boot at first; an exit handler that forks does not raise the number."""
    old = cluster.worker(1).pid
    write(cluster, at_import="raise ImportError('broken on purpose')")
    for _ in range(12):
        assert cluster.get("/").status == 200
    wait_said(cluster, told="exit", worker=2, code=3)
    wait_said(cluster, told="exit", worker=3, code=3)
    assert cluster.get("/").status == 200
    assert [one.id for one in cluster.workers if one.state == "listening"] == [1]
    assert cluster.worker(1).pid == old
    write(cluster, at_import="", version="1")
    ended = cluster.journal.wait_for("exit", worker=1)
    assert (ended.code, ended.exited_after_disconnect) == (0, True)
    (successor,) = cluster.wait_listening(1)
    assert order(cluster, ("listening", successor.id), ("disconnect", 1))[0] == ("listening", successor.id)
    assert cluster.get("/").text == "1"
    wait_logged(cluster, "it has served as many requests as it should (max_worker_requests)")


@pytest.mark.cluster(**DEPLOYED, workers=2)
def test_limits_come_with_a_reload_and_those_that_cannot_be_do_not(cluster: Cluster) -> None:
    """HUP reads them again; a bad one fails the reload by its name."""
    write(cluster, second="cluster.setup_primary(max_worker_memory=-1)")
    cluster.primary.signal("SIGHUP")
    (failed,) = wait_said(cluster, told="reload_failed")
    assert failed["what"]["state"] == "failed"
    wait_logged(cluster, "expected max_worker_memory to be a count, 0 or more, got -1")
    write(cluster, second="cluster.setup_primary(max_worker_memory=1, max_worker_memory_interval=0.02)")
    cluster.primary.signal("SIGHUP")
    wait_said(cluster, told="reloaded")
    wait_said(cluster, 4, told="exit", code=0)  # two of the reload, then one at a time, as the limit is absurd
    write(cluster, second="")
    cluster.primary.signal("SIGHUP")
    wait_said(cluster, 2, told="reloaded")
    cluster.wait_listening(2)
