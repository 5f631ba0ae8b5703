"""Implement pytest's hooks.  Each delegates; what is heavy is imported when a test needs it."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from .fixtures import (
    RUN,
    cluster,
    cluster_app,
    cluster_chaos,
    cluster_client,
    cluster_factory,
    cluster_faults,
    cluster_journal,
    cluster_matrix,
    cluster_nginx,
    cluster_noproc,
    cluster_options,
    cluster_postgresql,
    cluster_postgresql_noproc,
    cluster_redis,
    cluster_redis_noproc,
    cluster_workers,
    fail_without_traceback,
)
from .options import settings
from .stash import ASKED_HERE, CALLED, CLUSTERS, FAILED, MOMENTS, REPLAY, RUN_ONCE, STARTED, VERDICT

if TYPE_CHECKING:
    from .session.limits import TimeoutSettings

    class XdistNode(Protocol):
        """A process of xdist, as its controller sees it."""

        @property
        def config(self) -> pytest.Config:
            """The controller's."""


__all__ = [
    "cluster",
    "cluster_app",
    "cluster_chaos",
    "cluster_client",
    "cluster_factory",
    "cluster_faults",
    "cluster_journal",
    "cluster_matrix",
    "cluster_nginx",
    "cluster_noproc",
    "cluster_options",
    "cluster_postgresql",
    "cluster_postgresql_noproc",
    "cluster_redis",
    "cluster_redis_noproc",
    "cluster_workers",
]

CLUSTER_MARKER = (
    "cluster(workers=, app=, script=, policy=, settings=, config=, env=, preload=, fresh=, start_timeout=,"
    " worker_class=, cwd=, fork_app=, python=, gunicorn=): what the cluster fixtures of this test start"
)
MATRIX_MARKER = "cluster_matrix(gunicorn=[...], ...): run this test with each combination of the marker's keywords"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and their ini twins."""
    settings.add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let other plugins, and conftest files, hear of clusters."""
    from . import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and refuse options that cannot be."""
    from .session.combinations import check_options
    from .session.run import ClusterRun

    for marker in (CLUSTER_MARKER, MATRIX_MARKER):
        config.addinivalue_line("markers", marker)
    config.stash[RUN] = ClusterRun(config)
    config.pluginmanager.register(config.stash[RUN], "cluster-run")
    check_options(config)
    _register_page(config)
    if settings.value_of(config, "slow_factor").source != "default":
        from .waiting import set_slow_factor

        former = set_slow_factor(settings.value_of(config, "slow_factor").value)
        config.add_cleanup(partial(_restore_slow_factor, former))


def _register_page(config: pytest.Config) -> None:
    """Let the page of a run hear of failures, if it is asked for."""
    path = settings.path_of(config, "html")
    if path is not None:
        from .failures.run_page import RunPage

        is_of_xdist = hasattr(config, "workerinput")
        config.pluginmanager.register(RunPage(path, is_written_elsewhere=is_of_xdist), "cluster-page")


def _restore_slow_factor(factor: float) -> None:
    """Give an outer run its own time-outs back when one inside it ends."""
    from .waiting import set_slow_factor

    set_slow_factor(factor)


def pytest_report_header(config: pytest.Config) -> str:
    """Say what is in force, and where it comes from."""
    return settings.header(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each number of workers, and for each combination of its matrix."""
    if metafunc.definition.get_closest_marker("cluster_matrix") is not None:
        from .session.matrix import parametrize_matrix

        parametrize_matrix(metafunc)
    if metafunc.config.stash[RUN].repeats:
        from .session.parametrize import parametrize

        parametrize(metafunc)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Run the tests of a ``TestCase``, and doctests, once for each number of workers."""
    report = yield
    if report.passed and collector.config.stash[RUN].repeats:
        from .session.repeated import repeated

        report.result = repeated(report.result)
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a marker that asks for what cannot be, before any test runs."""
    marked = [item for item in items if item.get_closest_marker("cluster") is not None]
    for item in items:
        if item.get_closest_marker("cluster_matrix") is not None:
            from .session.matrix import check_matrix

            check_matrix(item)
    if marked:
        from .session.parametrize import check_marker

        for item in marked:
            check_marker(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Let what limits the waits of a test end with it; make sure of what its comparison says."""
    from .session.limits import own_limit

    with own_limit():
        result = yield
        run = item.config.stash[RUN]
        if run.compares and run.comparison is not None:
            run.check_verdict(item, nextitem)
        return result


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note when a test begins; whether it takes a cluster it may decide later."""
    # Anew each time: a plugin that runs a failed test again uses the same item.
    keys: tuple[pytest.StashKey[Any], ...] = (ASKED_HERE, CALLED, CLUSTERS, MOMENTS, REPLAY, RUN_ONCE, VERDICT)
    for key in keys:
        if key in item.stash:
            del item.stash[key]
    item.stash[FAILED], item.stash[STARTED] = False, time.monotonic()
    item.config.stash[RUN].begin_test()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, None, None]:
    """End every cluster in the last test, so that what goes wrong with that is a test's failure."""
    from .waiting import end_waits_at

    end_waits_at(None)
    run = item.config.stash[RUN]
    run.is_last = nextitem is None
    problems = run.end_idle() if run.is_last else []
    try:
        yield
    except BaseException:
        run.totals.note_problems(problems)  # the test has an error of its own already
        raise
    if problems:
        item.stash.setdefault(CLUSTERS, [])
        fail_without_traceback(problems)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: TimeoutSettings) -> bool | None:
    """Show what the cluster is doing before pytest-timeout's thread ends pytest."""
    if settings.method != "thread":
        return None
    from .session.asking import asks_for
    from .session.limits import end_with_stacks

    if not asks_for(item):
        return None

    end_with_stacks(item, settings)
    return True


def pytest_enter_pdb() -> None:
    """Let waits last while somebody debugs, as pytest-timeout does."""
    from .waiting import end_waits_at

    end_waits_at(None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the cluster has to say about a failure: about what has become of the test, as pytest sees it."""
    error = call.excinfo.value if call.excinfo is not None else None
    moments = {}
    run = item.config.stash[RUN]
    if call.when == "call":
        run.end_call(item)
    if error is not None and CLUSTERS in item.stash:
        from .failures.moments import observe_clusters
        from .session.limits import put_alarm_off

        with put_alarm_off(item):
            moments = observe_clusters(item, error)
            result = yield
    else:
        result = yield
    if isinstance(error, pytest.fail.Exception) and str(error).startswith("ScopeMismatch"):
        from .session.scopes import explain_scope

        result.longrepr = "\n".join(filter(None, [str(result.longrepr), explain_scope(str(error))]))
    if result.failed and CLUSTERS in item.stash:
        from .failures.sections import describe_failure
        from .session.limits import put_alarm_off

        with put_alarm_off(item):
            describe_failure(item, result, error, moments)
    if result.failed:
        item.stash[FAILED] = True
    vars(result).update(run.told_with_report(item))  # goes through xdist with it
    return result


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """End what is left when the run was cut short; what goes wrong with that, here or in xdist, fails the run."""
    run = session.config.stash[RUN]
    run.close()
    if not run.has_totals:
        return
    if run.totals.problems and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["cluster_totals"] = run.totals.as_mapping()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: XdistNode) -> None:
    """Add up what a process of xdist has done."""
    totals = getattr(node, "workeroutput", {}).get("cluster_totals")
    if totals is not None:
        node.config.stash[RUN].totals.add(totals)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tell what was compared, kept, leaked, and not measured."""
    run = config.stash[RUN]
    if run.has_news:
        from .session.summary import write_summary

        write_summary(terminalreporter, run)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let the guard go: there is nothing left to guard, unless the session did not come to its end."""
    run = config.stash.get(RUN, None)
    if run is not None:
        for problem in run.close():  # too late for the report
            sys.stderr.write(f"cluster: problem at the end: {type(problem).__name__}: {problem}\n")
        run.release_helpers()
