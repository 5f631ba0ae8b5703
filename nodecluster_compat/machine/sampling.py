"""Sample what the threads of this process are doing, and count equal stacks: a profile.

A thread of the system's own looks every few milliseconds, so it works while the main loop is blocked in Python, or in
C code that lets others run.  Of each thread it sees what runs in it now: with greenlets the one that is running, whole
and by itself, with asyncio the task that is running.  A profiler outside the process sees the hub only.

What waits for work (a hub, a selector, an idle thread of a pool) is counted as idle and not told.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from types import CodeType, FrameType
from typing import Any, Final

__all__ = ["Sampler"]

_MOST_STACKS: Final = 5000
_MOST_FRAMES: Final = 80
_CUT: Final = "(other stacks)"

# Where a thread stands that has nothing to do: the end of the path, and the function.
_IDLE: Final = (
    ("gevent/hub.py", "run"),
    ("selectors.py", "select"),
    ("asyncio/base_events.py", "_run_once"),
    ("_gunicorn/worker/asgi/running_loop.py", "run_loop"),  # uvloop, which has no frames of its own
    ("concurrent/futures/thread.py", "_worker"),
    ("gevent/threadpool.py", "_worker"),
    ("gevent/threadpool.py", "__run_task"),
    ("thread_runtime/pool.py", "_work"),
    ("thread_runtime/poller.py", "turn"),
)


class Sampler:
    """Counts stacks.

    Args:
        pause: lets this thread rest for so many seconds; not gevent's.
        main_thread: the identifier of the main thread, which gevent has under another one.
        clock: the monotonic clock.
    """

    def __init__(
        self, pause: Callable[[float], None], main_thread: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pause = pause
        self._main_thread = main_thread
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._names: dict[CodeType, str] = {}
        self._samples = self._idle = 0

    def sample_for(self, seconds: float, rate: float, own_thread: int) -> Mapping[str, Any]:
        """Sample for so long, and return the profile: ``samples``, ``idle``, ``seconds``, ``rate``, ``stacks``.

        Args:
            seconds: how long.
            rate: how often a second.
            own_thread: the identifier of the thread that samples, which is left out.
        """
        start = self._clock()
        due = start
        while due - start < seconds:
            due += 1 / rate
            self._pause(max(0.0, due - self._clock()))
            self._look(own_thread)
            due = max(due, self._clock() - 1.0)  # it was held up: no burst of samples to make up for it
        return {
            "seconds": round(self._clock() - start, 3),
            "rate": rate,
            "samples": self._samples,
            "idle": self._idle,
            "stacks": dict(self._counts.most_common(_MOST_STACKS)),
        }

    def _look(self, own_thread: int) -> None:
        self._samples += 1
        for ident, frame in sys._current_frames().items():
            if ident == own_thread:
                continue
            if _is_idle(frame):
                self._idle += 1
                continue
            stack = self._collapsed(ident, frame)
            known = stack in self._counts or len(self._counts) < _MOST_STACKS
            self._counts[stack if known else _CUT] += 1

    def _collapsed(self, ident: int, frame: FrameType) -> str:
        names: list[str] = []
        one: FrameType | None = frame
        while one is not None and len(names) < _MOST_FRAMES:
            names.append(self._name(one.f_code))
            one = one.f_back
        names.append(self._thread_name(ident))
        return ";".join(reversed(names))

    def _thread_name(self, ident: int) -> str:
        if ident == self._main_thread:
            return "main thread"
        thread = threading._active.get(ident)  # type: ignore[attr-defined]  # no lock: this must not wait
        return f"thread {ident}" if thread is None else f"thread {thread.name}".replace(";", ":")

    def _name(self, code: CodeType) -> str:
        name = self._names.get(code)
        if name is None:
            function = getattr(code, "co_qualname", code.co_name)
            name = f"{function} ({code.co_filename}:{code.co_firstlineno})".replace(";", ":")
            self._names[code] = name
        return name


def _is_idle(frame: FrameType) -> bool:
    code = frame.f_code
    return any(code.co_name == function and code.co_filename.endswith(path) for path, function in _IDLE)
