"""What a process says at its end; the rest needs a server that runs."""

from __future__ import annotations

import logging
import subprocess
import sys
from multiprocessing import resource_tracker
from typing import Any

import pytest

from nodecluster_compat._gunicorn.arbiter import finalisation


def test_children_that_go_on_are_named_but_those_of_multiprocessing(caplog: pytest.LogCaptureFixture) -> None:
    tracker: Any = resource_tracker
    tracker.ensure_running()
    started = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    with started, caplog.at_level(logging.WARNING, "gunicorn.error"):
        finalisation._name_children()
        assert started.stdin is not None
        started.stdin.close()
    named = [int(pid) for record in caplog.records for pid in str(record.args[1]).split(", ")]  # type: ignore[index]
    assert started.pid in named
    assert tracker._resource_tracker._pid not in named
