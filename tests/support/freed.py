"""Watch, in a primary, whether what it had of a worker that has ended is freed: the text of a part of its program.

Nothing is collected there, so what is gone was freed because nobody referred to it any more.  One line of JSON is
written for each worker, right after its last event was told: ``left`` names what is still there of it,
``cycles`` counts the objects of ours that only a search for cycles has found.
"""

from __future__ import annotations

from typing import Final

__all__ = ["WATCH"]

WATCH: Final = """
import gc, json, os
from collections import Counter
from functools import partial
from weakref import ref
from nodecluster_compat import cluster

gc.disable()

def heard(*args):
    "What listens to everything, and refers to nothing."

def listen(worker):
    for event in ("online", "listening", "exit", "error", "message"):
        worker.on(event, heard)
        worker.once(event, heard)
    for event in ("spawn", "exit", "close", "error"):
        worker.process.on(event, heard)
        worker.process.once(event, heard)

def ask(worker):
    "Ask what is never answered, and send what may never be written."
    worker.request("with a limit", heard, timeout=600)
    worker.request("without one", heard, timeout=None)
    for _ in range(50):
        worker.send("x" * 10_000, heard)

def parts_of(worker):
    parts = {"handle": worker, "process": worker.process, "line": worker.line, "requests": worker.requests}
    return {name: ref(part) for name, part in parts.items()}

def look_later(*args):
    # Twice: what is told to those who sent something comes on the next turn.
    cluster.call_later(0, cluster.call_later, 0, look, *args)

def watch(worker, code, signal):
    look_then = partial(look_later, worker.id, parts_of(worker))
    worker.process.once("close", lambda *_: look_then())

def look(number, parts):
    left = [name for name, part in parts.items() if part() is not None]
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    ours = Counter(type(one).__name__ for one in gc.garbage if type(one).__module__.startswith("nodecluster_compat"))
    gc.garbage.clear()
    os.write(1, json.dumps({"freed": number, "left": left, "cycles": ours}).encode() + b"\\n")

cluster.on("exit", watch)
"""
