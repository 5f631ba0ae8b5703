"""The signals that the processes of a cluster use among themselves."""

from __future__ import annotations

from nodecluster_compat._gunicorn.arbiter import parent_death
from nodecluster_compat.machine import heartbeat
from pytest_cluster.wire import files


def test_no_signal_has_two_meanings() -> None:
    """The last handler would win, silently."""
    numbers = [
        heartbeat.THREADS_SIGNAL,
        heartbeat.GREENLETS_SIGNAL,
        heartbeat.LAST_WORDS_SIGNAL,
        parent_death._SIGNAL,
        files.STACK_SIGNAL,
    ]
    assert len(set(numbers)) == len(numbers)
