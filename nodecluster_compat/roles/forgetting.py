"""Remove the handlers and timers that a file registered, so that it can be executed again, and put them back.

A reload executes ``gunicorn.conf.py`` anew.  Without this its handlers would be called twice; and when the new
configuration cannot be used, the former ones must be there again, in their order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from ..base.handler_calls import Origin
from ..base.loop import Loop
from ..base.timers import Timer

__all__ = ["Forgotten", "Keeper", "forget"]


if TYPE_CHECKING:

    class Keeper(Protocol):
        """Keeps what files have registered: an emitter, a capability."""

        def forget(self, origin: Origin) -> Any:  # noqa: ANN401 - its own affair
            """Take off what was registered from ``origin``; return it for :meth:`recall`."""

        def recall(self, forgotten: Any) -> None:  # noqa: ANN401 - as above
            """Put it back."""


class Forgotten(Struct, frozen=True):
    """Handlers and timers of one origin that were taken out of use."""

    origin: Origin
    handlers: list[tuple[Keeper, Any]]
    timers: list[tuple[float, int, Timer]]

    def put_back(self, loop: Loop) -> None:
        """Let them be called again; a timer whose time has come meanwhile at once."""
        for keeper, registrations in self.handlers:
            keeper.recall(registrations)
        loop.give_back_timers(self.timers)


def forget(origin: Origin, keepers: Iterable[Keeper], loop: Loop) -> Forgotten:
    """Remove the handlers and timers that were registered from ``origin``."""
    return Forgotten(origin, [(keeper, keeper.forget(origin)) for keeper in keepers], loop.take_timers(origin))
