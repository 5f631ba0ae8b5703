"""Collect what the summary of a run tells: totals, comparisons, tests that ran once or have asked no cluster."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from ..options import settings
from ..stash import ASKED_HERE, RUN_ONCE

if TYPE_CHECKING:
    import pytest

    from ..options.server_url import ServerURL
    from .asked_here import Overlooked
    from .compare import Comparison
    from .totals import Totals

__all__ = ["RunResults"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all


class RunResults:
    """What one run of pytest adds up to.

    Attributes:
        comparison: the ends of the tests that ran with several numbers of workers.
        once: says of tests why they ran with one number of workers only, where several were asked for.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._totals: Totals | None = None
        self.comparison: Comparison | None = None
        self.once: list[str] = []
        self._overlooked: Overlooked | None = None

    @property
    def compares(self) -> bool:
        """Whether tests run with 1 and with N workers to be compared."""
        return bool(settings.value_of(self._config, "compare").value)

    @cached_property
    def repeats(self) -> bool:
        """Whether there are several numbers of workers for each test that does not say its own."""
        return settings.repeats(self._config)

    @cached_property
    def _asks_for_clusters(self) -> str:
        from .asked_here import asks_for_clusters

        return asks_for_clusters(self._config) if self.foreign_url is None else ""

    @property
    def foreign_url(self) -> ServerURL | None:
        """Where a server is that somebody else runs, and that all tests are to ask."""
        found: ServerURL | None = settings.value_of(self._config, "url").value
        return found

    @property
    def overlooked(self) -> Overlooked:
        """The tests that have asked an application in this process, and no cluster."""
        if self._overlooked is None:
            from .asked_here import Overlooked

            self._overlooked = Overlooked()
        return self._overlooked

    @property
    def totals(self) -> Totals:
        """What the run adds up to."""
        if self._totals is None:
            from .totals import Totals

            self._totals = Totals()
        return self._totals

    @property
    def has_totals(self) -> bool:
        """Whether anything has been added up yet."""
        return self._totals is not None

    @property
    def has_news(self) -> bool:
        """Whether the end of the run has something to tell."""
        adds_up = self.has_totals and (self.totals.started or self.totals.problems)
        return bool(adds_up or self.comparison or self.once or self._overlooked)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the end of a test's phase, here or in a process of xdist: pytest's hook."""
        if any(" cluster: " in title for title, _ in report.sections):
            from ..failures.artifacts import forget_oldest

            forget_oldest(self._config)
        if hasattr(report, "cluster_compared"):
            from .compare import Comparison

            self.comparison = self.comparison or Comparison()
            self.comparison.note(report)
        if report.when == "teardown" and hasattr(report, "cluster_once"):
            self.once.append(report.cluster_once)
        if report.when == "teardown" and hasattr(report, "cluster_asked_here"):
            self.overlooked.note(report.cluster_asked_here)

    def begin_test(self) -> None:
        """Watch what a test asks in this process, if there is a cluster that it may overlook."""
        if self._overlooked is not None or self._asks_for_clusters:
            self.overlooked.begin_test()

    def end_call(self, item: pytest.Item) -> None:
        """Note whether a test whose call is over has overlooked its cluster."""
        if self._overlooked is not None:
            self._overlooked.end_call(item)

    def told_with_report(self, item: pytest.Item) -> dict[str, object]:
        """Return what the reports of a test carry for the end of the run."""
        told: dict[str, object] = {}
        if self.repeats:
            from .compare import name_and_workers

            compared = name_and_workers(item)
            told.update({} if compared is None else {"cluster_compared": compared})
        if item.stash.get(RUN_ONCE, ""):
            told["cluster_once"] = item.stash[RUN_ONCE]
        if item.stash.get(ASKED_HERE, []):
            told["cluster_asked_here"] = item.stash[ASKED_HERE]
        return told

    def check_verdict(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """Run a test with 1 worker again that has passed so, when it has failed with more.

        What it fails for may be outside of any cluster, as a row in a database; then it fails with 1 as well now.
        """
        from .compare import again_with_one, name_and_workers

        compared = name_and_workers(item)
        if self.comparison is None or compared is None or not self.comparison.blames_workers(*compared):
            return
        if compared[0] not in self.totals.unsteady and again_with_one(item, compared[0], nextitem) is False:
            self.totals.unsteady.append(compared[0])

    def overlooked_lines(self) -> list[str]:
        """Return what is to be said of tests that have asked no cluster."""
        if self._overlooked is None:
            return []
        from .client_watch import package_of

        named = settings.value_of(self._config, "app").value
        packages = {*self.totals.packages, *([package_of(named)] if named else [])}
        return self._overlooked.lines(packages, self._asks_for_clusters)
