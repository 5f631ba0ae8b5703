"""Find what an application runs after its answers: greenlets, and threads that gevent has made greenlets of.

Each has its place in nobody's books: ``gevent.spawn`` and ``threading.Thread`` of a patched process tell no server.  So
they are looked for among all objects, once a worker's connections have ended, and told from the server's own by the
module of the function that they began with.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from gevent import Greenlet, get_hub, getcurrent, sleep
from gevent.hub import Hub
from greenlet import greenlet

from ..machine.frozen import unfreeze

__all__ = ["background_greenlets", "finish_background"]

_OF_SERVER: Final = frozenset({"gevent", "gunicorn", "nodecluster_compat"})
_STANDING_BY: Final = frozenset({"engineio", "socketio"})  # they watch their clients for ever
_LOOK_SECONDS: Final = 0.01


def finish_background(seconds: float, notify: Callable[[], None]) -> int:
    """Let what the application runs after its answers go on until it has ended, for so many seconds at most.

    Args:
        seconds: may be less than nothing.
        notify: gives a sign of life.

    Returns:
        How many greenlets have not ended.
    """
    sleep(0)  # what was spawned in the last moment begins
    left = background_greenlets()
    limit = time.monotonic() + seconds  # to look at all objects may have taken long
    while left:
        while any(_is_alive(one) for one in left):
            if time.monotonic() >= limit:
                return sum(_is_alive(one) for one in left)
            notify()
            sleep(_LOOK_SECONDS)
        left = background_greenlets()
    return 0


def background_greenlets() -> list[Any]:
    """Return the application's greenlets of this thread that have not ended, except the current one."""
    current, hub = getcurrent(), get_hub()
    unfreeze()  # or those that were there when the worker had booted are not seen
    # By its type: see greenlet_stacks.
    found: list[Any] = [one for one in gc.get_objects() if issubclass(type(one), greenlet)]
    return [one for one in found if one is not current and one.parent is hub and _is_of_application(one)]


def _is_of_application(one: Any) -> bool:  # noqa: ANN401 - a greenlet of whatever kind
    if isinstance(one, Hub) or not _is_alive(one):
        return False
    return _begun_with(one.gr_frame) not in _OF_SERVER | _STANDING_BY


def _is_alive(one: Any) -> bool:  # noqa: ANN401 - as above
    return bool(one) if isinstance(one, Greenlet) else one.gr_frame is not None


def _begun_with(frame: FrameType | None) -> str:
    """Return the package of the outermost function; nothing for what has not begun."""
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    return "" if frame is None else str(frame.f_globals.get("__name__", "")).partition(".")[0]
