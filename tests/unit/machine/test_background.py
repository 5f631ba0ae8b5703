"""Jobs that a disk may hold up, on a real thread."""

import os
import threading
from collections.abc import Iterator

import pytest

from nodecluster_compat.machine import background
from nodecluster_compat.machine.background import Background
from nodecluster_compat.machine.helper_thread import HelperThread


class Jobs:
    def __init__(self) -> None:
        self.done: list[str] = []
        self.errors: list[BaseException] = []
        self.background = Background(self.errors.append)
        self._entered, self._goes_on = threading.Event(), threading.Event()

    def do(self, kind: str, word: str) -> None:
        self.background.do(kind, lambda: self.done.append(word))

    def hang(self) -> None:
        """Begin a job that a disk holds up."""
        self.background.do("hanging", self._hang)
        assert self._entered.wait(30)

    def _hang(self) -> None:
        self._entered.set()
        assert self._goes_on.wait(30)

    def go_on(self) -> None:
        self._goes_on.set()


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    jobs = Jobs()
    yield jobs
    jobs.go_on()
    assert jobs.background.finish(30)
    while jobs.background._thread.is_running:
        os.sched_yield()
    jobs.background.abandon()


def test_newer_job_replaces_one_of_its_kind_that_waits(jobs: Jobs) -> None:
    jobs.hang()
    for number in range(5):
        jobs.do("status", f"status {number}")
        jobs.do("sources", f"sources {number}")
    jobs.go_on()
    assert jobs.background.finish(30)
    assert jobs.done == ["status 4", "sources 4"]


def test_job_that_raises_is_told_and_harms_no_other(jobs: Jobs) -> None:
    def broken() -> None:
        raise ValueError("broken")

    jobs.background.do("broken", broken)
    jobs.do("status", "on")
    assert jobs.background.finish(30)
    assert jobs.done == ["on"]
    assert [str(error) for error in jobs.errors] == ["broken"]


def test_end_does_not_wait_for_a_disk_that_hangs(jobs: Jobs) -> None:
    jobs.hang()
    assert not jobs.background.finish(0.01)
    jobs.do("status", "too late")
    jobs.go_on()
    assert jobs.done == []


def test_end_is_no_failure_where_the_thread_waits_for_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """All is done, and nothing hangs: on a busy machine a thread may be late to end."""
    monkeypatch.setattr(background, "_PATIENCE", 0.0)
    for _ in range(50):
        one = background.Background(lambda _: None)
        one.do("job", lambda: None)
        assert one.finish(30)
        one.abandon()


def test_thread_begins_with_the_first_job(jobs: Jobs) -> None:
    assert jobs.background.finish(0)
    assert not jobs.background._thread.is_running
    jobs.do("status", "first")
    assert jobs.background._thread.is_running


def test_job_that_the_system_has_no_thread_for_is_not_done(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(HelperThread, "_begin", none)
        jobs.do("status", "later")
        assert not jobs.background.finish(30)
    assert [str(error) for error in jobs.errors] == ["can't start new thread"]
    jobs.do("sources", "on")
    assert jobs.background.finish(30)
    assert jobs.done == ["later", "on"]


def test_fork_does_not_wait_for_a_disk_that_hangs(jobs: Jobs) -> None:
    jobs.hang()
    pid = os.fork()
    if not pid:
        jobs.background.abandon()
        jobs.do("status", "in the child")
        os._exit(len(os.listdir("/proc/self/task")) - 1)
    assert os.waitpid(pid, 0)[1] == 0
    jobs.do("status", "on")
    jobs.go_on()
    assert jobs.background.finish(30)
    assert jobs.done == ["on"]
