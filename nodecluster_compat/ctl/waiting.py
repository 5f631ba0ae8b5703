"""Wait for the end of what was begun (a reload, a restart), and say how far it is meanwhile.

A server answers at once; how far it is, is in its status, which is asked for again and again.  So the connection may
break in between, as it does when the server ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from .client import ControlClient, Gone, Refused
from .tables import reload_text

__all__ = ["Overdue", "wait_for_reload", "wait_for_scale", "wait_for_workers"]

_PAUSE: Final = 0.1
Say = Callable[[str], None]


class Overdue(Exception):
    """It has not ended in time; the server goes on with it."""


def wait_for_reload(server: ControlClient, before: int, seconds: float, say: Say) -> Mapping[str, Any]:
    """Return the report of the first reload after the one with the number ``before``, once it has ended.

    Raises:
        Overdue: it has not, in so many seconds.
    """

    def look(status: Mapping[str, Any]) -> tuple[str, Mapping[str, Any] | None]:
        report = status["reload"]
        if report is None or report["number"] <= before:
            return "", None
        new = sum(one["generation"] > status["generation"] for one in status["workers"])
        line = f"{reload_text(report)}: {new} new workers, {status['listening']} listen, {status['ending']} ending"
        return line, report if report["state"] != "rolling" else None

    return _wait(server, seconds, say, look)


def wait_for_workers(
    server: ControlClient, leaving: set[int], seconds: float, say: Say, *, are_replaced: bool
) -> Mapping[str, Any]:
    """Return the status once workers have gone, and, where they are replaced, as many listen as there should be.

    Args:
        server: whose they are.
        leaving: their ids.
        seconds: that it may take.
        say: told how far it is.
        are_replaced: whether successors are waited for.

    Raises:
        Overdue: they have not gone, in so many seconds.
    """

    def look(status: Mapping[str, Any]) -> tuple[str, Mapping[str, Any] | None]:
        left = sum(one["id"] in leaving for one in status["workers"])
        line = f"{len(leaving) - left} of {len(leaving)} gone, {status['listening']} of {status['target']} listen"
        is_over = not left and (not are_replaced or status["listening"] >= status["target"])
        return line, status if is_over else None

    return _wait(server, seconds, say, look)


def wait_for_scale(server: ControlClient, target: int, seconds: float, say: Say) -> Mapping[str, Any]:
    """Return the status once ``target`` workers listen, and no more.

    Raises:
        Overdue: they do not, in so many seconds.
    """

    def look(status: Mapping[str, Any]) -> tuple[str, Mapping[str, Any] | None]:
        line = f"{status['listening']} of {target} listen, {status['ending']} ending"
        return line, status if status["listening"] == target == len(status["workers"]) else None

    return _wait(server, seconds, say, look)


def _wait(
    server: ControlClient,
    seconds: float,
    say: Say,
    look: Callable[[Mapping[str, Any]], tuple[str, Mapping[str, Any] | None]],
) -> Mapping[str, Any]:
    deadline, said = time.monotonic() + seconds, ""
    while True:
        line, result = look(_status(server))
        if result is not None:
            return result
        if line and line != said:
            said = line
            say(line)
        if time.monotonic() >= deadline:
            raise Overdue(f"it has not ended within {seconds:g} s; the server goes on with it")
        time.sleep(_PAUSE)


def _status(server: ControlClient) -> Mapping[str, Any]:
    """Return the status; the server's that was asked first: another one knows nothing of what was begun."""
    while True:
        try:
            return server.ask("cluster status")
        except Gone as gone:
            if server.connect_again(gone):
                told = f"the server with pid {server.server_pid} has taken its place meanwhile"
                raise Refused(f"how it has ended is not known: {told}, with workers of its own") from None
