"""What other processes do, with all their threads: read of real ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

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


def test_process_that_has_ended_is_dead(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    assert state_of_any(child.pid) == "dead"
    assert seconds_all_ran(child.pid) == 0
