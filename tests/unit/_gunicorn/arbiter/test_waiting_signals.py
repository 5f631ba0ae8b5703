"""Signals that wait: which are merged, and in which order they are carried out."""

import signal as signals
from collections.abc import Iterable

import pytest

from nodecluster_compat._gunicorn.arbiter.waiting_signals import WaitingSignals


def carried_out(names: str) -> str:
    waiting = WaitingSignals()
    for name in names.split():
        waiting.add(getattr(signals, f"SIG{name}"))
    return " ".join(signals.Signals(number).name.removeprefix("SIG") for number in _each(waiting))


def _each(waiting: WaitingSignals) -> Iterable[int]:
    while waiting:
        yield waiting.take()


@pytest.mark.parametrize(
    ("came", "expected"),
    [
        ("HUP HUP HUP", "HUP"),
        ("HUP CHLD HUP USR1 HUP CHLD", "HUP CHLD USR1"),
        ("USR1 HUP USR1 TTIN USR1", "USR1 HUP TTIN"),
        ("TTIN TTIN TTOU TTIN", "TTIN TTIN TTOU TTIN"),
        ("HUP TTIN HUP", "HUP TTIN HUP"),
        ("WINCH TTIN WINCH WINCH", "WINCH TTIN WINCH"),
        ("HUP WINCH HUP", "HUP WINCH HUP"),
        ("USR2 USR2", "USR2"),
        ("TERM TERM INT INT QUIT QUIT", "TERM TERM INT INT QUIT QUIT"),
        ("CHLD TERM CHLD", "CHLD TERM"),
    ],
)
def test_equal_signals_are_one_unless_it_matters(came: str, expected: str) -> None:
    assert carried_out(came) == expected


def test_signal_that_comes_after_it_was_taken_is_another_one() -> None:
    waiting = WaitingSignals()
    waiting.add(signals.SIGHUP)
    assert waiting.take() == signals.SIGHUP
    waiting.add(signals.SIGHUP)
    assert waiting.take_all() == [signals.SIGHUP]
    assert not waiting
