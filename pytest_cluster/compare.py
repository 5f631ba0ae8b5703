"""``--cluster-compare``: which tests pass with one worker and fail with several."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Result", "comparison"]


@dataclass(frozen=True, slots=True)
class Result:
    """How one run of a test ended."""

    test: str
    workers: int
    passed: bool


def comparison(results: Iterable[Result]) -> list[str]:
    """Return the table: a line for each test that passes with one worker and fails with more; and the sum."""
    by_test: dict[str, dict[int, bool]] = {}
    for result in results:
        outcomes = by_test.setdefault(result.test, {})
        outcomes[result.workers] = outcomes.get(result.workers, True) and result.passed
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
