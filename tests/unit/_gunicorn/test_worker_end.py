"""The end of a worker, in processes of their own: order, codes, and that nothing stops it."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

HEAD = """
import atexit, os, sys, threading, types
from nodecluster_compat._gunicorn.arbiter.worker_end import end_worker

def say(what, write=os.write):
    write(1, (what + "\\n").encode())

class Held:
    def __init__(self, name): self.name = name
    def __del__(self, say=say): say(self.name)

def module(name, **held):
    made = sys.modules[name] = types.ModuleType(name)
    vars(made).update(held)
"""


def run(source: str) -> tuple[int, list[str], str]:
    done = subprocess.run(
        [sys.executable, "-c", HEAD + textwrap.dedent(source)], capture_output=True, text=True, timeout=50, check=False
    )
    return done.returncode, done.stdout.split(), done.stderr


@pytest.mark.parametrize(("code", "seen"), [(0, 0), (7, 7), (256 + 3, 3), (-1, 255)])
def test_code_is_that_of_the_process(code: int, seen: int) -> None:
    assert run(f"end_worker({code})") == (seen, [], "")


def test_order_is_that_of_the_interpreters_end() -> None:
    """Threads, functions of atexit, modules with the last imported first, then cycles."""
    code, told, errors = run(
        """
        atexit.register(say, "atexit")
        threading.Timer(0.05, say, ["thread"]).start()
        cycle = Held("cycle")
        cycle.itself = cycle
        module("first", _a=Held("private"), b=Held("public"), c=cycle)
        module("second", held=Held("second"))
        del cycle
        end_worker(0)
        """
    )
    assert (code, told) == (0, ["thread", "atexit", "second", "private", "public", "cycle"]), errors


def test_what_functions_that_somebody_keeps_refer_to_is_finalised() -> None:
    """A handler of a signal, an attribute of the server."""
    source = """
        import signal
        module("app", held=Held("kept"))
        exec("def handler(*_): return held", vars(sys.modules["app"]))
        signal.signal(signal.SIGTERM, sys.modules["app"].handler)
        class Server: pass
        server = Server()
        server.app = Held("application")
        end_worker(0, [server])
        """
    code, told, errors = run(source)
    assert (code, told) == (0, ["application", "kept"]), errors


def test_nothing_stops_the_end() -> None:
    """What is raised is printed, as Python does."""
    code, told, errors = run(
        """
        class Broken:
            def __del__(self): raise ValueError("at the end")
        atexit.register(lambda: 1 / 0)
        module("app", broken=Broken(), held=Held("after"))
        sys.stdout.close()
        def never(): raise KeyboardInterrupt
        end_worker(5, wait_for_threads=never)
        """
    )
    assert (code, told) == (5, ["after"])
    for name in ("ValueError", "ZeroDivisionError", "KeyboardInterrupt"):
        assert name in errors
