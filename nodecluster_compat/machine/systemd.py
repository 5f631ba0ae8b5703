"""Notify systemd: the datagrams of sd_notify(3).

Sending never blocks and never fails: what the manager cannot take now is kept, in order, up to a bound, and sent before
the next.  A datagram has a socket of its own, so nothing has to be closed in forked children.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections import deque
from collections.abc import Mapping, MutableMapping
from typing import Final

from msgspec import Struct

__all__ = ["Manager", "Notifier", "drop_watchdog_pid", "forget_manager", "manager_of"]

_SOCKET: Final = "NOTIFY_SOCKET"
_USEC: Final = "WATCHDOG_USEC"
_PID: Final = "WATCHDOG_PID"
_MOST_KEPT: Final = 16
_UNIT: Final = 1_000_000


class Manager(Struct, frozen=True):
    """The service manager of this process.

    Attributes:
        address: of its socket: a path, or an abstract name, which begins with NUL.
        watchdog: seconds without a sign of life after which it ends the service; 0 for never.
    """

    address: str
    watchdog: float = 0.0


def manager_of(environ: Mapping[str, str], pid: int) -> Manager | None:
    """Return who is to be told; ``None`` outside of a service.

    Args:
        environ: of the process.
        pid: its pid: the watchdog may be meant for another process.

    Source: sd_notify(3), sd_watchdog_enabled(3).
    """
    address = environ.get(_SOCKET, "")
    if len(address) < 2 or address[0] not in "/@":
        return None  # "vsock:" is for virtual machines
    usec = environ.get(_USEC, "")
    is_meant = environ.get(_PID, str(pid)) == str(pid)
    seconds = int(usec) / _UNIT if usec.isdecimal() and is_meant else 0.0
    return Manager("\0" + address[1:] if address[0] == "@" else address, seconds)


def forget_manager(environ: MutableMapping[str, str]) -> None:
    """In a child: it is not the one that speaks for the service (``NotifyAccess=main``)."""
    for name in (_SOCKET, _USEC, _PID):
        environ.pop(name, None)


class Notifier:
    """Sends to the manager at ``address``."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._kept: deque[bytes] = deque(maxlen=_MOST_KEPT)

    def send(self, *lines: str) -> None:
        """Send one datagram; what is kept goes first.

        Args:
            lines: such as ``READY=1``.  A line break in one is a blank: what follows it is no assignment of its own.
        """
        told = "\n".join(" ".join(line.splitlines()) for line in lines)
        self._kept.append(told.encode(errors="backslashreplace"))
        self.flush()

    def flush(self) -> None:
        """Send what is kept, as far as it is taken."""
        if not self._kept:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            while self._kept:
                sock.sendto(self._kept[0], self._address)
                self._kept.popleft()


def drop_watchdog_pid(*environs: MutableMapping[str, str]) -> None:
    """Let a program that this process starts in its own place have the watchdog: its pid is not known before."""
    for environ in environs:
        if environ.get(_PID) == str(os.getpid()):
            del environ[_PID]
