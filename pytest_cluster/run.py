"""One run of pytest: its pool of clusters, what each test asked for, and what is to be told at the end."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from . import settings
from .totals import Totals
from .waiting import scaled

if TYPE_CHECKING:
    from .cluster import Cluster
    from .compare import Result
    from .options import ClusterOptions
    from .pool import Lease, Pool

__all__ = ["CLUSTERS", "ClusterRun", "Wanted", "item_options"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

# The clusters that a test uses, for the report of its failure.
CLUSTERS: pytest.StashKey[list[Cluster]] = pytest.StashKey()
FAILED = pytest.StashKey[bool]()


class Wanted:
    """The options of one test, and where its server imports from."""

    def __init__(self, options: ClusterOptions, pythonpath: str) -> None:
        self.options = options
        self.pythonpath = pythonpath

    def changed(self, source: str, changes: Mapping[str, Any]) -> Wanted:
        """The same with *changes*, which *source* asks for."""
        return Wanted(self.options.changed(source, changes), self.pythonpath)


class ClusterRun:
    """What the fixtures need of the run."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._pool: Pool | None = None
        self._guards = False
        self._last_use: dict[str, int] | None = None
        self._positions: dict[int, int] = {}
        self.is_last = False
        self.totals = Totals()
        self.kept: list[str] = []
        self.results: list[Result] = []

    @property
    def pool(self) -> Pool:
        """The clusters that are kept."""
        from .pool import Pool

        if self._pool is None:
            self._pool = Pool()
        return self._pool

    @property
    def has_news(self) -> bool:
        """Whether the end of the run has something to tell."""
        return bool(self.totals.started or self.results or self.totals.problems)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the end of a test's phase, here or in a process of xdist: pytest's hook."""
        if any(" cluster: " in title for title, _ in report.sections):
            from .artifacts import forget_oldest

            forget_oldest(self._config)
        compared = getattr(report, "cluster_compared", None)
        if compared is not None and (report.when == "call" or report.failed):
            from .compare import Result

            test, workers = compared
            self.results.append(Result(test, workers, report.passed))

    def compared(self, item: pytest.Item) -> tuple[str, int] | None:
        """Return the name that a test's runs with 1 and with N workers share, and how many this one has."""
        params = getattr(getattr(item, "callspec", None), "params", {})
        if "cluster_workers" not in params or not settings.value_of(self._config, "compare").value:
            return None
        workers: int = params["cluster_workers"]
        name = item.nodeid.replace(f"workers={workers}", "", 1)
        return re.sub(r"\[-|-(?=\])", lambda found: found[0].strip("-"), name).replace("[]", ""), workers

    def wanted(self, item: pytest.Item, defaults: Mapping[str, Any], app: Any, workers: int | None) -> Wanted:
        """Return what a test asks for.

        :raises ClusterError: something that cannot be.
        """
        from .apps import locate
        from .guard import guard
        from .versions import check_gunicorn

        if not self._guards:
            check_gunicorn()
            guard.acquire()
            self._guards = True
        located = None if app is None else locate(app)
        with_app = dict(defaults) if located is None else {"app": located.name, **defaults}
        options = item_options(item, with_app, workers)
        folders = [str(self._config.rootpath), *map(str, self._config.getini("pythonpath"))]
        if located is not None and located.folder is not None:
            folders.append(located.folder)
        return Wanted(_resolved(options, item), ",".join(dict.fromkeys(folders)))

    def start(self, wanted: Wanted, item: pytest.Item) -> Cluster:
        """Start a cluster of a test's own.

        :raises StartError: it did not get ready.
        """
        from .cluster import Cluster

        started = item.stash.setdefault(CLUSTERS, [])
        begin = time.monotonic()
        one = Cluster.start(wanted.options, pythonpath=wanted.pythonpath)
        self.totals.started += 1
        self.totals.slowest = max(self.totals.slowest, time.monotonic() - begin)
        started.append(one)
        return one

    def end(self, cluster: Cluster, item: pytest.Item) -> None:
        """End a cluster of a test's own."""
        if not self._keep(cluster, item):
            self._close(cluster.close, cluster)

    def lease(self, wanted: Wanted, item: pytest.Item) -> Lease:
        """Return a cluster for a test: one of the pool, or a new one."""
        lease = self.pool.lease(wanted.options, lambda: self.start(wanted, item))
        if lease.is_reused:
            self.totals.reused += 1
            item.stash.setdefault(CLUSTERS, []).append(lease.cluster)
        return lease

    def give_back(self, lease: Lease, item: pytest.Item) -> None:
        """A test has ended that had this cluster."""
        if not self._keep(lease.cluster, item):
            wanted = self._is_wanted_later(item)
            failed = item.stash.get(FAILED, False)
            self._close(lambda: self.pool.give_back(lease, failed=failed, wanted=wanted), lease.cluster)

    def close(self) -> bool:
        """End everything; return whether nothing went wrong."""
        problems = [] if self._pool is None else self._pool.close()
        self.totals.problems += [f"{type(problem).__name__}: {problem}" for problem in problems]
        return not problems

    def release_guard(self) -> None:
        """The run is over: there is nothing left to guard."""
        if self._guards:
            from .guard import guard

            self._guards = False
            guard.drop()

    def _close(self, close: Callable[[], None], cluster: Cluster) -> None:
        from .errors import LeakError

        try:
            close()
        except LeakError:
            self.totals.leaked += 1
            raise
        finally:
            self._look_at(cluster)

    def _keep(self, cluster: Cluster, item: pytest.Item) -> bool:
        keeps = settings.value_of(self._config, "keep").value and item.stash.get(FAILED, False)
        if not keeps or cluster.returncode is not None:
            return False
        cluster.keep()
        where = cluster.address if isinstance(cluster.address, str) else cluster.url
        self.kept.append(
            f"{item.nodeid}: {where}, primary pid {cluster.primary.pid}, logs in {cluster.server.folder}; "
            f"end it with: kill {cluster.primary.pid} && rm -r {cluster.server.folder}"
        )
        return True

    def _is_wanted_later(self, item: pytest.Item) -> bool:
        """Whether a test after *item* will ask for the same, as far as markers and command line tell."""
        if self.is_last:
            return False
        if self._last_use is None:
            self._last_use = {}
            for position, one in enumerate(item.session.items):
                self._positions[id(one)] = position
                if "cluster" in getattr(one, "fixturenames", ()):
                    self._last_use[_marker_key(one)] = position
        return self._last_use.get(_marker_key(item), -1) > self._positions.get(id(item), 0)

    def _look_at(self, cluster: Cluster) -> None:
        """Note what coverage lost there."""
        totals, coverage = self.totals, sys.modules.get("coverage")
        totals.measures = totals.measures or (coverage is not None and coverage.Coverage.current() is not None)
        hellos = [one for one in cluster.server.control.hellos if one.worker is not None]
        totals.unmeasured = totals.unmeasured or any(not one.measured for one in hellos)
        totals.killed_workers += sum(1 for one in cluster.every_worker if one.exit_signal == "SIGKILL")


def item_options(item: pytest.Item, defaults: Mapping[str, Any], workers: int | None) -> ClusterOptions:
    """What *item* asks for: marker > command line > environment > ini > fixtures > our defaults."""
    from .options import START_TIMEOUT, ClusterOptions

    options = ClusterOptions(start_timeout=scaled(START_TIMEOUT))
    options = options.changed("cluster_options", defaults)
    for name in ("app", "policy", "workers", "start_timeout"):
        found = settings.value_of(item.config, name)
        if found.source != "default":
            value = found.value[0] if name == "workers" else found.value
            value = scaled(value) if name == "start_timeout" else value
            options = options.changed(found.source, {name: value})
    for marker in reversed(list(item.iter_markers("cluster"))):
        options = options.changed("@pytest.mark.cluster", marker.kwargs)
    return options if workers is None else options.changed("--cluster-workers", {"workers": workers})


def _marker_key(item: pytest.Item) -> str:
    """What the marker and the command line say, as a text to compare."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    markers = [sorted(marker.kwargs.items(), key=lambda pair: pair[0]) for marker in item.iter_markers("cluster")]
    return repr((params.get("cluster_workers"), markers))


def _resolved(options: ClusterOptions, item: pytest.Item) -> ClusterOptions:
    """Make paths absolute: a script beside its test or from the root, a working directory from the root."""
    from .errors import OptionError

    root = str(item.config.rootpath)
    changes: dict[str, Any] = {}
    if options.cwd is not None:
        changes["cwd"] = os.path.join(root, options.cwd)
        if not os.path.isdir(changes["cwd"]):
            raise OptionError(f"cluster: cwd {options.cwd!r} is no folder (looked for {changes['cwd']})")
    if options.script is not None:
        candidates = [os.path.join(folder, options.script) for folder in (str(item.path.parent), root)]
        found = next((path for path in candidates if os.path.isfile(path)), None)
        if found is None:
            raise OptionError(f"cluster: script {options.script!r} does not exist (looked for {', '.join(candidates)})")
        changes["script"] = found
    return options.changed("cluster", changes) if changes else options
