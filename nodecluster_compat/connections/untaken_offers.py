"""Move offers that a stuck worker has not taken to a worker that is idle.

While an offer lies in a channel and another worker of its listener is idle, a tick judges it every millisecond;
:mod:`stuck_offers` says when a worker is stuck.  Nearly all offers are taken before they are old enough to be judged,
so the first tick comes when one is old enough: each tick wakes up the dealer, at more than dealing costs.

While no worker is idle, no offer can be moved.  Then this *rests*: for a second, it looks every four milliseconds at
offers that have lain since the look before.  A worker that sleeps is known after eight milliseconds, one that computes
after twelve.  An offer that lies with a stuck worker is taken back: it waits in the line again, in its former place,
and the first worker that becomes idle gets what has waited longest.  Otherwise two workers that compute would each keep
one connection, and the one of the slower worker would be overtaken.

    nothing lies ──offer──▶ ticks ──nobody is idle──▶ rests ──somebody is──▶ ticks

Called with the lock of the dealer's loop held.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from ..machine.thread_states import seconds_all_ran, state_of_any
from .ahead import Ahead
from .dealing_loop import DealingLoop
from .offers import OfferingEnd
from .served_listeners import ServedListeners
from .stuck_offers import OLD, StuckOffers

__all__ = ["UntakenOffers"]

_TICK: Final = 0.001
_REST: Final = 4  # ticks
_NEW: Final = 1  # ticks, of what was offered since the last look: nearly all is taken before it is judged at the next
_WATCHED: Final = 1000  # ticks: a worker that has not had a processor for so long is not looked at any more


class _Offers(Protocol):
    """What this asks of the open offers, and has them do."""

    def find_idle(self) -> None:
        """Find out what has been taken."""

    def take_back(self, end: OfferingEnd) -> None:
        """Give what lies in the channel to others."""

    def let_follow(self) -> None:
        """Let those go on that waited for what lay."""

    def answered(self, worker_id: int) -> int:
        """How many requests a worker has answered; -1: nobody knows."""


class UntakenOffers:
    """Ticks while something lies that could go to another.

    Args:
        open_offers: finds out what is taken, and takes back the rest.
        loop: the dealer's.
        offers: the ends with an offer that is not known to be taken, as those keep them.
        listeners: the engine's.
        ahead: the workers that wait for others to catch up.

    Attributes:
        rests: whether nothing can move before somebody becomes idle.
    """

    def __init__(
        self,
        open_offers: _Offers,
        loop: DealingLoop,
        offers: Mapping[int, OfferingEnd],
        listeners: ServedListeners,
        ahead: Ahead,
    ) -> None:
        self._open_offers = open_offers
        self._loop = loop
        self._offers = offers
        self._listeners = listeners
        self._ahead = ahead
        self._has_tick = False
        self._has_look = False
        self._stuck = StuckOffers(state_of_any, seconds_all_ran, open_offers.answered)
        self.rests = False

    def settle(self) -> None:
        """Something has changed: if somebody is idle who was not, rest no longer."""
        if self.rests and self._could_move():
            self.rests = False
            self._move_stuck()

    def arm(self) -> None:
        """Set the timer that is due next, if any is."""
        if not self._offers:
            return
        if not self.rests and not self._has_tick:
            self._loop.call_later(self._first_tick(), self._tick)
            self._has_tick = True  # after what needs memory, and may fail
        elif self.rests and not self._has_look and any(map(self._is_worth_a_look, self._offers.values())):
            self._loop.call_later(_REST * _TICK, self._look)
            self._has_look = True

    def _first_tick(self) -> float:
        """Seconds until the next tick: where all are new, that at which the first of them are judged."""
        ends = self._offers.values()
        if any(end.age for end in ends):
            return _TICK
        for end in ends:
            end.age = OLD - 1
        return OLD * _TICK

    def _tick(self) -> None:
        self._has_tick = False
        self._open_offers.find_idle()
        for end in self._offers.values():
            end.age += 1
        self._move_stuck()
        self.rests = bool(self._offers) and not self._could_move()

    def _move_stuck(self) -> None:
        now = self._loop.clock()
        for end in list(self._offers.values()):
            if end.age >= OLD and self._has_another_for(end) and self._stuck.is_stuck(end, now):
                self._open_offers.take_back(end)
        self._open_offers.let_follow()

    def _could_move(self) -> bool:
        return any(map(self._has_another_for, self._offers.values()))

    def _look(self) -> None:
        self._has_look = False
        if self.rests:
            for end in self._offers.values():
                end.age += _REST if end.age else _NEW
            self._open_offers.find_idle()  # a worker that has taken its offer may sleep
            self._withdraw_stuck()

    def _withdraw_stuck(self) -> None:
        now = self._loop.clock()
        for end in list(filter(self._is_worth_a_look, self._offers.values())):
            if end.age >= OLD and self._stuck.is_stuck(end, now):
                self._open_offers.take_back(end)

    def _is_worth_a_look(self, end: OfferingEnd) -> bool:
        return end.age < _WATCHED and self._has_rivals(end)

    def _has_another_for(self, end: OfferingEnd) -> bool:
        """Whether somebody who serves the same listener is idle, or waits for others to catch up."""
        listener = None if end.offered is None else self._listeners.get(end.offered[0])
        if listener is None:
            return False
        return bool(listener.dispatcher.idle_workers) or any(map(listener.dispatcher.serves, self._ahead.waiting))

    def _has_rivals(self, end: OfferingEnd) -> bool:
        """Whether anybody else serves the listener of what lies in the channel."""
        listener = None if end.offered is None else self._listeners.get(end.offered[0])
        return listener is not None and listener.dispatcher.has_others(end.worker_id)
