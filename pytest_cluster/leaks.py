"""Which processes belong to a cluster: those of its session, by exact number, from ``/proc``."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass

from .waiting import poll

__all__ = ["SessionMember", "kill_session", "session_members", "wait_session_empty"]


@dataclass(frozen=True, slots=True)
class SessionMember:
    """A running process and its command line."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"pid {self.pid}: {self.command}"


def session_members(session: int) -> list[SessionMember]:
    """Return the processes of *session* that still run; a zombie holds nothing and is not counted."""
    members = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError):  # it ended meanwhile
            with open(f"/proc/{name}/stat", "rb") as stat:
                # The command, in parentheses, may itself hold spaces and parentheses.
                state, _parent, _group, its_session = stat.read().rpartition(b")")[2].split()[:4]
            if int(its_session) != session or state in (b"Z", b"X"):
                continue
            with open(f"/proc/{name}/cmdline", "rb") as cmdline:
                command = cmdline.read().replace(b"\0", b" ").decode(errors="replace").strip()
            members.append(SessionMember(int(name), command))
    return members


def wait_session_empty(session: int, timeout: float) -> list[SessionMember]:
    """Wait until *session* has no process left; return those that are left after *timeout* seconds."""
    poll(lambda: not session_members(session), timeout)
    return session_members(session)


def kill_session(session: int, timeout: float = 5.0) -> list[SessionMember]:
    """SIGKILL every process of *session*; return those that are left nevertheless."""

    def kill_and_look() -> bool:
        members = session_members(session)
        for member in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.pid, signal.SIGKILL)
        return not members

    poll(kill_and_look, timeout)
    return session_members(session)
