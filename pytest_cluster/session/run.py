"""Start, lease and end the clusters of one run of pytest."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from ..options import settings
from ..stash import CLUSTERS, FAILED, RUN_ONCE
from .results import RunResults

if TYPE_CHECKING:
    from ..clusters.cluster import Cluster
    from ..clusters.foreign import ForeignCluster
    from ..clusters.prepared import PreparedCluster
    from ..options.recipe import Recipe
    from .limits import TimeoutSettings
    from .pool import Lease, Pool
    from .reuse_forecast import LaterUse

__all__ = ["ClusterRun"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all


class ClusterRun(RunResults):
    """The clusters and the results of one run of pytest.

    Attributes:
        is_last: no test follows the one that is being torn down.
        kept: a line for each cluster that was to be left running.
    """

    def __init__(self, config: pytest.Config) -> None:
        super().__init__(config)
        self._pool: Pool | None = None
        self._later: LaterUse | None = None
        self._has_helpers = False
        self.is_last = False
        self.kept: list[str] = []

    @contextmanager
    def foreign(self, item: pytest.Item, fixtures: Mapping[str, Any], app: object) -> Iterator[ForeignCluster]:
        """Let a test ask that server, which serves what *fixtures* and *app* say: ``cluster_options``, ``cluster_app``.

        :raises ClusterError: nobody listens there.
        """
        from ..clusters.foreign import ForeignCluster
        from .limits import limit_waits

        assert self.foreign_url is not None
        limit_waits(item)
        cluster = ForeignCluster(self.foreign_url, lambda: _application_here(item, fixtures, app))
        try:
            yield cluster
        finally:
            cluster.close()

    @property
    def pool(self) -> Pool:
        """The clusters that are kept between tests; of a comparison's only those that have done nothing."""
        from .pool import Pool

        if self._pool is None:
            self._pool = Pool(self._close, only_untouched=self.compares)
        return self._pool

    @pytest.hookimpl(wrapper=True, optionalhook=True)
    def pytest_timeout_set_timer(self, item: pytest.Item, settings: TimeoutSettings) -> Generator[None, object, object]:
        """Look at the cluster when pytest-timeout's signal comes: pytest-timeout's hook."""
        if settings.func_only:
            from .limits import begin_call

            begin_call(item)
        result = yield
        from .asking import asks_for

        if settings.method == "signal" and asks_for(item):
            from ..failures.moments import observe_at_alarm
            from .limits import look_before_alarm

            look_before_alarm(partial(observe_at_alarm, item))
        return result

    def recipe(
        self, item: pytest.Item, fixtures: Mapping[str, Any], app: object, workers: int | None, *, forks: bool = False
    ) -> Recipe:
        """Return the recipe that a test asks for; from now on its waits end before pytest-timeout's alarm.

        :raises ClusterError: something that cannot be.
        """
        from ..options.recipe import recipe_of
        from .limits import limit_waits
        from .parametrize import why_once

        item.stash.setdefault(CLUSTERS, [])
        item.stash[RUN_ONCE] = why_once(item)
        limit_waits(item)
        self.acquire_helpers()
        self.overlooked.watch.look()
        return recipe_of(item, fixtures, app, workers, forks=forks)

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
            self.totals.note_start(cluster, seconds)
            item.stash[CLUSTERS].append(cluster)
            self.overlooked.begin_cluster(cluster)
            self._tell_of(cluster, item)
            started(cluster)

        return PreparedCluster(recipe.options, pythonpath=recipe.pythonpath, started=note)

    def _tell_of(self, cluster: Cluster, item: pytest.Item) -> None:
        """Let plugins hear of a cluster that has started, and from now on of what happens in it."""
        from ..errors import ClusterError
        from .telling import tell_of

        try:
            tell_of(cluster, item, self.totals.problems)
        except BaseException:
            try:
                self._close(cluster)  # no fixture has it yet
            except ClusterError as problem:
                self.totals.note_problems([problem])
            raise

    def end(self, cluster: Cluster, item: pytest.Item) -> None:
        """End a cluster of a test's own.

        :raises ClusterError: it did not end as it should.
        """
        from .ending import ends_of_test

        cluster.ends_quickly = cluster.ends_quickly or item.stash.get(FAILED, False)
        if not self._keep(cluster, item):
            with ends_of_test(cluster, item, self.totals.slow_ends):
                self._close(cluster)

    def lease(self, recipe: Recipe, item: pytest.Item, request: pytest.FixtureRequest) -> Lease:
        """Return a cluster for a test: one of the pool, or a new one; *request* is the fixture's."""
        self._forecast(item).note(item, request)
        lease = self.pool.lease(recipe, lambda: self.start(recipe, item))
        if lease.is_reused:
            self.totals.reused += 1
            lease.cluster.forget_clients()
            item.stash[CLUSTERS].append(lease.cluster)
            self.overlooked.begin_cluster(lease.cluster)
        return lease

    def give_back(self, lease: Lease, item: pytest.Item) -> None:
        """Take back the cluster of a test that has ended.

        :raises ClusterError: it, or one that had to make place for it, did not end as it should.
        """
        from .ending import ends_of_test

        if not self._keep(lease.cluster, item):
            failed = item.stash.get(FAILED, False)
            wanted = not self.is_last and self._forecast(item).comes_after(item)
            lease.cluster.ends_quickly = failed
            with ends_of_test(lease.cluster, item, self.totals.slow_ends):
                self.pool.give_back(lease, failed=failed, wanted=wanted, test=item.nodeid)

    def end_idle(self) -> list[Exception]:
        """End the clusters that no test has now; return what went wrong."""
        return [] if self._pool is None else self._pool.close()

    def close(self) -> list[Exception]:
        """End what is left; return what went wrong with that, which is no single test's failure."""
        problems = self.end_idle()
        if problems:
            self.totals.note_problems(problems)
        return problems

    def release_helpers(self) -> None:
        """Release the guard, the fork server and the test clients that were watched: the run is over."""
        if self._overlooked is not None:
            self._overlooked.watch.end()
        if self._has_helpers:
            from ..server.fork_server import fork_server
            from ..server.guard import guard

            self._has_helpers = False
            fork_server.drop()
            guard.drop()

    def acquire_helpers(self) -> None:
        """Have what guards processes, until the run ends."""
        if not self._has_helpers:
            from ..options.versions import check_gunicorn
            from ..server.fork_server import fork_server
            from ..server.guard import guard

            check_gunicorn()
            guard.acquire()
            forks = settings.value_of(self._config, "fork_server")
            # A comparison starts a cluster for each run of a test: that is what the fork server is for.
            fork_server.acquire(wanted=forks.value or (self.compares and forks.source == "default"))
            self._has_helpers = True

    def _close(self, cluster: Cluster) -> None:
        from ..errors import HookError, LeakError
        from .telling import tell_of_end

        try:
            cluster.close()
        except BaseException as error:
            self.totals.leaked += isinstance(error, LeakError)
            self.totals.note_end(cluster)
            try:
                tell_of_end(cluster, self._config)
            except HookError as problem:  # the end has an error of its own
                self.totals.note_problems([problem])
            raise
        self.totals.note_end(cluster)
        tell_of_end(cluster, self._config)

    def _keep(self, cluster: Cluster, item: pytest.Item) -> bool:
        """Leave the cluster of a failed test running, if that is asked for and can be."""
        keeps = settings.value_of(self._config, "keep").value and item.stash.get(FAILED, False)
        if not keeps or cluster.returncode is not None:
            return False
        from .ending import keep

        was_kept, told = keep(cluster)
        self.kept.append(f"{item.nodeid}: {told}")
        return was_kept

    def _forecast(self, item: pytest.Item) -> LaterUse:
        from .reuse_forecast import LaterUse

        self._later = self._later or LaterUse(item.session.items)
        return self._later


def _application_here(item: pytest.Item, fixtures: Mapping[str, Any], app: object) -> object:
    """Return the application that a test means, as this process has it; ``None`` where nothing says which."""
    if app is not None and not isinstance(app, str):
        return app
    from ..options.recipe import recipe_of
    from ..requests.for_flask import import_application

    recipe = recipe_of(item, fixtures, app, None)
    return import_application(recipe.options.app, recipe.pythonpath) if recipe.options.app else None
