"""The datagrams to a service manager."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from nodecluster_compat.machine.systemd import (
    Manager,
    Notifier,
    drop_watchdog_pid,
    forget_manager,
    manager_of,
)


@pytest.mark.parametrize(
    ("environ", "manager"),
    [
        ({}, None),
        ({"NOTIFY_SOCKET": ""}, None),
        ({"NOTIFY_SOCKET": "@"}, None),
        ({"NOTIFY_SOCKET": "vsock:2:1234"}, None),
        ({"NOTIFY_SOCKET": "/run/notify"}, Manager("/run/notify")),
        ({"NOTIFY_SOCKET": "@notify"}, Manager("\0notify")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1500000"}, Manager("/n", 1.5)),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "7"}, Manager("/n", 1.5)),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "8"}, Manager("/n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "soon"}, Manager("/n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "-1"}, Manager("/n")),
    ],
)
def test_who_is_told(environ: dict[str, str], manager: Manager | None) -> None:
    """The watchdog may be meant for another process."""
    assert manager_of(environ, 7) == manager


def test_text_of_somebody_elses_is_one_line_of_ours(tmp_path: Path) -> None:
    """A reason may have a line break in it, and a file name that is no UTF-8."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        Notifier(str(tmp_path / "n")).send("STATUS=failed: caf\udce9\nMAINPID=1", "READY=1")
        assert manager.recv(4096) == b"STATUS=failed: caf\\udce9 MAINPID=1\nREADY=1"


def test_what_cannot_be_sent_is_kept_in_order(tmp_path: Path) -> None:
    """A manager that is away, or slow, stops nobody; what it missed comes first, up to a bound."""
    path = str(tmp_path / "notify")
    notifier = Notifier(path)
    for number in range(20):
        notifier.send(f"STATUS={number}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.setblocking(False)
        notifier.send("READY=1", "STATUS=ready")
        received = []
        for _ in range(16):
            notifier.flush()
            received.append(manager.recv(4096))
    assert received[0] == b"STATUS=5"
    assert received[-1] == b"READY=1\nSTATUS=ready"


def test_children_have_no_manager() -> None:
    """Nor can they have the watchdog by accident; a program in the place of this one can."""
    environ = {"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "HOME": "/"}
    drop_watchdog_pid(environ)
    assert environ["WATCHDOG_PID"] == "1"  # it was not this process'
    forget_manager(environ)
    assert environ == {"HOME": "/"}
