"""What /proc says about the processes of a measured server: who lives, what they cost, what they hold."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Process:
    """One line of /proc/<pid>/stat, as far as the measurements need it."""

    pid: int
    parent: int
    session: int
    cpu_seconds: float


@dataclass(frozen=True)
class Holdings:
    """What one process holds at one moment."""

    descriptors: int
    rss_kib: int
    pss_kib: int


def read_process(pid: int) -> Process | None:
    """The process, or None when it is gone or a zombie."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    ticks = sum(map(int, fields[11:15]))  # user and system time, its own and that of reaped children
    return Process(pid, int(fields[1]), int(fields[3]), ticks / TICKS_PER_SECOND)


def session_members(session: int) -> list[Process]:
    """All living processes of a session, oldest pid first."""
    pids = sorted(int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    found = (read_process(pid) for pid in pids)
    return [process for process in found if process is not None and process.session == session]


def session_cpu_seconds(session: int) -> float:
    """CPU time that the whole process tree has used so far."""
    return sum(process.cpu_seconds for process in session_members(session))


def busy_cpu_seconds() -> float:
    """CPU time that all processes of the machine have used so far."""
    user, nice, system, _idle, _iowait, irq, softirq = map(int, (PROC / "stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS_PER_SECOND


def seconds_until_empty(session: int, limit: float) -> float | None:
    """How long the session still has a living process; None if it has one at the limit."""
    started = time.monotonic()
    while session_members(session):
        if time.monotonic() - started > limit:
            return None
        time.sleep(0.005)
    return time.monotonic() - started


def holdings(pid: int) -> Holdings:
    """Open descriptors and memory of one process."""
    directory = PROC / str(pid)
    rss_pages = int((directory / "statm").read_text().split()[1])
    pss_kib = 0
    for line in (directory / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            pss_kib = int(line.split()[1])
    return Holdings(len(os.listdir(directory / "fd")), rss_pages * PAGE_BYTES // 1024, pss_kib)


def exact_cpu_seconds(pid: int) -> float:
    """CPU time of all living threads of a process, to the nanosecond; /proc/<pid>/stat counts hundredths of a second.

    0 when the process is gone.
    """
    total = 0
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in (PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def user_and_kernel_seconds(pid: int) -> tuple[float, float]:
    """CPU time of a process outside of the kernel and in it, to a hundredth of a second."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / TICKS_PER_SECOND, int(fields[12]) / TICKS_PER_SECOND


def exact_session_cpu_seconds(session: int) -> float:
    """CPU time of all living processes of a session, to the nanosecond."""
    return sum(exact_cpu_seconds(process.pid) for process in session_members(session))


def session_pss_kib(session: int) -> int:
    """Memory of a whole process tree, what is shared counted once."""
    return sum(holdings(process.pid).pss_kib for process in session_members(session))
