"""End the requests of greenlets that take too long: raise :class:`TimeLimitExceeded` where they wait.

A request that waits in Python (for a socket, a lock, ``sleep``, another greenlet) is ended at once, and its ``finally``
runs.  A request that computes, or waits in C, blocks the loop, so nothing is done about it until it lets others run:
``blocked`` reports it.

The meter knows which requests are in flight, and those who serve connections know their greenlets.  So neither a
request nor a connection pays for this: there is one timer, for when the first of them could be late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from gevent import get_hub, getcurrent, spawn

from ..base.stack_text import stack_of_application
from ..base.time_limits import Late, TimeLimits
from ..errors import TimeLimitExceeded
from .greenlet_stacks import add_finder

if TYPE_CHECKING:
    from greenlet import greenlet

__all__ = ["LateGreenlets", "Meter"]

Tell = Callable[[str, str, float, str], object]
"""Told of a late request: its method and path, its client, the seconds that it may take, and its stack."""


class Meter(Protocol):
    """Knows what is in flight."""

    def in_flight(self) -> list[tuple[int, float]]:
        """Return the slots that have a request in flight, and since when."""

    def since(self, slot: int) -> float:
        """Return since when a slot has a request in flight; 0 if it has none."""

    def told(self, slot: int) -> tuple[str, str]:
        """Return the request on a slot, and its client."""


class LateGreenlets:
    """Ends the late requests of one worker, or of one server in a script.

    Args:
        seconds: that a request may usually take; 0 for no limit.
        meter: knows what is in flight, by slot.
        serving: the sockets of the connections, by greenlet.
        slots: of the meter, by socket; negative where there was none left.
        is_meant_to_last: whether the answer that is on its way to a socket has no usual limit.
        tell: writes it into the log.

    Attributes:
        has_usual: whether requests have a limit without having said anything.
    """

    def __init__(
        self,
        seconds: float,
        meter: Meter,
        serving: Mapping[greenlet, Any],
        slots: Mapping[Any, int],
        is_meant_to_last: Callable[[Any], bool],
        tell: Tell,
    ) -> None:
        self.has_usual = bool(seconds)
        self._limits: TimeLimits[int] = TimeLimits(seconds)
        self._meter = meter
        self._serving = serving
        self._slots = slots
        self._is_meant_to_last = is_meant_to_last
        self._tell = tell
        self._without_slot: dict[Any, tuple[float, str, str]] = {}  # by socket
        self._timer: Any = None
        self._next_look = inf
        self._look_within(self._limits.pause((), monotonic()))
        add_finder(self.serving)

    def serving(self) -> list[greenlet]:
        """Return the greenlets that serve connections."""
        return list(self._serving)

    def limit(self, seconds: float) -> bool:
        """Limit the request that the current greenlet serves; see :func:`~nodecluster_compat.base.this_request`."""
        sock = self._serving.get(getcurrent())
        if sock is None:
            return False
        key, since = self._request_on(sock)
        if not since:
            return False
        self._limits.set(key, since, seconds)
        self._look_within(self._limits.pause([(key, since)], monotonic()))
        return True

    def _request_on(self, sock: Any) -> tuple[int, float]:  # noqa: ANN401 - a socket of any kind
        """Return the key of the request that is in flight on a connection, and since when; 0: there is none."""
        slot = self._slots.get(sock, -1)
        return (slot, self._meter.since(slot)) if slot >= 0 else (-id(sock), self._without_slot.get(sock, (0.0,))[0])

    def begin_without_slot(self, sock: object, request: str, client: str) -> None:
        """A request of a connection that has no slot is in flight."""
        self._without_slot[sock] = monotonic(), request, client

    def end_without_slot(self, sock: object) -> None:
        """Note that it has ended; a no-op for any other."""
        if self._without_slot:
            self._without_slot.pop(sock, None)

    # --- in the hub ----------------------------------------------------------------------------

    def _look_within(self, pause: float | None) -> None:
        """Look after so many seconds, if nobody will before."""
        if pause is None or monotonic() + pause >= self._next_look:
            return
        self._stop_timer()
        self._next_look = monotonic() + pause
        self._timer = get_hub().loop.timer(pause, ref=False)
        self._timer.start(self._look)

    def _stop_timer(self) -> None:
        timer, self._timer, self._next_look = self._timer, None, inf
        if timer is not None:
            timer.stop()
            timer.close()

    def _in_flight(self) -> Iterable[tuple[int, float]]:
        yield from self._meter.in_flight()
        for sock, (since, _, _) in self._without_slot.items():
            yield -id(sock), since

    def _look(self) -> None:
        self._stop_timer()
        late = self._limits.late(self._in_flight(), monotonic())
        if late:
            greenlets = self._by_key()
            for one in late:
                if one.key in greenlets:
                    self._end(one, *greenlets[one.key])
        self._look_within(self._limits.pause(self._in_flight(), monotonic()))

    def _by_key(self) -> dict[int, tuple[Any, Any]]:
        found = {}
        for greenlet, sock in self._serving.items():
            slot = self._slots.get(sock)
            if slot is not None:
                found[slot if slot >= 0 else -id(sock)] = greenlet, sock
        return found

    def _end(self, late: Late[int], greenlet: Any, sock: Any) -> None:  # noqa: ANN401 - a greenlet, a socket
        if not late.has_own and self._is_meant_to_last(sock):
            self._limits.set(late.key, late.since, 0)
            return
        request, client = self._without_slot[sock][1:] if late.key < 0 else self._meter.told(late.key)
        stack = stack_of_application(greenlet.gr_frame)
        spawn(self._tell, request, client, late.seconds, stack)  # the hub must not wait, and a log may
        get_hub().loop.run_callback(self._throw, late, greenlet, TimeLimitExceeded(request, late.seconds))

    def _throw(self, late: Late[int], greenlet: Any, error: TimeLimitExceeded) -> None:  # noqa: ANN401 - as above
        if (late.key, late.since) in set(self._in_flight()):  # not ended by what came on the same turn
            greenlet.throw(error)
