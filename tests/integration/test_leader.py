"""What one worker does for all: leadership, jobs, what runs once, locks; over deaths, drains, reloads and upgrades."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from kinds import every_kind
from remote_control import CONF, REMOTE, ask, freeze, healthy, said, wait, wait_ended, wait_said

from pytest_cluster import Cluster

LEADING: dict[str, Any] = {**REMOTE, "app": "leading:app"}


def pids(cluster: Cluster) -> list[int]:
    return [one.pid for one in cluster.workers]


@pytest.mark.table(quick=["gevent"])
@every_kind
@pytest.mark.cluster(**LEADING, workers=3)
def test_leader(cluster: Cluster) -> None:
    """One leads and runs the jobs; another takes over, with a larger token, when it is killed, and when it drains."""
    [first] = wait(lambda: said_with(cluster, "led"), "a leader", cluster)
    wait(lambda: len(said_with(cluster, "tick")) >= 2, "two runs", cluster)
    os.kill(first["led"], signal.SIGKILL)
    wait_ended(cluster)  # what the journal has not told of yet would count as a worker that the reload replaces
    second = wait(lambda: said_with(cluster, "led")[1:], "another leader", cluster)[0]
    assert second["token"] > first["token"]
    wait(lambda: [one for one in said_with(cluster, "tick") if one["tick"] == second["led"]], "its run", cluster)
    assert cluster.reload().state == "succeeded"
    third = wait(lambda: said_with(cluster, "led")[2:], "a third leader", cluster)[0]
    assert third["token"] > second["token"]
    wait(lambda: [one for one in said_with(cluster, "tick") if one["tick"] == third["led"]], "its run", cluster)
    check_alone(cluster, killed=first["led"])
    assert len(said_with(cluster, "warm")) == 1
    assert healthy(cluster)


def said_with(cluster: Cluster, name: str) -> list[dict[str, Any]]:
    """Return the lines that have this, in the order of their moments: the log has them worker by worker."""
    return sorted((one for one in said(cluster) if name in one), key=lambda one: one.get("at", 0))


def check_alone(cluster: Cluster, killed: int) -> None:
    """Nobody leads before the last leader has lost, or is killed; nobody else runs a job; tokens grow.

    A handler of an election and the first run of a job are two threads of one worker: either may say its line first.
    """
    elections = {(line["led"], line["token"]) for line in said_with(cluster, "led")}
    leader, token = 0, 0
    for line in said_with(cluster, "at"):
        pid = line.get("led") or line.get("tick")
        if pid and (pid, line["token"]) != (leader, token):
            assert leader in (0, killed)
            assert line["token"] > token
            assert (pid, line["token"]) in elections
            leader, token = pid, line["token"]
        elif "lost" in line:
            assert line["lost"] == leader
            leader = 0


LOCK = """
lock = cluster.lock('report')
say(token=lock.acquire(), by=os.getpid())
"""
WAIT = """
try:
    with cluster.lock('report', timeout=0.05):
        result = 'held'
except Exception as error:
    result = type(error).__name__
"""


@pytest.mark.table(quick=["threads"])
@every_kind
@pytest.mark.cluster(**REMOTE, workers=2)
def test_locks(cluster: Cluster) -> None:
    """Held by one, given on by release, by its lease, by its holder's death; in the primary nobody may wait."""
    first, second = cluster.workers
    held = cluster.request("POST", "/here", body=LOCK.encode(), timeout=20).json()
    other = next(one for one in (first, second) if one.pid != held["pid"])
    assert run_in(cluster, other.id, WAIT) == "LockNotAcquired"
    os.kill(held["pid"], signal.SIGKILL)
    with_token = WAIT.replace("'held'", "_.token").replace("):", ") as _:", 1).replace("0.05", "20")
    token = run_in(cluster, other.id, with_token)
    assert token > wait_said(cluster, by=held["pid"])[0]["token"]
    wait_ended(cluster, worker=held["worker"])

    lease = "lock = cluster.lock('leased', lease=0.05); lock.acquire(); other = cluster.lock('leased')\n"
    lease += "tokens = [lock.token, other.acquire(20)]; result = [tokens[1] - tokens[0], lock.is_held, other.is_held]\n"
    lease += "try:\n    lock.release()\nexcept Exception as error:\n    result.append(type(error).__name__)\n"
    gap, *rest = run_in(cluster, other.id, lease)
    assert gap > 0
    assert rest == [False, True, "LockLost"]
    places = "held = [cluster.semaphore('pair', 2) for _ in range(3)]; [one.acquire() for one in held[:2]]\n"
    places += "try:\n    held[2].acquire(0)\nexcept Exception as error:\n    result = [type(error).__name__]\n"
    places += "held[0].release(); result.append(held[2].acquire(20) > held[1].token)"
    assert run_in(cluster, other.id, places) == ["LockNotAcquired", True]
    assert ask(cluster, "primary", WAIT) == "WouldBlock"
    assert healthy(cluster)


def run_in(cluster: Cluster, worker: int, source: str) -> Any:
    """Run source that waits in a request of the worker."""

    body = f"result = None\nif cluster.worker.id == {worker}:\n{indented(source)}".encode()

    def done() -> Any:
        answer = cluster.request("POST", "/here", body=body, timeout=20).json()
        return [answer["result"]] if answer["worker"] == worker else None

    return wait(done, "its turn", cluster)[0]


def indented(source: str) -> str:
    return "".join(f"    {line}\n" for line in source.strip().splitlines())


UPGRADED: dict[str, Any] = {
    **LEADING,
    "config": CONF + "cluster.on('upgrade_ready', lambda pid: say(upgraded=pid))\n",
}


@pytest.mark.slow
@pytest.mark.cluster(**UPGRADED, workers=2)
def test_an_upgrade(cluster: Cluster) -> None:
    """Two masters and one leader: the old one's until that ends; what has run once does not run again."""
    [first] = wait(lambda: said_with(cluster, "led"), "a leader", cluster)
    wait(lambda: said_with(cluster, "warm"), "what runs once", cluster)
    cluster.primary.signal("SIGUSR2")
    new = wait(lambda: said_with(cluster, "upgraded"), "the new master", cluster)[0]["upgraded"]
    try:
        ticks = len(said_with(cluster, "tick"))
        wait(lambda: len(said_with(cluster, "tick")) > ticks + 4, "runs during the upgrade", cluster)
        assert said_with(cluster, "led") == [first]
        cluster.primary.signal("SIGTERM")
        second = wait(lambda: said_with(cluster, "led")[1:], "the leader of the new master", cluster)[0]
        assert second["led"] in [int(one) for one in Path(f"/proc/{new}/task/{new}/children").read_text().split()]
        wait(lambda: [one for one in said_with(cluster, "tick") if one["tick"] == second["led"]], "its run", cluster)
        check_alone(cluster, killed=0)
        assert len(said_with(cluster, "warm")) == 1
    finally:
        os.kill(new, signal.SIGTERM)
        wait(lambda: not Path(f"/proc/{new}").exists(), "the end of the new master", cluster)


@pytest.mark.cluster(**REMOTE, workers=2)
def test_a_holder_that_is_stopped_past_its_lease(cluster: Cluster) -> None:
    """Somebody else has it, with a larger token; when it goes on it knows that, and takes nothing back."""
    source = "lock = cluster.lock('slow', lease=0.1)\nlock.acquire()\nresult = lock.token"
    held = cluster.request("POST", "/here", body=source.encode(), timeout=20).json()
    holder = cluster.worker(held["worker"])
    other = next(one for one in cluster.workers if one.pid != holder.pid)
    freeze(cluster, holder.pid)
    try:
        taken = "next_one = cluster.lock('slow')\nresult = next_one.acquire(15)"
        assert run_in(cluster, other.id, taken) > held["result"]
    finally:
        os.kill(holder.pid, signal.SIGCONT)
    late = "result = [lock.is_held]\ntry:\n    lock.release()\n"
    late += "except Exception as error:\n    result.append(type(error).__name__)"
    assert run_in(cluster, holder.id, late) == [False, "LockLost"]
    assert run_in(cluster, other.id, "result = next_one.is_held") is True
    assert healthy(cluster)
