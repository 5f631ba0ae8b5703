"""What other processes do, with all their threads: read of real ones."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from nodecluster_compat.machine import thread_states
from nodecluster_compat.machine.process_state import condition_of, seconds_run
from nodecluster_compat.machine.thread_states import seconds_all_ran, state_of_any
from pytest_cluster.waiting import poll

COMPUTES = """
import threading, time
def compute():
    while True: pass
threading.Thread(target=compute, daemon=True).start()
print(flush=True)
time.sleep(60)
"""


@pytest.fixture(params=[COMPUTES, "import time; print(flush=True); time.sleep(60)"], ids=["computes", "sleeps"])
def child(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", request.param], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


SLEEPERS = """
import sys, threading, time
threading.stack_size(65536)
for _ in range(int(sys.argv[1])):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print(flush=True)
time.sleep(60)
"""


@pytest.fixture
def child_with() -> Iterator[Callable[[int], int]]:
    """Makes a process with so many further threads, which sleep; returns its id."""
    with ExitStack() as stack:

        def begin(threads: int) -> int:
            command = [sys.executable, "-c", SLEEPERS, str(threads)]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
            return process.pid

        yield begin


def test_thread_at_work_counts_though_the_first_one_sleeps(
    child: subprocess.Popen[bytes], request: pytest.FixtureRequest
) -> None:
    assert poll(lambda: condition_of(child.pid) == "sleeping", 20)
    if "computes" in request.node.name:
        assert poll(lambda: state_of_any(child.pid) == "running", 20)
        assert poll(lambda: seconds_all_ran(child.pid) > seconds_run(child.pid) + 0.05, 20)
    else:
        assert poll(lambda: state_of_any(child.pid) == "sleeping", 20)
        assert seconds_all_ran(child.pid) == pytest.approx(seconds_run(child.pid), abs=0.01)


@pytest.mark.parametrize("child", [COMPUTES], indirect=True)
def test_threads_are_counted_where_the_kernel_keeps_the_clock_to_itself(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_clock = seconds_all_ran(child.pid)
    monkeypatch.setattr(thread_states, "_clock_of", lambda pid: 12345)
    assert poll(lambda: seconds_all_ran(child.pid) > by_clock + 0.05, 20)


@pytest.mark.parametrize(("threads", "most"), [(20, 25), (1000, 2)])
def test_very_many_threads_are_not_looked_at(
    child_with: Callable[[int], int], monkeypatch: pytest.MonkeyPatch, threads: int, most: int
) -> None:
    """Whoever asks holds up all clients meanwhile."""
    pid = child_with(threads)
    seen: list[str] = []
    opened = os.open

    def noted(path: str, *rest: int) -> int:
        seen.append(path)
        return opened(path, *rest)

    assert poll(lambda: condition_of(pid) == state_of_any(pid) == "sleeping", 20)  # all of them
    monkeypatch.setattr(os, "open", noted)
    assert state_of_any(pid) == "sleeping"
    assert len(seen) <= most
    assert all(path.count("/") == 5 for path in seen)  # what a thread did alone: else the kernel sums up over all


def test_process_that_has_ended_is_dead(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    assert state_of_any(child.pid) == "dead"
    assert seconds_all_ran(child.pid) == 0
