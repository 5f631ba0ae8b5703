"""Whether the process that may have let go of a worker still runs."""

from __future__ import annotations

import os
import subprocess

from nodecluster_compat.machine.process_state import is_ending


def test_process_that_ends_is_told_from_one_that_runs() -> None:
    """Also before it was reaped, as a primary that is amid its end."""
    assert not is_ending(os.getpid())
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_ending(child.pid)
    assert is_ending(child.pid)
