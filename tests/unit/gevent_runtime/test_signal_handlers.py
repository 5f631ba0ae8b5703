"""Signal handlers that interrupt gevent's hub, asked of a real one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from nodecluster_compat.gevent_runtime.signal_handlers import let_handlers_wait


@pytest.fixture(autouse=True)
def _replaced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    former = signal.getsignal(signal.SIGUSR1)
    for name in ("signal", "getsignal"):
        monkeypatch.setattr(signal, name, getattr(signal, name))  # put back at the end
    let_handlers_wait()
    yield
    signal.signal(signal.SIGUSR1, former)


def test_handler_that_interrupts_the_hub_may_wait() -> None:
    """It runs at once, up to its first wait."""
    seen: list[str] = []

    def handle(number: int, frame: object) -> None:
        seen.append(signal.Signals(number).name)
        gevent.sleep(0)
        seen.append("waited")

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        seen.append("callback")

    signal.signal(signal.SIGUSR1, handle)
    gevent.get_hub().loop.run_callback(interrupt)
    while "waited" not in seen:
        gevent.sleep(0)
    assert sorted(seen) == ["SIGUSR1", "callback", "waited"]
    assert seen[-1] == "waited"


def test_handler_that_interrupts_a_greenlet_runs_there() -> None:
    """What it raises, the greenlet raises."""
    signal.signal(signal.SIGUSR1, lambda *_: [].pop())
    with pytest.raises(IndexError):
        os.kill(os.getpid(), signal.SIGUSR1)


def test_whoever_asks_gets_what_was_registered() -> None:
    """The handler itself, and Python's own words for none."""
    handlers: list[Any] = [signal.SIG_IGN, print, signal.SIG_DFL]
    signal.signal(signal.SIGUSR1, handlers[0])
    assert signal.signal(signal.SIGUSR1, handlers[1]) is handlers[0]
    assert signal.getsignal(signal.SIGUSR1) is print
    assert signal.signal(signal.SIGUSR1, handlers[2]) is print
    with pytest.raises(TypeError):
        signal.signal(signal.SIGUSR1, "print")  # type: ignore[arg-type]
