"""Write the last lines of a run: what was compared, kept, leaked, and not measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from .run import ClusterRun

__all__ = ["COVERAGE_LINES", "write_summary"]

COVERAGE_LINES = (
    "coverage runs here, but not in the workers, so what they execute counts as never executed.",
    "With coverage 7.10 or later, put this into pyproject.toml:",
    "[tool.coverage.run]",
    "parallel = true",
    'patch = ["subprocess"]',
    'concurrency = ["gevent", "thread"]',
)


def write_summary(reporter: pytest.TerminalReporter, run: ClusterRun) -> None:
    """Write a section for each thing that there is to tell."""
    for title, lines, markup in _sections(run):
        if lines:
            reporter.section(title, **markup)
            for line in lines:
                reporter.line(line)
    for line in _last_lines(run):
        reporter.line(line)


def _sections(run: ClusterRun) -> list[tuple[str, Sequence[str], dict[str, Any]]]:
    compared = run.comparison.lines(run.totals.unsteady) if run.comparison is not None and run.compares else []
    measured = COVERAGE_LINES if run.totals.measures and run.totals.unmeasured else []
    return [
        ("cluster: 1 worker against several", compared, {}),
        ("cluster: not with each number of workers", run.once, {"yellow": True}),
        ("cluster: asked in pytest's own process", run.overlooked_lines(), {"yellow": True}),
        ("cluster: kept running", run.kept, {}),
        ("cluster: slow ends", run.totals.slow_ends, {}),
        ("cluster: problems at the end", run.totals.problems, {"red": True}),
        ("cluster: coverage", measured, {"yellow": True}),
    ]


def _last_lines(run: ClusterRun) -> Iterator[str]:
    totals = run.totals
    if totals.measures and not totals.unmeasured and totals.killed_workers:
        yield f"cluster: coverage lost what {totals.killed_workers} worker(s) had executed that SIGKILL ended"
    if run.comparison is not None and not run.compares:
        yield f"cluster: {run.comparison.by_number()}"
    if totals.started:
        yield str(totals)
