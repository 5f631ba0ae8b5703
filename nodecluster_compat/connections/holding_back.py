"""Watch a listening socket, and leave clients in its backlog for a moment while enough of them wait in the primary.

While nobody is idle and a batch of connections waits here, being woken for each further client gains nothing.  Then it
*holds back*: clients wait in the backlog for a moment, and the end of a turn that leaves few here (``OpenOffers.arm``)
fetches the next batch.  It goes on as ever where nothing was dealt for some milliseconds, since all workers are blocked
then, and where the backlog fills.
"""

from __future__ import annotations

from typing import Any, Final

from ..machine.backlog import backlog_of
from .dealing_loop import READABLE, DealingLoop
from .dispatcher import Dispatcher

__all__ = ["ACCEPTS_PER_TURN", "ENOUGH", "FEW", "HoldingBack"]

ACCEPTS_PER_TURN: Final = 16
ENOUGH: Final = 16
"""So many wait: more may wait in the backlog."""

FEW: Final = 8
"""So many wait: the next ones are fetched."""

_LOOK_SECONDS: Final = 0.01
_REST_SECONDS: Final = 0.02
_ROOM: Final = 256  # places in the backlog


class HoldingBack:
    """A listening socket that is watched; who accepts on it is the :class:`~.listener.Listener`.

    Args:
        fd: the socket's.
        family: of its address.
        loop: the dealer's loop.

    Attributes:
        is_watching: whether the loop calls when a client connects.
        holds_back: whether it does not for a moment, since enough wait here.
        may_hold_back: whether it may begin to.
        dispatcher: decides which worker gets a connection.
        accepting: accepts in C (``dealt_in_c``); ``None``: Python does.
    """

    dispatcher: Dispatcher

    def __init__(self, fd: int, family: int, loop: DealingLoop) -> None:
        self._fd = fd
        self._family = family
        self._loop = loop
        self.is_watching = self.holds_back = False
        self.may_hold_back = True
        self._progress = (0, 0)
        self.accepting: Any = None

    def _watch(self, events: int) -> None:
        self._loop.watch(self._fd, events, self._readable if self.accepting is None else self.accepting.readable)

    def _hold_back(self) -> None:
        self.may_hold_back = False
        if self._has_room():
            self.holds_back = True
            self._progress = self.dispatcher.progress
            self._watch(0)
        self._loop.call_later(_LOOK_SECONDS, self._look_back)

    def _look_back(self) -> None:
        if not self.holds_back:
            self.may_hold_back = True
        elif self.dispatcher.progress != self._progress and self._has_room():
            self._progress = self.dispatcher.progress
            self._loop.call_later(_LOOK_SECONDS, self._look_back)
        else:
            self._go_on()
            self._loop.call_later(_REST_SECONDS, self._look_back)

    def _has_room(self) -> bool:
        backlog = backlog_of(self._fd, self._family)
        return backlog is not None and backlog.limit - backlog.waiting >= _ROOM

    def _go_on(self) -> None:
        self.holds_back = False
        if self.is_watching:
            self._watch(READABLE)

    def fetch(self) -> None:
        """Accept what was left in the backlog, if few wait here by now."""
        if self.holds_back and not self.dispatcher.is_saturated(FEW):
            self._accept(ACCEPTS_PER_TURN)
            if not self.dispatcher.is_saturated(ENOUGH):
                self._go_on()

    def _readable(self, _: int) -> None:
        """Clients have connected."""
        raise NotImplementedError

    def _accept(self, most: float) -> bool:
        """Accept so many; ``False`` when there are not, or fewer are wanted."""
        raise NotImplementedError
