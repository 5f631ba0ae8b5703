"""The signals that the processes of a cluster use among themselves."""

from __future__ import annotations

from nodecluster_compat.machine import real_time_signals
from pytest_cluster.wire import files


def test_no_signal_has_two_meanings() -> None:
    """The last handler would win, silently."""
    numbers = [
        real_time_signals.THREADS_SIGNAL,
        real_time_signals.ENGINE_STACKS_SIGNAL,
        real_time_signals.LAST_WORDS_SIGNAL,
        real_time_signals.PARENT_DEATH_SIGNAL,
        files.STACK_SIGNAL,
    ]
    assert len(set(numbers)) == len(numbers)
