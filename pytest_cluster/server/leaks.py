"""Find and kill the processes of a cluster: those of its session, and those that carry its tag.

The tag is in the environment that a process was started with.  Its children inherit it, so that one that has left the
session is found all the same.  A program that overwrites its environment area, as ``setproctitle`` does, is found by
its session.

Standard library only, and no relative import: the guard runs this file alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass

__all__ = [
    "TAG_VARIABLE",
    "SessionMember",
    "cluster_members",
    "is_running",
    "is_stopped",
    "kill_cluster",
    "session_members",
    "wait_cluster_empty",
]

TAG_VARIABLE = "PYTEST_CLUSTER_TAG"

MOST_PATIENCE = 5.0

_POLL_SECONDS = 0.02
_ENDED = (b"Z", b"X")
_SESSION = 3  # proc_pid_stat(5), counted from the state
_THREADS = 17
_PIECE = 1 << 16


@dataclass(frozen=True)
class SessionMember:
    """A running process and its command line."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"pid {self.pid}: {self.command}"


def is_running(pid: int) -> bool:
    """Whether there is a process *pid*; a zombie is none."""
    return _state(pid) not in _ENDED


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped the process *pid*, with each of its threads."""
    try:
        return all(_state(f"{pid}/task/{task}") == b"T" for task in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return False


def session_members(session: int) -> list[SessionMember]:
    """Return the processes of *session* that still run; a zombie holds nothing and is not counted."""
    return cluster_members(session, None)


def cluster_members(session: int | None, tag: str | None) -> list[SessionMember]:
    """Return the processes of *session* (``None``: not known), and those with *tag*, that still run."""
    members = []
    entry = f"{TAG_VARIABLE}={tag}".encode()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            state, its_session = _state_and_session(name)
            if state in _ENDED:
                continue
            if its_session == session or (tag is not None and entry in _read(name, "environ").split(b"\0")):
                command = _read(name, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()
                members.append(SessionMember(int(name), command))
    return members


def wait_cluster_empty(session: int | None, tag: str | None, timeout: float) -> list[SessionMember]:
    """Wait until a cluster has no process left; return those that are left after *timeout* seconds.

    What one of them has waited for a processor, where others are busy, does not count; but ``MOST_PATIENCE`` times as
    long is the most.
    """
    begin, delays = time.monotonic(), dict[int, float]()
    while members := cluster_members(session, tag):
        delayed = (_run_delay(one.pid) - delays.setdefault(one.pid, _run_delay(one.pid)) for one in members)
        waited = max(0.0, *delayed)  # one that has ended meanwhile has waited for less than nothing
        if time.monotonic() - begin >= min(timeout + waited, MOST_PATIENCE * timeout):
            break
        time.sleep(_POLL_SECONDS)
    return members


def _run_delay(pid: int) -> float:
    """Return how many seconds a process was ready to run, and none of the processors was free; 0 where nobody says."""
    try:
        return int(_read(str(pid), "schedstat").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def kill_cluster(session: int | None, tag: str | None, timeout: float = 5.0) -> list[SessionMember]:
    """SIGKILL every process of a cluster; return those that are left nevertheless."""
    deadline = time.monotonic() + timeout
    while (members := cluster_members(session, tag)) and time.monotonic() < deadline:
        for member in members:
            with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
                os.kill(member.pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
    return members


def _state(pid: int | str) -> bytes:
    try:
        return _state_and_session(str(pid))[0]
    except OSError:
        return b"X"


def _state_and_session(pid: str) -> tuple[bytes, int]:
    # The command, in parentheses, may itself hold spaces and parentheses.
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    # The first thread of a process is a zombie before the others have ended, which still hold its sockets.
    is_ending = fields[0] in _ENDED and int(fields[_THREADS]) > 1
    return b"R" if is_ending else fields[0], int(fields[_SESSION])


def _read(pid: str, name: str) -> bytes:
    """Return a file of ``/proc``, of which every look reads hundreds: a file object would take twice as long."""
    descriptor = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(descriptor, _PIECE):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)
