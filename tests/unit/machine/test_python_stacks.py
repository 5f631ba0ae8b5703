"""What threads are doing, written with Python's lock held."""

from __future__ import annotations

import sys
import threading

from nodecluster_compat.machine.python_stacks import python_stacks
from nodecluster_compat.operations.stack_places import place_of_worker, places_of


def wait_here(reached: threading.Event, gate: threading.Event) -> None:
    reached.set()
    gate.wait()


def test_each_thread_is_where_it_waits() -> None:
    """In the form of faulthandler's, which others read."""
    reached, gate = threading.Event(), threading.Event()
    thread = threading.Thread(target=wait_here, args=(reached, gate))
    thread.start()
    reached.wait()
    text = python_stacks(sys._getframe())
    gate.set()
    thread.join()
    assert f"Thread 0x{thread.ident:016x} (most recent call first):\n" in text
    assert " in wait_here\n" in text
    assert thread.ident in places_of(text)
    assert (place_of_worker(text) or "").endswith(" in test_each_thread_is_where_it_waits")
    assert text.rindex("Current thread") > text.index(" in wait_here\n")


def test_deep_stack_is_cut() -> None:
    def deep(depth: int) -> str:
        return deep(depth - 1) if depth else python_stacks(sys._getframe())

    own = deep(300).partition("Current thread")[2].splitlines()
    assert len(own) == 1 + 100 + 1
    assert own[-1] == "  ..."
