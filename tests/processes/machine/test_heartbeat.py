"""What the kernel says of a process that sleeps, is stopped or is dead."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from nodecluster_compat.machine.process_state import condition_of

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_condition_of_a_process() -> None:
    """It waits, stands still, is dead and not reaped, is gone."""
    child = subprocess.Popen(["sleep", "60"])
    try:
        os.kill(child.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        assert condition_of(child.pid) == "stopped"
        assert condition_of(os.getpid()) == "running"
    finally:
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert condition_of(child.pid) == "dead"
    child.wait()
    assert condition_of(child.pid) == "dead"
