"""Add up the figures of a run; the processes of xdist send theirs to the one that prints."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..clusters.cluster import Cluster

__all__ = ["Totals"]


@dataclass(slots=True)
class Totals:
    """Figures of one run.

    Attributes:
        started: clusters.
        reused: how often one was used again.
        slowest: the longest boot, in seconds.
        leaked: clusters that left processes behind.
        killed_workers: workers that SIGKILL ended, whose coverage is lost.
        measures: coverage runs in pytest.
        unmeasured: there was a worker in which it did not run.
        problems: what went wrong at the end, of no single test.
        slow_ends: what tests' ends have waited for.
        unsteady: tests that were compared, and failed with 1 worker when they ran so again.
        packages: those whose applications clusters have served.
    """

    started: int = 0
    reused: int = 0
    slowest: float = 0.0
    leaked: int = 0
    killed_workers: int = 0
    measures: bool = False
    unmeasured: bool = False
    problems: list[str] = field(default_factory=list)
    slow_ends: list[str] = field(default_factory=list)
    unsteady: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)

    def note_start(self, cluster: Cluster, seconds: float) -> None:
        """Note that a cluster has started, and how long that took."""
        self.started += 1
        self.slowest = max(self.slowest, seconds)
        package = (cluster.options.app or "").partition(":")[0].partition(".")[0]
        if package and package not in self.packages:
            self.packages.append(package)

    def note_end(self, cluster: Cluster) -> None:
        """Note what coverage has lost with a cluster that has ended."""
        coverage = sys.modules.get("coverage")
        self.measures = self.measures or (coverage is not None and coverage.Coverage.current() is not None)
        hellos = [one for one in cluster.server.control.hellos if one.worker is not None]
        self.unmeasured = self.unmeasured or any(not one.measured for one in hellos)
        self.killed_workers += sum(1 for one in cluster.every_worker if one.exit_signal == "SIGKILL")

    def note_problems(self, problems: Iterable[Exception]) -> None:
        """Note what went wrong, of no single test."""
        self.problems += [f"{type(problem).__name__}: {problem}" for problem in problems]

    def as_mapping(self) -> dict[str, Any]:
        """Return the totals as plain data, for another process."""
        return dataclasses.asdict(self)

    def add(self, other: Mapping[str, Any]) -> None:
        """Add the totals of another process."""
        theirs = Totals(**other)
        self.started += theirs.started
        self.reused += theirs.reused
        self.slowest = max(self.slowest, theirs.slowest)
        self.leaked += theirs.leaked
        self.killed_workers += theirs.killed_workers
        self.measures = self.measures or theirs.measures
        self.unmeasured = self.unmeasured or theirs.unmeasured
        self.problems += theirs.problems
        self.slow_ends += theirs.slow_ends
        self.unsteady += theirs.unsteady
        self.packages += theirs.packages

    def __str__(self) -> str:
        times = "time" if self.reused == 1 else "times"
        return (
            f"cluster: {self.started} started, reused {self.reused} {times}, slowest boot {self.slowest:.2f} s, "
            f"{self.leaked} with leaked processes"
        )
