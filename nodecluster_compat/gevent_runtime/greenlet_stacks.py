"""Print the stacks of all greenlets, for a worker that is stuck; and block a worker, for a test.

Not ``gevent.util.format_run_info``: it walks down from roots that the collector knows, and a worker has put the hub,
which is the parent of nearly every greenlet, out of the collector's sight (``gc.freeze``).  Here the parents of what
is in sight are looked at, too, and who serves a connection (:func:`add_finder`): in a script the greenlet of the first
connection is put out of sight as well, and it serves others later.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, Final

from gevent import getcurrent
from gevent.monkey import get_original
from greenlet import greenlet

from ..base.weak_methods import WeakMethods

__all__ = ["add_finder", "blocking_sleep", "greenlet_stacks"]

Finder = Callable[[], Iterable[greenlet]]

_finders: WeakMethods[Finder] = WeakMethods()

_FRAMES: Final = 12  # the newest of each: without those that have forked a worker
_NAMES: Final = 3  # of those that do the same
_MOST_STACKS: Final = 50


def add_finder(finder: Finder) -> None:
    """Look at the greenlets that ``finder``, a method, returns, as long as its object lives."""
    _finders.add(finder)


def greenlet_stacks(frame: FrameType | None = None) -> str:
    """Return what each greenlet is doing.  May be called in a signal handler, whatever the hub does.

    Those that do the same, as a thousand idle connections do, are told together.

    Args:
        frame: what the current greenlet was doing, where a signal has interrupted it.
    """
    current = getcurrent()
    doing: dict[str, list[str]] = {}
    for one in _alive(current):
        stack = _stack(frame if one is current else one.gr_frame)
        name = f"{type(one).__name__} {id(one):#x}{' (running)' if one is current else ''}"
        doing.setdefault(stack, []).append(name)
    told = [f"{_titled(names)}:\n{stack}" for stack, names in list(doing.items())[:_MOST_STACKS]]
    left_out = len(doing) - len(told)
    return "\n".join([*told, *([f"... and {left_out} other stacks"] if left_out else [])])


def blocking_sleep(seconds: float) -> None:
    """Block the whole process, greenlets and all."""
    get_original("time", "sleep")(seconds)


def _alive(current: greenlet) -> list[Any]:
    """Return the greenlets that have a stack, the current one first."""
    found = {id(current): current}
    known = [one for find in _finders for one in find()]
    # By its type: to be asked for its class sets up whatever stands in for something, as Django's lazy objects.
    for one in [current, *known, *(thing for thing in gc.get_objects() if issubclass(type(thing), greenlet))]:
        ancestor = one
        while ancestor is not None and (ancestor is one or id(ancestor) not in found):
            if ancestor:
                found[id(ancestor)] = ancestor
            ancestor = ancestor.parent
    return list(found.values())


def _titled(names: list[str]) -> str:
    more = len(names) - _NAMES
    return ", ".join(names[:_NAMES]) + (f" and {more} more" if more > 0 else "")


def _stack(frame: FrameType | None) -> str:
    lines = ["  (no frame)"] if frame is None else traceback.format_stack(frame, _FRAMES)
    return "".join(lines).rstrip()
