"""Remove the handlers and timers that a file registered, so that it can be executed again, and put them back.

A reload executes ``gunicorn.conf.py`` anew.  Without this its handlers would be called twice; and when the new
configuration cannot be used, those of before must be there again, in their order.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from ..base.emitter import Emitter, Origin, Registration
from ..base.loop import Loop
from ..base.timers import Timer

__all__ = ["Forgotten", "forget"]


class Forgotten(Struct, frozen=True):
    """Handlers and timers of one origin that were taken out of use."""

    origin: Origin
    handlers: list[tuple[Emitter, list[Registration]]]
    timers: list[tuple[float, int, Timer]]

    def put_back(self, loop: Loop) -> None:
        """Let them be called again; a timer whose time has come meanwhile at once."""
        for emitter, registrations in self.handlers:
            emitter.recall(registrations)
        loop.give_back_timers(self.timers)


def forget(origin: Origin, emitters: Iterable[Emitter], loop: Loop) -> Forgotten:
    """Remove the handlers and timers that were registered from ``origin``."""
    return Forgotten(origin, [(emitter, emitter.forget(origin)) for emitter in emitters], loop.take_timers(origin))
