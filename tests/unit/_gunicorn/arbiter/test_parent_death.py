"""A signal is asked for when the parent dies, by C and by Python alike."""

from __future__ import annotations

import ctypes
import os
import signal

import pytest

from nodecluster_compat._gunicorn.arbiter.parent_death import asker
from nodecluster_compat.base.native import PYTHON, Choice, in_force

PR_GET_PDEATHSIG = 2
NATIVE = pytest.param(in_force(), id="C", marks=pytest.mark.skipif(in_force().module is None, reason=str(in_force())))


def asked_for() -> int:
    """Which signal this process is to get."""
    number = ctypes.c_int()
    ctypes.CDLL(None).prctl(PR_GET_PDEATHSIG, ctypes.byref(number), 0, 0, 0)
    return number.value


@pytest.mark.parametrize("choice", [NATIVE, pytest.param(PYTHON, id="Python")])
def test_signal_is_asked_for(choice: Choice) -> None:
    """In a process of its own: it stands for that one alone."""
    pid = os.fork()
    if pid == 0:
        asker(choice)(signal.SIGRTMIN + 3)
        os._exit(asked_for())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == signal.SIGRTMIN + 3
    assert asked_for() == 0


@pytest.mark.parametrize("wrong", [-1, 1 << 40, "a"])
@pytest.mark.skipif(in_force().module is None, reason=str(in_force()))
def test_what_is_no_signal_is_refused(wrong: object) -> None:
    """And nothing is asked for."""
    with pytest.raises((ValueError, TypeError, OverflowError)):
        asker(in_force())(wrong)  # type: ignore[arg-type]
    assert asked_for() == 0
