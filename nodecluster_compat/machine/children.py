"""Wait for some children of this process without taking the exit status of the others.

``waitpid(-1)`` takes whichever child has ended, also one that a handler started with ``subprocess``: who asks for its
exit status later is told 0.  So each child that is ours is asked for by its pid.

What nobody waits for would stay a zombie: a child that was forked and forgotten, and, in a container's first process,
every orphan.  Those are taken after :data:`FORGOTTEN_SECONDS`, by a look into ``/proc`` now and then.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from ..base.loop import original
from .process_state import condition_of, parent_of_dead

__all__ = ["FORGOTTEN_SECONDS", "LOST_STATUS", "ForgottenChildren", "ended_among", "living_children"]

FORGOTTEN_SECONDS: Final = 60.0
"""So long an exit status waits for whoever may ask for it; gevent keeps them as long."""

LOST_STATUS: Final = 255 << 8
"""The wait status that is told when somebody else has taken it: exit code 255, as asyncio has it."""

_LOOK_SECONDS: Final = 10.0


def ended_among(pids: Iterable[int]) -> Iterator[tuple[int, int, float]]:
    """Wait for those that have ended; yield the pid, the wait status and the processor time of each.

    The status is :data:`LOST_STATUS` where it is lost, the time, in seconds, is 0 where nobody knows.

    Args:
        pids: of children of this process; those that are 0 or less are left out.
    """
    for pid in pids:
        if pid <= 0:
            continue
        try:
            ended, status, cpu_seconds = _waited(pid)
        except ChildProcessError:
            yield pid, LOST_STATUS, 0.0
        else:
            if ended:
                yield pid, status, cpu_seconds


def _waited(pid: int) -> tuple[int, int, float]:
    """Like ``wait4``, also where gevent has patched the process, and may have taken the status itself."""
    try:
        ended, status, used = os.wait4(pid, os.WNOHANG)
    except ChildProcessError:
        if original("os", "waitpid") is os.waitpid:
            raise
        return (*os.waitpid(pid, os.WNOHANG), 0.0)
    return ended, status, used.ru_utime + used.ru_stime


def living_children() -> list[int]:
    """Return the pids of the children of this process that have not ended; none where the kernel does not list them."""
    here = os.getpid()
    pids: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{here}/task"):
            with open(f"/proc/{here}/task/{thread}/children", "rb") as children:
                pids.extend(map(int, children.read().split()))
    return [pid for pid in pids if condition_of(pid) != "dead"]


class ForgottenChildren:
    """The children that have ended and that nobody has waited for."""

    def __init__(self) -> None:
        self._seen: dict[int, float] = {}
        self._next_look = 0.0

    def turn(self, now: float) -> list[int]:
        """Take those that were there :data:`FORGOTTEN_SECONDS` ago.

        Args:
            now: seconds, of a clock that does not go back.

        Returns:
            Their pids.
        """
        if now < self._next_look or not _any_has_ended():
            return []
        self._next_look = now + _LOOK_SECONDS
        self._seen = {pid: self._seen.get(pid, now) for pid in _zombies()}
        forgotten = [pid for pid, since in self._seen.items() if now - since >= FORGOTTEN_SECONDS]
        for pid in forgotten:
            with suppress(ChildProcessError):
                original("os", "waitpid")(pid, os.WNOHANG)
        return forgotten


def _any_has_ended() -> bool:
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


def _zombies() -> Iterator[int]:
    """The children of this process that have ended; by ``/proc``, as ``waitid`` shows always the same one."""
    here = os.getpid()
    return (int(name) for name in os.listdir("/proc") if name.isdigit() and parent_of_dead(int(name)) == here)
