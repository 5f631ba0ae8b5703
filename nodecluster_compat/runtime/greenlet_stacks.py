"""What is needed to examine a worker that is stuck, and to make one.

Not ``gevent.util.format_run_info``: it walks down from roots that the collector knows, and a worker has put the hub,
which is the parent of nearly every greenlet, out of the collector's sight (``gc.freeze``).
"""

from __future__ import annotations

import gc
import traceback
from types import FrameType
from typing import Final

from gevent import getcurrent
from gevent.monkey import get_original
from greenlet import greenlet

__all__ = ["blocking_sleep", "greenlet_stacks"]

_FRAMES: Final = 12  # the newest of each: without those that have forked a worker


def greenlet_stacks(frame: FrameType | None = None) -> str:
    """Return what each greenlet is doing.  May be called in a signal handler, whatever the hub does.

    Args:
        frame: what the current greenlet was doing, where a signal has interrupted it.
    """
    gc.unfreeze()
    current = getcurrent()
    alive = [one for one in gc.get_objects() if isinstance(one, greenlet) and one]
    return "\n".join(_stack(one, frame if one is current else one.gr_frame, one is current) for one in alive)


def blocking_sleep(seconds: float) -> None:
    """Block the whole process, greenlets and all."""
    get_original("time", "sleep")(seconds)


def _stack(one: greenlet, frame: FrameType | None, is_current: bool) -> str:
    title = f"{type(one).__name__} {id(one):#x}{' (running)' if is_current else ''}:"
    lines = ["  (no frame)"] if frame is None else traceback.format_stack(frame, _FRAMES)
    return title + "\n" + "".join(lines).rstrip()
