"""Compare the runs of each test with one worker and with several (``--cluster-compare``)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .parametrize import count_of, run_name, workers_of

if TYPE_CHECKING:
    import pytest

__all__ = ["Comparison", "Result", "again_with_one", "comparison", "name_and_workers"]

OUTSIDE = "what it has left outside of the cluster (a file, a database) is why, or it fails now and then"


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
        if report.failed:
            self._results[test, workers] = Result(test, workers, passed=False)
        elif report.passed and report.when == "call":  # unless a subtest of it has failed, whose report came before
            self._results.setdefault((test, workers), Result(test, workers, passed=True))

    def blames_workers(self, test: str, workers: int) -> bool:
        """Whether *test* has failed with so many *workers*, and passed with 1."""
        outcomes = [self._results.get((test, count)) for count in (1, workers)]
        return workers > 1 and [one and one.passed for one in outcomes] == [True, False]

    def by_number(self) -> str:
        """Say how many tests have passed and failed with each number of workers."""
        counts = sorted({one.workers for one in self._results.values()})
        return "; ".join(f"{_with(count)}: {self._outcomes(count)}" for count in counts)

    def _outcomes(self, workers: int) -> str:
        passed = [one.passed for one in self._results.values() if one.workers == workers]
        told = [(passed.count(True), "passed"), (passed.count(False), "failed")]
        return ", ".join(f"{count} {word}" for count, word in told if count)

    def lines(self, unsteady: Collection[str] = ()) -> list[str]:
        """Return the lines of the comparison; the tests *unsteady* did not pass with 1 worker when asked again."""
        return comparison(self._results.values(), unsteady)


def again_with_one(item: pytest.Item, test: str, nextitem: pytest.Item | None) -> bool | None:
    """Run *test*, of which *item* is the run that has failed, with 1 worker again; return whether it passes.

    :return: ``None`` where this process of xdist does not have that run.
    """
    from _pytest.runner import runtestprotocol

    one = next((one for one in item.session.items if name_and_workers(one) == (test, 1)), None)
    if one is None:
        return None
    return not any(report.failed for report in runtestprotocol(one, log=False, nextitem=nextitem))


def name_and_workers(item: pytest.Item) -> tuple[str, int] | None:
    """Return the name that the runs of a test share, and how many workers this one has; none when it has one run."""
    count = count_of(item)
    if count is None:
        return None
    name = item.nodeid.replace(run_name(count), "", 1)
    name = re.sub(r"\[-|-(?=\])", lambda found: found[0].strip("-"), name).replace("[]", "")
    return name, workers_of(item, count)


def comparison(results: Iterable[Result], unsteady: Collection[str] = ()) -> list[str]:
    """Return the table: a line for each test that passes with one worker and fails with more; and the sum.

    :param unsteady: tests that failed with 1 worker when they ran so again; how many there are is not why they fail.
    """
    by_test: dict[str, dict[int, bool]] = {}
    for result in results:
        by_test.setdefault(result.test, {})[result.workers] = result.passed  # the last attempt's
    lines, untold = [], []
    for test, outcomes in sorted(by_test.items()):
        failing = [workers for workers, passed in sorted(outcomes.items()) if workers > 1 and not passed]
        if outcomes.get(1) and failing:
            told = f"{test}: passes with 1 worker, fails with {', '.join(map(str, failing))}"
            lines += [told] if test not in unsteady else []
            untold += [f"{told}, and with 1 when it runs again: {OUTSIDE}"] if test in unsteady else []
    compared = sum(1 for outcomes in by_test.values() if len(outcomes) > 1)
    broken = sum(1 for outcomes in by_test.values() if outcomes.get(1) is False)
    summary = f"{compared} {'test' if compared == 1 else 'tests'} compared: {_differ(len(lines))}"
    return [*lines, *untold, summary + (f"; {broken} {_verb('fail', broken)} with 1 worker already" if broken else "")]


def _with(workers: int) -> str:
    return f"with {workers} worker{'s' if workers > 1 else ''}"


def _differ(count: int) -> str:
    return f"{count} {_verb('pass', count)} with 1 worker and {_verb('fail', count)} with more"


def _verb(word: str, count: int) -> str:
    return word if count != 1 else f"{word}{'es' if word.endswith('s') else 's'}"
