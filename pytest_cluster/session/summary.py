"""Write the last lines of a run: what was compared, kept, leaked, and not measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from .run import ClusterRun

__all__ = ["COVERAGE_LINES", "write_summary"]

COVERAGE_LINES = """\
[tool.coverage.run]
parallel = true
patch = ["subprocess"]
concurrency = ["gevent", "thread"]"""


def write_summary(reporter: pytest.TerminalReporter, run: ClusterRun) -> None:
    """Write a section for each thing that there is to tell."""
    if run.comparison is not None:
        reporter.section("cluster: 1 worker against several")
        for line in run.comparison.lines():
            reporter.line(line)
    if run.kept:
        reporter.section("cluster: kept running")
        for line in run.kept:
            reporter.line(line)
    if run.totals.problems:
        reporter.section("cluster: problems at the end", red=True)
        for problem in run.totals.problems:
            reporter.line(problem)
    if run.totals.measures and run.totals.unmeasured:
        reporter.section("cluster: coverage", yellow=True)
        reporter.line("coverage runs here, but not in the workers, so what they execute counts as never executed.")
        reporter.line("With coverage 7.10 or later, put this into pyproject.toml:")
        reporter.line(COVERAGE_LINES)
    elif run.totals.measures and run.totals.killed_workers:
        lost = run.totals.killed_workers
        reporter.line(f"cluster: coverage lost what {lost} worker(s) had executed that SIGKILL ended")
    if run.totals.started:
        reporter.line(str(run.totals))
