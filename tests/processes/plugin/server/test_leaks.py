"""A process whose first thread has ended is one that runs."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

from pytest_cluster.server.leaks import is_running
from pytest_cluster.waiting import poll

ENDS_BY_PARTS = """
import ctypes, sys, threading
threading.Thread(target=sys.stdin.read).start()
print(flush=True)
ctypes.CDLL(None).syscall(EXIT, 0)  # of this thread alone
"""
EXIT = {"x86_64": 60, "aarch64": 93}


def test_process_whose_first_thread_has_ended_still_runs() -> None:
    """The other holds its sockets."""
    code = ENDS_BY_PARTS.replace("EXIT", str(EXIT[platform.machine()]))
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        stat = f"/proc/{process.pid}/stat"
        assert poll(lambda: Path(stat).read_text().rpartition(")")[2].split()[0] == "Z", 20)
        assert is_running(process.pid)
        process.stdin.close()
        assert poll(lambda: not is_running(process.pid), 20)
