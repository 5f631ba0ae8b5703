"""End waits before the alarm of pytest-timeout, so that their message is what is seen."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

import pytest

from ..stash import CALLED, CLUSTERS, STARTED
from ..waiting import cut, end_waits_at

__all__ = [
    "TimeoutSettings",
    "begin_call",
    "end_with_stacks",
    "limit_waits",
    "look_before_alarm",
    "own_limit",
    "put_alarm_off",
    "time_for_waits",
]

SHARE = 0.9
RESERVE_SECONDS = 2.5
LEAST_SHARE = 0.5
LOOK_SECONDS = 3.0
REPORT_SECONDS = 60.0
AFTER_REPORT_SECONDS = 1.0


class TimeoutSettings(Protocol):
    """The settings of pytest-timeout for one test."""

    @property
    def timeout(self) -> float:
        """Seconds."""

    @property
    def method(self) -> str:
        """``thread`` or ``signal``."""

    @property
    def func_only(self) -> bool:
        """Whether it begins with the call, and leaves out set-up and teardown."""

    @property
    def disable_debugger_detection(self) -> bool:
        """Whether the alarm comes even when somebody debugs."""


@contextmanager
def own_limit() -> Iterator[None]:
    """Begin a block without a limit, and restore the former limit after it: the next test's, or an outer run's."""
    former = end_waits_at(None)
    try:
        yield
    finally:
        end_waits_at(former)


def limit_waits(item: pytest.Item) -> None:
    """Let no wait of this test last until pytest-timeout's alarm; without one, nothing is limited.

    There is none in a run that somebody has looked into with a debugger, from then on; and none before the call of a
    test whose set-up pytest-timeout does not count.
    """
    plugin: Any = item.config.pluginmanager.getplugin("timeout")
    seconds = None if plugin is None or plugin.is_debugging() else _timeout_of(item)
    begin = item.stash.get(CALLED, None) if _counts_calls_only(item) else item.stash.get(STARTED, time.monotonic())
    end_waits_at(begin + time_for_waits(seconds) if seconds and begin is not None else None)


def begin_call(item: pytest.Item) -> None:
    """Note that pytest-timeout counts from now on, and limit the waits of a test that has a cluster already."""
    item.stash[CALLED] = time.monotonic()
    if CLUSTERS in item.stash:
        limit_waits(item)


def time_for_waits(seconds: float) -> float:
    """Return how long the waits of a test may last that has so many seconds: then what has happened is collected."""
    return max(min(SHARE * seconds, seconds - RESERVE_SECONDS), LEAST_SHARE * seconds)


def look_before_alarm(look: Callable[[], object]) -> None:
    """Call *look* when pytest-timeout's signal comes, before that ends the test and what it holds is let go.

    In a thread: the signal may have come while this one holds a lock that looking needs.
    """
    former = signal.getsignal(signal.SIGALRM)
    if not callable(former):
        return

    def handle(number: int, frame: FrameType | None) -> None:
        __tracebackhide__ = True
        thread = threading.Thread(target=look, name="cluster-look", daemon=True)
        thread.start()
        thread.join(LOOK_SECONDS)
        former(number, frame)

    signal.signal(signal.SIGALRM, handle)


@contextmanager
def put_alarm_off(item: pytest.Item) -> Iterator[None]:
    """Stop pytest-timeout's clock while a failure is described, for :data:`REPORT_SECONDS` at most.

    Its alarm raises wherever it comes, and there pytest would take that for an error of its own, which ends the run.
    """
    if not item.config.pluginmanager.hasplugin("timeout"):
        yield
        return
    left, interval = signal.getitimer(signal.ITIMER_REAL)
    if left:
        signal.setitimer(signal.ITIMER_REAL, left + REPORT_SECONDS, interval)
    try:
        yield
    finally:
        if left and signal.getitimer(signal.ITIMER_REAL)[0]:  # else it has gone off, or was cancelled
            signal.setitimer(signal.ITIMER_REAL, max(left, AFTER_REPORT_SECONDS), interval)


def end_with_stacks(item: pytest.Item, settings: TimeoutSettings) -> None:
    """Set pytest-timeout's timer, whose end is that of pytest: no report follows, so the stacks are shown before.

    :param settings: pytest-timeout's, of this test.
    """
    timer = threading.Timer(settings.timeout, _end, (item, settings))
    timer.name = f"cluster-timeout {item.nodeid}"

    def cancel() -> None:
        timer.cancel()
        timer.join()

    vars(item)["cancel_timeout"] = cancel  # where pytest-timeout looks for it
    timer.start()


def _end(item: pytest.Item, settings: TimeoutSettings) -> None:
    plugin: Any = item.config.pluginmanager.getplugin("timeout")
    try:
        if settings.disable_debugger_detection or not plugin.is_debugging():
            _show_stacks(item)
    finally:
        plugin.timeout_timer(item, settings)


def _show_stacks(item: pytest.Item) -> None:
    terminal = item.config.get_terminal_writer()
    terminal.line()
    for cluster in item.stash.get(CLUSTERS, []):
        for title, text in cluster.server.stacks():
            terminal.sep("~", title=title)
            terminal.line(cut(text))


def _counts_calls_only(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("timeout")
    said = None if marker is None else marker.kwargs.get("func_only")
    plugin: Any = item.config.pluginmanager.getplugin("timeout")
    return bool(plugin is not None and (item.config.getini("timeout_func_only") if said is None else said))


def _timeout_of(item: pytest.Item) -> float | None:
    marker = item.get_closest_marker("timeout")
    values: list[Any] = [] if marker is None else [marker.kwargs.get("timeout"), *marker.args]
    values += [item.config.getoption("timeout", None), os.environ.get("PYTEST_TIMEOUT"), item.config.getini("timeout")]
    for value in values:
        try:
            return float(value)
        except (TypeError, ValueError):
            continue
    return None
