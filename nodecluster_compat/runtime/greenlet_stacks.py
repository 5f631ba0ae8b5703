"""What is needed to examine a worker that is stuck, and to make one."""

from __future__ import annotations

from gevent.monkey import get_original
from gevent.util import format_run_info

__all__ = ["blocking_sleep", "greenlet_stacks"]


def greenlet_stacks() -> str:
    """Return what each greenlet is doing.  May be called in a signal handler, whatever the hub does."""
    lines: list[str] = format_run_info(thread_stacks=False)
    return "\n".join(lines)


def blocking_sleep(seconds: float) -> None:
    """Block the whole process, greenlets and all."""
    get_original("time", "sleep")(seconds)
