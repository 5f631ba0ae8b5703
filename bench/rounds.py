"""Run the tests that were collected again and again in one process: `pytest -p rounds --rounds 200`, a line for each.

What a run of pytest costs by itself (imports, collection, the template of the fork server) is paid once. Each round
runs every test in order, from its fixtures on, as pytest-rerunfailures runs a test again.
"""

from __future__ import annotations

import time

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("rounds")
    group.addoption("--rounds", type=int, default=1, help="how often all tests run")
    group.addoption("--round-minutes", type=float, default=1e6, help="no round begins later than that")


def pytest_configure(config: pytest.Config) -> None:
    """Let the rounds be what runs the tests."""
    config.pluginmanager.register(Rounds(config.getoption("rounds"), config.getoption("round_minutes")), "all-rounds")


class Rounds:
    """Runs all tests so many times."""

    def __init__(self, rounds: int, minutes: float) -> None:
        self._rounds = rounds
        self._last_begin = time.monotonic() + 60 * minutes
        self._failed: list[pytest.TestReport] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run them, and say after each round what came of it."""
        if session.testsfailed or session.config.option.collectonly:
            return None
        reporter = session.config.pluginmanager.getplugin("terminalreporter")
        for number in range(1, self._rounds + 1):
            begin = time.monotonic()
            if begin > self._last_begin:
                break
            self._failed.clear()
            self._run_all(session, is_last=number == self._rounds)
            failed = " ".join(sorted({one.nodeid for one in self._failed}))
            took = f"{len(session.items)} tests in {time.monotonic() - begin:.1f} s"
            reporter.write_line(f"round {number}: {took}, {f'FAILED: {failed}' if failed else 'ok'}")
            for report in self._failed:
                reporter.write_line(f"{report.nodeid} {report.when}\n{report.longreprtext}")
                for title, text in report.sections:
                    reporter.write_line(f"--- {title} ---\n{text}")
        return True

    def _run_all(self, session: pytest.Session, *, is_last: bool) -> None:
        items = session.items
        following = [*items[1:], None if is_last or len(items) == 1 else items[0]]
        for item, nextitem in zip(items, following, strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=nextitem)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what has failed."""
        if report.failed:
            self._failed.append(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Print nothing for a test that passes, and count it once."""
        return ("passed" if report.when == "call" else "", "", "") if report.passed else None
