"""Compare the runs of each test with one worker and with several (``--cluster-compare``)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .parametrize import workers_of

if TYPE_CHECKING:
    import pytest

__all__ = ["Comparison", "Result", "comparison", "name_and_workers"]


@dataclass(frozen=True, slots=True)
class Result:
    """The end of one run of a test."""

    test: str
    workers: int
    passed: bool


class Comparison:
    """The ends of the tests of a run; of one that ran several times, its last attempt."""

    def __init__(self) -> None:
        self._results: dict[tuple[str, int], Result] = {}

    def note(self, report: pytest.TestReport) -> None:
        """Take the report of a phase; what was skipped, failed as expected, or will run again says nothing."""
        test, workers = report.cluster_compared  # put there by pytest_runtest_makereport
        if report.when == "setup":
            self._results.pop((test, workers), None)
        if report.failed or (report.passed and report.when == "call"):
            self._results[test, workers] = Result(test, workers, report.passed)

    def lines(self) -> list[str]:
        """Return the lines of the comparison."""
        return comparison(self._results.values())


def name_and_workers(item: pytest.Item) -> tuple[str, int] | None:
    """Return the name that the runs of a test share, and how many workers this one has; none when it has one run."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    if "cluster_workers" not in params:
        return None
    name = item.nodeid.replace(f"workers={params['cluster_workers']}", "", 1)
    name = re.sub(r"\[-|-(?=\])", lambda found: found[0].strip("-"), name).replace("[]", "")
    return name, workers_of(item, params["cluster_workers"])


def comparison(results: Iterable[Result]) -> list[str]:
    """Return the table: a line for each test that passes with one worker and fails with more; and the sum."""
    by_test: dict[str, dict[int, bool]] = {}
    for result in results:
        by_test.setdefault(result.test, {})[result.workers] = result.passed  # the last attempt's
    lines = []
    for test, outcomes in sorted(by_test.items()):
        failing = [workers for workers, passed in sorted(outcomes.items()) if workers > 1 and not passed]
        if outcomes.get(1) and failing:
            lines.append(f"{test}: passes with 1 worker, fails with {', '.join(map(str, failing))}")
    compared = sum(1 for outcomes in by_test.values() if len(outcomes) > 1)
    broken = sum(1 for outcomes in by_test.values() if outcomes.get(1) is False)
    summary = f"{compared} {'test' if compared == 1 else 'tests'} compared: {_differ(len(lines))}"
    return [*lines, summary + (f"; {broken} {_verb('fail', broken)} with 1 worker already" if broken else "")]


def _differ(count: int) -> str:
    return f"{count} {_verb('pass', count)} with 1 worker and {_verb('fail', count)} with more"


def _verb(word: str, count: int) -> str:
    return word if count != 1 else f"{word}{'es' if word.endswith('s') else 's'}"
