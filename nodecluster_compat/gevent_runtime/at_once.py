"""Run a greenlet now, where the hub would start it on a later turn: nothing else runs before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gevent import get_hub, getcurrent

if TYPE_CHECKING:
    from gevent import Greenlet

__all__ = ["run_at_once"]


def run_at_once(greenlet: Greenlet) -> None:
    """Run ``greenlet`` until it waits for something; from anywhere but the hub, start it as usual.

    A callback of the hub calls this: whatever the callback does before and the greenlet does first is one step.
    """
    if getcurrent() is get_hub():
        greenlet.switch()
    else:
        greenlet.start()
