"""Waiting in ``multiprocessing`` lets other greenlets run."""

from __future__ import annotations

import os

import gevent
import pytest

from nodecluster_compat.gevent_runtime.multiprocessing_waits import acquire_when_free, read_when_ready, write_when_ready


class Semaphore:
    """A lock of ``multiprocessing`` that somebody else has."""

    def __init__(self, free: bool = False) -> None:
        self.free = free

    def acquire(self, block: bool) -> bool:
        assert not block, "this would stop every greenlet"
        taken, self.free = self.free, False
        return taken


def test_what_is_larger_than_a_pipe_goes_through() -> None:
    """The reader runs while the writer waits, and the other way round."""
    reading, writing = os.pipe()
    data = os.urandom(300_000)
    sent = gevent.spawn(write_when_ready, writing, data)
    received = b""
    while len(received) < len(data):
        received += read_when_ready(reading, 65536)
    assert received == data
    assert sent.get() == len(data)
    for fd in (reading, writing):
        os.close(fd)


def test_end_of_a_pipe_is_read() -> None:
    """As by ``os.read``."""
    reading, writing = os.pipe()
    gevent.spawn(os.close, writing)
    assert read_when_ready(reading, 1) == b""
    os.close(reading)


def test_lock_is_taken_when_it_is_free() -> None:
    """At once, or as soon as somebody lets go of it."""
    assert acquire_when_free(Semaphore(free=True))
    semaphore = Semaphore()
    gevent.spawn(setattr, semaphore, "free", True)
    assert acquire_when_free(semaphore)


@pytest.mark.parametrize(("block", "timeout"), [(False, None), (True, 0), (True, -1), (True, 0.001)])
def test_lock_that_is_not_free_is_not_taken(block: bool, timeout: float | None) -> None:
    """Without a wait, or at the end of it."""
    assert not acquire_when_free(Semaphore(), block, timeout)
