"""A thread that ends for each fork; no server, but real threads and forks."""

import contextlib
import os
import select
import warnings
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from nodecluster_compat.machine.helper_thread import HelperThread


class Waiter:
    """Work that waits for a byte, and notes how often it began."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        self.began = 0
        self.errors: list[BaseException] = []
        self.thread = HelperThread("a helper", self.work, self.interrupt, self.errors.append)

    def work(self) -> None:
        self.began += 1
        while not self.thread.is_stopping:
            select.select([self.read_end], [], [])
            os.read(self.read_end, 1)

    def interrupt(self) -> None:
        os.write(self.write_end, b"\0")


@pytest.fixture
def waiter() -> Iterator[Waiter]:
    waiter = Waiter()
    yield waiter
    assert waiter.thread.stop()
    os.close(waiter.read_end)
    os.close(waiter.write_end)


def threads() -> list[str]:
    return os.listdir("/proc/self/task")


def helpers() -> int:
    """How many threads have the name of a helper; others of this process come and go."""
    found = 0
    for thread in threads():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/self/task/{thread}/comm") as file:
            found += file.read() == "a helper\n"
    return found


def wait_until_named(waiter: Waiter) -> None:
    while not waiter.began:
        os.sched_yield()


def test_thread_runs_until_it_is_stopped(waiter: Waiter) -> None:
    waiter.thread.start()
    wait_until_named(waiter)
    assert (waiter.thread.is_running, helpers()) == (True, 1)
    assert waiter.thread.stop()
    assert not waiter.thread.is_running
    while helpers():  # the kernel may still be about to see it gone
        os.sched_yield()


def test_starting_twice_makes_one_thread(waiter: Waiter) -> None:
    waiter.thread.start()
    wait_until_named(waiter)
    waiter.thread.start()
    assert waiter.began == helpers() == 1


def test_fork_happens_with_one_thread_and_the_thread_goes_on(waiter: Waiter) -> None:
    waiter.thread.start()
    wait_until_named(waiter)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Python 3.12 warns in a process with more than one thread
        pid = os.fork()
    if not pid:
        os._exit(len(threads()) - 1 + 2 * waiter.thread.is_running)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert waiter.thread.is_running
    while waiter.began < 2:
        os.sched_yield()
    assert helpers() == 1


def test_thread_that_does_not_run_is_not_begun_by_a_fork(waiter: Waiter) -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    assert not waiter.thread.is_running


def test_error_is_told(waiter: Waiter) -> None:
    def broken() -> None:
        raise ValueError("broken")

    thread = HelperThread("broken", broken, lambda: None, waiter.errors.append)
    thread.start()
    while not waiter.errors:
        os.sched_yield()
    assert isinstance(waiter.errors[0], ValueError)
    assert not thread.is_running


def test_thread_that_cannot_end_yet_goes_on_when_it_is_started_again() -> None:
    read_end, write_end = os.pipe()
    began: list[bool] = []
    rounds: list[int] = []

    def deaf() -> None:
        began.append(True)
        rounds.append(len(os.read(read_end, 1)))

    thread = HelperThread("deaf", deaf, lambda: None, lambda error: None, patience=0.01)
    thread.start()
    while not began:
        os.sched_yield()
    assert not thread.stop()
    thread.start()
    os.write(write_end, b"\0")
    while not rounds:
        os.sched_yield()
    assert thread.is_running
    thread.is_stopping = True
    os.write(write_end, b"\0")
    while thread.is_running:
        os.sched_yield()
    os.close(read_end)
    os.close(write_end)


class Crew:
    """Threads of which each notes who is asked to end, and who has begun."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.begun: list[str] = []
        self.threads: dict[str, HelperThread] = {}
        self.ends: dict[str, tuple[int, int]] = {}
        start = HelperThread.start

        def noted(thread: HelperThread) -> None:
            self.begun.append(thread._name)
            start(thread)

        monkeypatch.setattr(HelperThread, "start", noted)

    def add(self, name: str, *, is_urgent: bool = False, asked: Callable[[], object] = lambda: None) -> None:
        self.ends[name] = reading, writing = os.pipe()

        def work() -> None:
            while not self.threads[name].is_stopping:
                os.read(reading, 1)

        def interrupt() -> None:
            self.asked.append(name)
            asked()
            os.write(writing, b"x")

        self.threads[name] = HelperThread(name, work, interrupt, print, is_urgent=is_urgent)
        self.threads[name].start()

    def fork(self) -> None:
        pid = os.fork()
        if not pid:
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    def close(self) -> None:
        for name, thread in self.threads.items():
            assert thread.stop()
            for fd in self.ends[name]:
                os.close(fd)


@pytest.fixture
def crew(monkeypatch: pytest.MonkeyPatch) -> Iterator[Crew]:
    crew = Crew(monkeypatch)
    yield crew
    crew.close()


def test_thread_that_clients_wait_for_ends_last_and_begins_first(crew: Crew) -> None:
    """When it is asked, all others have ended."""
    running: list[bool] = []
    others = [f"other {number}" for number in range(5)]
    crew.add("urgent", is_urgent=True, asked=lambda: running.extend(crew.threads[one].is_running for one in others))
    for name in others:
        crew.add(name)
    crew.begun.clear()
    crew.fork()
    assert running == [False] * 5
    assert (crew.asked[-1], sorted(crew.asked[:-1])) == ("urgent", others)
    assert (crew.begun[0], sorted(crew.begun[1:])) == ("urgent", others)


def test_all_threads_are_asked_before_any_is_waited_for() -> None:
    """Each of these ends when both were asked: one after another, they would be waited for in vain."""
    pipes = [os.pipe(), os.pipe()]
    began: list[int] = []
    ended: list[bytes] = []

    def work(number: int) -> None:
        began.append(number)
        ended.append(os.read(pipes[number][0], 1) + os.read(pipes[number][0], 1))

    def ask() -> None:
        for _, writing in pipes:
            os.write(writing, b"x")

    threads = [HelperThread("a helper", partial(work, n), ask, print, patience=10.0) for n in (0, 1)]
    for thread in threads:
        thread.start()
    while len(began) < 2:
        os.sched_yield()
    pid = os.fork()
    if not pid:
        os._exit(len(ended) != 2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    while len(began) < 4:
        os.sched_yield()
    for thread in threads:
        thread.ask_to_end()
    assert all(thread.wait_for_the_end() for thread in threads)
    for fd in (*pipes[0], *pipes[1]):
        os.close(fd)


def test_thread_that_is_started_amid_a_fork_begins_behind_it(crew: Crew) -> None:
    """The dealer deals until the last moment, and may begin one that asks a program's policy."""
    seen: list[bool] = []

    def begin() -> None:
        if not seen:
            crew.threads["other"].start()
            seen.append(crew.threads["other"].is_running)

    crew.add("other")
    crew.add("urgent", is_urgent=True, asked=begin)
    crew.fork()
    assert seen == [False]
    assert crew.threads["other"].is_running
