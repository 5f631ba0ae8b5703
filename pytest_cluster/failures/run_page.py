"""Collect the failures of a run for ``--cluster-html``, also from the processes of xdist, and write the page.

It is a plugin of its own, which knows of clusters only what the hook :func:`pytest_cluster_failed` tells.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shlex
import time
from typing import Any

import pytest

from .page import page_of
from .records import FailureRecord

__all__ = ["RunPage", "check_file", "check_folder"]

CARRIED = "cluster_failure"
"""The attribute of a report that carries the record, as text."""


def check_file(path: str) -> str:
    """Return why no file can be written at *path*, in words; nothing when it can be."""
    if os.path.isdir(path):
        return f"{path} is a folder: name a file in it, as {os.path.join(path, 'clusters.html')}"
    if os.path.exists(path):
        return "" if os.access(path, os.W_OK) else f"{path} cannot be written: {_why_not(path)}"
    return check_folder(os.path.dirname(path))


def check_folder(path: str) -> str:
    """Return why nothing can be written into a folder, which is made if it is missing; nothing when it can be."""
    folder = path
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        return f"{folder} is no folder, so nothing can be written there: name another"
    if not os.access(folder, os.W_OK):
        return f"{folder} cannot be written to: {_why_not(folder)}"
    return ""


def _why_not(path: str) -> str:
    return "its file system is read-only" if os.statvfs(path).f_flag & os.ST_RDONLY else "permission denied"


class RunPage:
    """The page of one run.

    Attributes:
        told: what is said about it at the end of the run.

    :param path: of the file.
    :param is_written_elsewhere: this is a process of xdist, whose reports go to the one that writes.
    """

    def __init__(self, path: str, *, is_written_elsewhere: bool = False) -> None:
        self._path = path
        self._is_written_elsewhere = is_written_elsewhere
        self._begun = time.time()
        self._failures: list[dict[str, Any]] = []
        self._counts: dict[str, int] = {}
        self.told: str = ""

    @pytest.hookimpl
    def pytest_cluster_failed(self, failure: FailureRecord, item: pytest.Item, report: pytest.TestReport) -> None:
        """Let the report carry the record to the process that writes the page."""
        vars(report)[CARRIED] = json.dumps(failure.as_mapping(), default=repr)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the end of a phase, here or in a process of xdist."""
        if self._is_written_elsewhere:
            return
        if report.when == "call" or report.outcome != "passed":
            what = "errors" if report.failed and report.when != "call" else report.outcome
            self._counts[what] = self._counts.get(what, 0) + 1
        carried = vars(report).pop(CARRIED, None)
        if carried is not None:
            self._failures.append(json.loads(carried))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the page; in a process of xdist, leave that to the other."""
        if self._is_written_elsewhere or session.config.option.collectonly:
            return
        try:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            with open(self._path, "w", encoding="utf-8") as file:
                file.write(page_of(self._title(), self._about(session.config), self._failures))
        except OSError as problem:
            self.told = f"cluster: the page could not be written to {self._path}: {problem}"
            if os.path.isfile(self._path):  # the half of one that a full disk has taken
                with contextlib.suppress(OSError):
                    os.unlink(self._path)
        else:
            count = len(self._failures)
            self.told = f"cluster: page of {count} failure{'' if count == 1 else 's'}: {self._path}"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where the page is."""
        if self.told:
            terminalreporter.line(self.told)

    def _title(self) -> str:
        count = len(self._failures)
        return f"{count} failure{'' if count == 1 else 's'} on clusters" if count else "No failure on a cluster"

    def _about(self, config: pytest.Config) -> str:
        counts = ", ".join(f"{count} {what}" for what, count in self._counts.items())
        begun = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(self._begun))
        command = shlex.join(["pytest", *config.invocation_params.args])
        versions = f"pytest {pytest.__version__}, Python {platform.python_version()}"
        return f"{counts or 'no test'} in {time.time() - self._begun:.1f} s · {begun} · {command} · {versions}"
