"""What threads are doing, sampled."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from nodecluster_compat.machine.sampling import Sampler

HERE = __file__


@pytest.fixture
def thread() -> Iterator[threading.Thread]:
    """A thread that is busy in a function of a known name."""
    begins, ends = threading.Event(), threading.Event()

    def busy_function() -> None:
        begins.set()
        ends.wait()

    made = threading.Thread(target=busy_function, name="a;name")
    made.start()
    begins.wait()
    yield made
    ends.set()
    made.join()


class Clock:
    """A clock that moves when somebody pauses."""

    def __init__(self) -> None:
        self.now = 100.0

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


def test_stacks_are_counted_with_the_outermost_function_first(thread: threading.Thread) -> None:
    clock = Clock()
    found = Sampler(clock.pause, threading.get_ident(), clock).sample_for(0.5, 100, threading.get_ident())
    assert (found["samples"], found["seconds"]) == (50, 0.5)
    [(stack, count)] = [item for item in found["stacks"].items() if "busy_function" in item[0]]
    names = stack.split(";")
    assert count == 50
    assert names[0] == "thread a:name"
    assert any(name.endswith(f"busy_function ({HERE}:{name.rpartition(':')[2]}") for name in names)


def test_own_thread_is_left_out_and_the_main_one_has_a_name(thread: threading.Thread) -> None:
    clock = Clock()
    found = Sampler(clock.pause, thread.ident or 0, clock).sample_for(0.02, 100, threading.get_ident())
    assert [stack.split(";")[0] for stack in found["stacks"] if "busy_function" in stack] == ["main thread"]
    assert not any("test_own_thread" in stack for stack in found["stacks"])


def test_sampler_that_was_held_up_does_not_make_up_for_it() -> None:
    clock = Clock()
    held = iter([0.0, 50.0] + [0.0] * 10_000)

    def pause(seconds: float) -> None:
        clock.pause(seconds + next(held))

    found = Sampler(pause, 0, clock).sample_for(60, 10, threading.get_ident())
    assert found["samples"] <= 2 + 10 + 100
