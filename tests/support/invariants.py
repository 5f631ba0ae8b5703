"""What must hold after every fault, whatever it was and whenever it happened."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from witness import Acks, Witness

from pytest_cluster import Cluster, ReloadReport
from pytest_cluster.journal.entries import LIFECYCLE
from pytest_cluster.server.leaks import cluster_members
from pytest_cluster.waiting import poll

if TYPE_CHECKING:
    from cells import Cell

__all__ = ["Before", "check", "check_ended", "check_report", "lost", "story"]

PATIENCE: Final = 20.0
END: Final = ("disconnect", "exit")


@dataclass(frozen=True, slots=True)
class Before:
    """A cluster before a fault: what must be the same afterwards."""

    seq: int
    primary: int
    workers: tuple[int, ...]
    descriptors: int
    log: int

    @classmethod
    def of(cls, cluster: Cluster) -> Before:
        """Return how it is."""
        return cls(
            cluster.journal.last_seq,
            cluster.primary.pid,
            tuple(worker.id for worker in cluster.wait_listening()),
            descriptors(cluster),
            len(cluster.primary.logs.text),
        )


def descriptors(cluster: Cluster) -> int:
    """How many the primary has, without the file of each living worker that it keeps from the first status on."""
    kept = {f"/proc/{worker.pid}/statm" for worker in cluster.workers}
    folder, count = f"/proc/{cluster.primary.pid}/fd", 0
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            count += os.readlink(f"{folder}/{name}") not in kept
    return count


def story(cluster: Cluster, worker: int) -> tuple[str, ...]:
    """What was told of a worker, in order."""
    events = (entry for entry in cluster.journal.entries if entry.worker == worker)
    return tuple(entry.event for entry in events if entry.event in LIFECYCLE)


def check_story(cluster: Cluster, worker: int) -> None:
    """Each event once at most, in order, and none of ``disconnect`` and ``exit`` without the other."""
    told = story(cluster, worker)
    in_order = [event for event in LIFECYCLE if event in told]
    assert list(told) == in_order, f"worker {worker} was told as {told}"
    assert told[0] == "fork", f"worker {worker} was told as {told}"
    assert (END[0] in told) is (END[1] in told), f"worker {worker} was told as {told}"


def lost(witness: Witness, acks: Acks, dead: set[int]) -> list[str]:
    """The requests without an answer that no dead worker had taken."""
    holders = {asked: acks.workers_of(asked) for asked in witness.failures}
    return [f"{asked}, taken by {workers}" for asked, workers in holders.items() if dead.isdisjoint(workers)]


def check(cell: Cell, before: Before, victim: int, witness: Witness, acks: Acks) -> None:
    """Everything is as it was, but for the workers that had to end."""
    cluster = cell.cluster
    cluster.wait_listening()
    check_stories(cell, before, victim)
    assert cluster.returncode is None
    dead = {worker.id for worker in cluster.every_worker if worker.is_dead()}
    assert lost(witness, acks, dead) == []
    wanted = cluster.options.workers
    assert poll(lambda: answering(cluster) == {worker.id for worker in cluster.workers}, PATIENCE)
    assert poll(lambda: descriptors(cluster) <= before.descriptors, PATIENCE), (
        f"{descriptors(cluster)} descriptors in the primary, there were {before.descriptors}"
    )
    assert poll(lambda: len(members(cluster)) == 1 + wanted, PATIENCE), members(cluster)
    if cell.moment.way != "upgrade":  # whose new master logs there, too
        assert "Traceback" not in cluster.primary.logs.text[before.log :]


def check_ended(cell: Cell, before: Before, victim: int, witness: Witness, acks: Acks) -> None:
    """The server has ended as it should, every worker was told, and nothing is left of it."""
    cluster = cell.cluster
    assert cluster.returncode == 0
    assert poll(lambda: not members(cluster), PATIENCE), members(cluster)
    cluster.journal.join(PATIENCE)
    check_stories(cell, before, victim)
    assert all(story(cluster, worker)[-2:] == END for worker in before.workers)
    assert lost(witness, acks, {victim}) == []
    assert "Traceback" not in cluster.primary.logs.text[before.log :]


def check_stories(cell: Cell, before: Before, victim: int) -> None:
    """The events of everybody, and what became of whom."""
    cluster = cell.cluster
    touched = {entry.worker for entry in cluster.journal.entries[before.seq :] if entry.event in LIFECYCLE}
    for worker in touched:
        check_story(cluster, worker)
    if cell.moment.way == "upgrade":
        assert not touched, f"workers of the old master were concerned: {touched}"
        return
    ended = {entry.worker for entry in cluster.journal.entries[before.seq :] if entry.event == "exit"}
    allowed = {victim}
    if cell.moment.way in ("reload", "old", "shutdown"):
        allowed |= touched  # those of before, or, when it has failed, those of the new generation
    elif cell.moment.way == "successor":
        allowed |= {min(before.workers)}
    assert ended <= allowed, f"workers {ended - allowed} have ended as well"
    if cell.goes_on:
        assert story(cluster, victim) == ("fork", "online", "listening")
    elif cell.fault.exact:
        assert story(cluster, victim) == (*cell.moment.told, *END)
    else:
        assert story(cluster, victim)[-2:] == END


def check_report(cell: Cell, reports: Sequence[ReloadReport], *, victim: int) -> None:
    """A new worker that ends before it listens undoes the reload, and nothing else does.

    One that has lost a channel may say that it listens, before the primary sees the loss or after.
    """
    (report,) = reports
    ended = cell.cluster.worker(victim).is_dead()
    failed = ended and cell.moment.told == ("fork", "online") and cell.fault.effect != "passes"
    expected = {"failed" if failed else "succeeded"}
    if failed and "listening" in story(cell.cluster, victim):
        expected = {"failed", "succeeded"}
    assert report.state in expected, report


def answering(cluster: Cluster) -> set[int]:
    """Who answers three rounds of requests, each as often as the others; nobody otherwise."""
    counts = Counter(cluster.get("/").json()["worker"] for _ in range(3 * cluster.options.workers))
    return set(counts) if set(counts.values()) == {3} else set()


def members(cluster: Cluster) -> list[str]:
    """The processes of the cluster that run, and the children of its primary that nobody has reaped."""
    found = [str(member) for member in cluster_members(cluster.primary.pid, cluster.server.tag)]
    return found + [f"zombie {pid}" for pid in zombies(cluster.primary.pid)]


def zombies(parent: int) -> list[int]:
    """The dead children of a process that are still to be reaped."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:
                state, its_parent = stat.read().rpartition(b")")[2].split()[:2]
        except OSError:
            continue
        if state == b"Z" and int(its_parent) == parent:
            found.append(int(name))
    return found
