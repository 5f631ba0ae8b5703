"""Obey the orders of an operator in a worker: profile it, look at its heap.

An order stands in the notebook, and a signal says so; the handler starts a thread of the system's own, which does the
work and writes the result there.  Neither needs the worker's loop.  What only an order needs is imported for the first.
"""

from __future__ import annotations

import _thread  # noqa: F401 - ``original`` looks for it
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ...base.loop import original

if TYPE_CHECKING:
    from tracemalloc import Snapshot

    from ...machine.notebook import Notebook

__all__ = ["Obedience"]

_MOST_LINES: Final = 30
_MOST_FRAMES: Final = 10
_MOST_BYTES: Final = 900 * 1024


class Obedience:
    """Carries out the orders of one worker.

    Args:
        notebook: where they stand.

    Made by the main thread.
    """

    def __init__(self, notebook: Notebook) -> None:
        self._notebook = notebook
        self._main_thread: int = original("_thread", "get_ident")()
        self._done = 0

    def obey(self) -> bool:
        """Begin to carry out an order, if there is a new one; return whether there was."""
        number, text = self._notebook.order()
        if number <= self._done:
            return False
        self._done = number
        try:
            original("_thread", "start_new_thread")(self._carry_out, (number, text.split()))
        except RuntimeError as error:  # no more threads: this is a signal handler, in the middle of anything
            self._notebook.answer(number, json.dumps({"error": str(error)}))
        return True

    def _carry_out(self, number: int, words: Sequence[str]) -> None:
        try:
            result = json.dumps(self._result(words))
        except Exception as error:  # noqa: BLE001 - told to the operator
            result = json.dumps({"error": f"{type(error).__name__}: {error}"})
        self._notebook.answer(number, result)

    def _result(self, words: Sequence[str]) -> Any:  # noqa: ANN401 - what JSON can hold
        name, *rest = words
        actions: dict[str, Callable[[], Any]] = {
            "profile": partial(_profile, self._main_thread, *rest),
            "heap": partial(_heap, *rest),
        }
        return actions[name]()


def _profile(main_thread: int, seconds: str, rate: str) -> dict[str, Any]:
    from ...machine.sampling import Sampler

    sampler = Sampler(original("time", "sleep"), main_thread)
    found = dict(sampler.sample_for(float(seconds), float(rate), original("_thread", "get_ident")()))
    while found["stacks"] and len(json.dumps(found)) > _MOST_BYTES:
        kept = list(found["stacks"].items())
        found["stacks"] = dict(kept[: len(kept) // 2])
    return found


def _heap(action: str, number: str) -> dict[str, Any]:
    import tracemalloc

    if action == "start":
        tracemalloc.start(min(int(number), _MOST_FRAMES))
    elif action == "stop":
        tracemalloc.stop()
    if not tracemalloc.is_tracing():
        return {"tracing": False}
    size, peak = tracemalloc.get_traced_memory()
    lines = [] if action == "start" else _largest(tracemalloc.take_snapshot(), int(number))
    return {"tracing": True, "bytes": size, "peak_bytes": peak, "lines": lines}


def _largest(snapshot: Snapshot, count: int) -> list[dict[str, Any]]:
    found = snapshot.statistics("lineno")[: min(count, _MOST_LINES)]
    return [{"where": str(one.traceback), "bytes": one.size, "blocks": one.count} for one in found]
