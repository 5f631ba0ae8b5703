"""Report tests that call an application in pytest's own process, by a test client, although a cluster was meant.

``app.test_client()`` in a ``setUp`` asks no cluster, whatever the command line says, and such a test passes without a
word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..options import settings
from ..stash import ASKED_HERE
from .client_watch import ANY_PACKAGE, ClientWatch
from .compare import name_and_workers
from .pool import done_by

if TYPE_CHECKING:
    import pytest

    from ..clusters.cluster import Cluster

__all__ = ["AskedHere", "Overlooked", "asks_for_clusters"]

SHOWN_TESTS = 5


class AskedHere(NamedTuple):
    """A test that has asked an application in this process.

    Attributes:
        test: its node id.
        has_cluster: it has one, and has asked it nothing.
        instead: what asks a cluster, for a client of this kind.
        package: of the application.
    """

    test: str
    has_cluster: bool
    instead: str
    package: str


def asks_for_clusters(config: pytest.Config) -> str:
    """Return the option, or variable, by which this run asks for clusters of its own; empty when none does."""
    for name in ("compare", "workers"):
        found = settings.value_of(config, name)
        if found.value and found.source not in ("default", "ini"):
            return f"--cluster-{name}" if found.source == "command line" else found.source
    return ""


class Overlooked:
    """The tests of a run that asked no cluster: noted here, or in a process of xdist."""

    def __init__(self) -> None:
        self._found: list[AskedHere] = []
        self._asked: list[tuple[str, str]] = []
        self._begun: list[tuple[Cluster, tuple[int, ...]]] = []
        self.watch: ClientWatch = ClientWatch(lambda *what: self._asked.append(what))

    def begin_test(self) -> None:
        """Forget the test before."""
        self._asked.clear()
        self._begun.clear()
        self.watch.look()

    def begin_cluster(self, cluster: Cluster) -> None:
        """Note what a cluster has done before the test that has it from now on."""
        self._begun.append((cluster, done_by(cluster)))

    def end_call(self, item: pytest.Item) -> None:
        """Let the report of a test say whether it has asked an application here, and no cluster anything."""
        if self._asked and not any(_was_asked(cluster, before) for cluster, before in self._begun):
            compared = name_and_workers(item)
            test = compared[0] if compared else item.nodeid
            item.stash[ASKED_HERE] = [(test, bool(self._begun), *one) for one in dict.fromkeys(self._asked)]

    def note(self, told: Iterable[tuple[str, bool, str, str]]) -> None:
        """Take what a report says."""
        self._found += [AskedHere(*one) for one in told]

    def lines(self, packages: Collection[str], option: str) -> list[str]:
        """Return the sentences for the end of the run.

        :param packages: those whose applications clusters serve; with none, as no test has a cluster, all count.
        :param option: that asks for clusters; of tests without one nothing is said when nobody does.
        """
        known = {*packages, ANY_PACKAGE}
        beside = [one for one in self._found if one.has_cluster]
        alone = [one for one in self._found if not one.has_cluster and option]
        alone = [one for one in alone if one.package in known or not packages]
        told = [
            (beside, "and not the cluster of the test"),
            (alone, f"and have no cluster, so {option} does not reach them"),
        ]
        return [_line(tests, what) for tests, what in told if tests]


def _was_asked(cluster: Cluster, before: tuple[int, ...]) -> bool:
    return cluster.is_closed or not cluster.options.has_journal or done_by(cluster) != before


def _line(found: Sequence[AskedHere], what: str) -> str:
    names = list(dict.fromkeys(one.test for one in found))
    shown = ", ".join(names[:SHOWN_TESTS])
    more = f" and {len(names) - SHOWN_TESTS} more" if len(names) > SHOWN_TESTS else ""
    instead = " or ".join(dict.fromkeys(one.instead for one in found))
    tests = f"{len(names)} test{'s' if len(names) > 1 else ''}"
    return f"{tests} asked an application in pytest's own process, {what}: {shown}{more}; use {instead}"
