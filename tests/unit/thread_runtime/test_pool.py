"""Threads that run jobs: how many there are, what they are doing, how they end."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from nodecluster_compat.thread_runtime.pool import ThreadPool
from nodecluster_compat.thread_runtime.stacks import thread_stacks

PATIENCE = 20.0


def test_jobs_run_at_once_up_to_the_size_and_the_rest_waits() -> None:
    """Also when a thread has just become free; a pool of one keeps the order."""
    pool, gate, running = ThreadPool(3, "test"), threading.Event(), threading.Semaphore(0)

    def held() -> str:
        running.release()
        gate.wait(PATIENCE)
        return threading.current_thread().name

    ended = threading.Semaphore(0)
    jobs = [pool.submit(held, done=lambda _: ended.release()) for _ in range(5)]
    for _ in range(3):
        assert running.acquire(timeout=PATIENCE)
    assert len(pool.busy) == 3
    assert pool.waiting == 2
    gate.set()
    for _ in jobs:
        assert ended.acquire(timeout=PATIENCE)
    assert {job.result() for job in jobs} <= {"test-0", "test-1", "test-2"}
    pool.shutdown()

    order: list[int] = []
    single = ThreadPool(1, "single")
    for number in range(100):
        single.submit(order.append, number, done=lambda _: ended.release())
    for _ in range(100):
        assert ended.acquire(timeout=PATIENCE)
    assert order == list(range(100))
    single.shutdown()


def test_what_a_job_raises_is_raised_to_who_asks() -> None:
    """Whatever it is; the thread goes on."""
    pool, ended = ThreadPool(1, "test"), threading.Event()
    job = pool.submit(sys.exit, 3, done=lambda _: ended.set())
    assert ended.wait(PATIENCE)
    with pytest.raises(SystemExit):
        job.result()
    ended.clear()
    assert pool.submit(lambda: 7, done=lambda _: ended.set()) is not job
    assert ended.wait(PATIENCE)
    pool.shutdown()


class Scarce(threading.Thread):
    """A thread that the system does not give at first."""

    refusals = 0

    @staticmethod
    def refuses() -> bool:
        return False

    def start(self) -> None:
        if self.refuses():
            raise RuntimeError("can't start new thread")
        if Scarce.refusals:
            Scarce.refusals -= 1
            raise RuntimeError("can't start new thread")
        super().start()


def test_thread_that_cannot_be_had_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a later call, or by who was given for that; jobs wait, none is lost, and the end harms nobody."""
    monkeypatch.setattr(threading, "Thread", Scarce)
    Scarce.refusals = 3
    ended, order, again = threading.Semaphore(0), list[int](), list[Callable[[], None]]()
    pool = ThreadPool(1, "test", lambda error, tries: again.append(tries))
    for number in range(2):
        pool.submit(order.append, number, done=lambda _: ended.release())
    assert (Scarce.refusals, len(again)) == (1, 1)
    again[0]()
    assert len(again) == 2
    again[1]()
    again[1]()  # there is one now
    assert ended.acquire(timeout=PATIENCE)
    assert ended.acquire(timeout=PATIENCE)
    assert order == [0, 1]
    pool.shutdown()

    Scarce.refusals = 1
    alone = ThreadPool(2, "test")
    with pytest.raises(RuntimeError, match="can't start"):
        alone.submit(int)
    assert alone.waiting == 0
    alone.submit(order.append, 2, done=lambda _: ended.release())
    assert ended.acquire(timeout=PATIENCE)
    gate = threading.Event()
    alone.submit(gate.wait, PATIENCE)
    Scarce.refusals = 1
    alone.submit(order.append, 3, done=lambda _: ended.release())  # it waits for the thread that there is
    gate.set()
    assert ended.acquire(timeout=PATIENCE)
    assert order == [0, 1, 2, 3]
    alone.shutdown()


def _is_number(begun: Iterator[int], number: int) -> bool:
    return next(begun) == number


def test_fewer_threads_than_were_asked_for_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker boots where the system gives some of its threads, or none yet."""
    monkeypatch.setattr(threading, "Thread", Scarce)
    for given in (0, 1, 2, 9):
        begun, ended = itertools.count(), threading.Semaphore(0)
        monkeypatch.setattr(Scarce, "refuses", staticmethod(partial(_is_number, begun, given)))
        pool = ThreadPool(10, "test")
        pool.begin()
        assert pool.size == max(1, given - 4)
        for number in range(3):
            pool.submit(int, number, done=lambda _, ended=ended: ended.release())
            assert ended.acquire(timeout=PATIENCE)
        pool.shutdown()


def test_signal_handler_that_submits_while_a_thread_begins_begins_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool of one keeps the order."""
    pool, ended, begins = ThreadPool(1, "single"), threading.Semaphore(0), threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        monkeypatch.undo()
        pool.submit(ended.release)
        begins(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    pool.submit(ended.release)
    assert all(ended.acquire(timeout=PATIENCE) for _ in range(2))
    assert len(pool._threads) == 1
    pool.shutdown()


def test_end_waits_for_no_thread_that_is_busy() -> None:
    """Idle ones are gone when it returns."""
    pool, gate, running = ThreadPool(2, "test"), threading.Event(), threading.Event()
    pool.begin()

    def held() -> None:
        running.set()
        gate.wait(PATIENCE)

    pool.submit(held)
    assert running.wait(PATIENCE)
    pool.shutdown()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("test-")] == [
        next(iter(pool.busy)).name
    ]
    gate.set()
    for thread in pool.busy:
        thread.join(PATIENCE)


def test_stacks_say_what_is_known() -> None:
    """Of a pool of ours each busy thread, of another one that it is another one."""
    pool, gate, running = ThreadPool(2, "test"), threading.Event(), threading.Event()

    def held() -> None:
        running.set()
        gate.wait(PATIENCE)

    pool.submit(held)
    assert running.wait(PATIENCE)
    (thread,) = pool.busy
    said = thread_stacks(pool, {thread.ident or 0: "GET /" + "x" * 500}, 3)
    assert said.startswith("1 of 2 threads are busy, 0 requests wait for one, 3 connections wait for their client\n")
    assert f"({thread.name}), for 0.0 s: 'GET /xxx" in said
    assert len(said) < 400
    assert thread_stacks(None, {}, 1) == "The pool is the program's own; 1 connections wait for their client"
    gate.set()
    pool.shutdown()
    thread.join(PATIENCE)
