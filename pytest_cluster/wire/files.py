"""Name the files in a cluster's folder that the test and the processes of the cluster share.

A process writes its stacks when :data:`STACK_SIGNAL` comes: all threads at once, by ``faulthandler``, which needs no
Python to run; and then, as soon as Python does run, its greenlets and :data:`END_LINE`.
"""

from __future__ import annotations

import os
import signal

__all__ = [
    "END_LINE",
    "STACK_SIGNAL",
    "control_path",
    "server_log_path",
    "stacks_path",
    "tallies_path",
    "worker_log_path",
]

STACK_SIGNAL = signal.SIGRTMIN + 5
END_LINE = "(end of the dump)"


def control_path(folder: str) -> str:
    """Return the path of the socket at which the test listens."""
    return os.path.join(folder, "control")


def tallies_path(folder: str) -> str:
    """Return the path of the workers' counters."""
    return os.path.join(folder, "tallies")


def server_log_path(folder: str) -> str:
    """Return the path of the output of the primary, and of what has no file of its own."""
    return os.path.join(folder, "server.log")


def worker_log_path(folder: str, worker: int, pid: int) -> str:
    """Return the path of a worker's output."""
    return os.path.join(folder, f"worker-{worker}-{pid}.log")


def stacks_path(folder: str, pid: int) -> str:
    """Return the path of the stacks of the process *pid*."""
    return os.path.join(folder, f"stacks-{pid}")
