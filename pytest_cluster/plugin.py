"""Pytest's hooks.  Each delegates; what is heavy is imported when a test needs it."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from .fixtures import CLUSTERS, cluster, cluster_factory, cluster_options

__all__ = ["cluster", "cluster_factory", "cluster_options"]

MARKER = (
    "cluster(workers=, app=, settings=, config=, env=, preload=, start_timeout=, worker_class=, cwd=):"
    " what the cluster fixtures of this test start"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the command line options."""
    from .options import worker_count

    group = parser.getgroup("cluster", "tests on a real cluster")
    group.addoption(
        "--cluster-workers",
        metavar="N",
        type=worker_count,
        help="number of workers of a cluster whose test does not say (default: 2)",
    )
    group.addoption(
        "--cluster-app",
        metavar="MODULE:NAME",
        help="application of a cluster whose test does not say, as on gunicorn's command line",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", MARKER)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a marker that asks for what cannot be, before any test runs."""
    from .errors import OptionError
    from .options import ClusterOptions

    for item in items:
        for marker in item.iter_markers("cluster"):
            source = f"{item.nodeid}: @pytest.mark.cluster"
            if marker.args:
                raise pytest.UsageError(f"{source} takes keywords only: {', '.join(ClusterOptions.keywords())}")
            try:
                ClusterOptions().changed(source, marker.kwargs)
            except OptionError as error:
                raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of each cluster's log with a failure, on the terminal and in JUnit XML."""
    if call.excinfo is not None and call.when == "call":
        for one in item.stash.get(CLUSTERS, []):
            # Only keys that begin with "stdout", "stderr" or "log" reach JUnit XML.
            item.add_report_section(call.when, f"stderr {one!r}", one.log_tail)
    return (yield)
