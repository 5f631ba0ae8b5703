"""Start, lease and end the clusters of one run of pytest, and collect what its summary tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from ..options import settings
from ..stash import CLUSTERS, FAILED
from .totals import Totals

if TYPE_CHECKING:
    from ..clusters.cluster import Cluster
    from ..clusters.prepared import PreparedCluster
    from ..options.recipe import Recipe
    from .compare import Comparison
    from .pool import Lease, Pool
    from .reuse_forecast import LaterUse

__all__ = ["ClusterRun"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all


class ClusterRun:
    """The clusters and the totals of one run of pytest.

    Attributes:
        is_last: no test follows the one that is being torn down.
        totals: what it adds up to.
        kept: a line for each cluster that was to be left running.
        comparison: of the tests with 1 and with N workers, where it was asked for.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._pool: Pool | None = None
        self._later: LaterUse | None = None
        self._has_helpers = False
        self.is_last = False
        self.totals = Totals()
        self.kept: list[str] = []
        self.comparison: Comparison | None = None

    @property
    def pool(self) -> Pool:
        """The clusters that are kept between tests."""
        from .pool import Pool

        if self._pool is None:
            self._pool = Pool(self._close)
        return self._pool

    @property
    def has_news(self) -> bool:
        """Whether the end of the run has something to tell."""
        return bool(self.totals.started or self.comparison or self.totals.problems)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the end of a test's phase, here or in a process of xdist: pytest's hook."""
        if any(" cluster: " in title for title, _ in report.sections):
            from ..failures.artifacts import forget_oldest

            forget_oldest(self._config)
        if hasattr(report, "cluster_compared"):
            from .compare import Comparison

            self.comparison = self.comparison or Comparison()
            self.comparison.note(report)

    def compared(self, item: pytest.Item) -> tuple[str, int] | None:
        """Return the name that a test's runs with 1 and with N workers share, and how many this one has."""
        if not settings.value_of(self._config, "compare").value:
            return None
        from .compare import name_and_workers

        return name_and_workers(item)

    def recipe(self, item: pytest.Item, fixtures: Mapping[str, Any], app: object, workers: int | None) -> Recipe:
        """Return the recipe that a test asks for; from now on its waits end before pytest-timeout's alarm.

        :raises ClusterError: something that cannot be.
        """
        from ..options.recipe import recipe_of
        from .limits import limit_waits

        item.stash.setdefault(CLUSTERS, [])
        limit_waits(item)
        self._acquire_helpers()
        return recipe_of(item, fixtures, app, workers)

    def start(self, recipe: Recipe, item: pytest.Item) -> Cluster:
        """Start a cluster of a test's own.

        :raises StartError: it did not get ready.
        """
        return self.prepare(recipe, item).start()

    def prepare(
        self, recipe: Recipe, item: pytest.Item, started: Callable[[Cluster], object] = lambda _: None
    ) -> PreparedCluster:
        """Prepare a cluster of a test's own; *started* is called with it when it has been started."""
        from ..clusters.prepared import PreparedCluster

        def note(cluster: Cluster, seconds: float) -> None:
            self.totals.started += 1
            self.totals.slowest = max(self.totals.slowest, seconds)
            item.stash[CLUSTERS].append(cluster)
            started(cluster)

        return PreparedCluster(recipe.options, pythonpath=recipe.pythonpath, started=note)

    def end(self, cluster: Cluster, item: pytest.Item) -> None:
        """End a cluster of a test's own.

        :raises ClusterError: it did not end as it should.
        """
        if not self._keep(cluster, item):
            with _crash_raised_after(cluster, item):
                self._close(cluster)

    def lease(self, recipe: Recipe, item: pytest.Item) -> Lease:
        """Return a cluster for a test: one of the pool, or a new one."""
        lease = self.pool.lease(recipe, lambda: self.start(recipe, item))
        if lease.is_reused:
            self.totals.reused += 1
            item.stash[CLUSTERS].append(lease.cluster)
        return lease

    def give_back(self, lease: Lease, item: pytest.Item) -> None:
        """Take back the cluster of a test that has ended.

        :raises ClusterError: it, or one that had to make place for it, did not end as it should.
        """
        if not self._keep(lease.cluster, item):
            failed, wanted = item.stash.get(FAILED, False), self._is_wanted_later(item)
            with _crash_raised_after(lease.cluster, item):
                self.pool.give_back(lease, failed=failed, wanted=wanted)

    def end_idle(self) -> list[Exception]:
        """End the clusters that no test has now; return what went wrong."""
        return [] if self._pool is None else self._pool.close()

    def close(self) -> list[Exception]:
        """End what is left; return what went wrong with that, which is no single test's failure."""
        problems = self.end_idle()
        self.totals.note_problems(problems)
        return problems

    def release_helpers(self) -> None:
        """Release the guard and the fork server: the run is over."""
        if self._has_helpers:
            from ..server.fork_server import fork_server
            from ..server.guard import guard

            self._has_helpers = False
            fork_server.drop()
            guard.drop()

    def _acquire_helpers(self) -> None:
        if not self._has_helpers:
            from ..options.versions import check_gunicorn
            from ..server.fork_server import fork_server
            from ..server.guard import guard

            check_gunicorn()
            guard.acquire()
            fork_server.acquire(wanted=settings.value_of(self._config, "fork_server").value)
            self._has_helpers = True

    def _close(self, cluster: Cluster) -> None:
        from ..errors import LeakError

        try:
            cluster.close()
        except LeakError:
            self.totals.leaked += 1
            raise
        finally:
            self.totals.note_end(cluster)

    def _keep(self, cluster: Cluster, item: pytest.Item) -> bool:
        """Leave the cluster of a failed test running, if that is asked for and can be."""
        keeps = settings.value_of(self._config, "keep").value and item.stash.get(FAILED, False)
        if not keeps or cluster.returncode is not None:
            return False
        from .ending import keep

        was_kept, told = keep(cluster)
        self.kept.append(f"{item.nodeid}: {told}")
        return was_kept

    def _is_wanted_later(self, item: pytest.Item) -> bool:
        from .reuse_forecast import LaterUse

        self._later = self._later or LaterUse(item.session.items)
        return not self.is_last and self._later.comes_after(item)


@contextmanager
def _crash_raised_after(cluster: Cluster, item: pytest.Item) -> Iterator[None]:
    """Find out before the cluster's end whether its primary has crashed, and raise that after the end."""
    from .ending import crash_of

    crash = None if item.stash.get(FAILED, False) else crash_of(cluster)
    yield
    if crash is not None:
        raise crash
