"""Name the request that holds up a worker, if its stacks say which one runs; otherwise those in flight.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..base.one_line import one_line
from .stack_places import number_that_runs

if TYPE_CHECKING:
    from .metrics.counts import InFlight

__all__ = ["requests_named"]

_MOST: Final = 5


def requests_named(in_flight: Sequence[InFlight], stacks: str, now: float) -> str:
    """Return the line about the requests of a worker that is blocked.

    Args:
        in_flight: its requests, oldest first.
        stacks: what its threads, greenlets and tasks are doing.
        now: seconds, by the clock of the requests.
    """
    running = number_that_runs(stacks)
    found = [one for one in in_flight if running and one.ident == running]
    if found:
        return f"It serves {_told(found[0], now)}"
    if not in_flight:
        return "No request is in flight"
    more = len(in_flight) - _MOST
    told = "; ".join(_told(one, now) for one in in_flight[:_MOST])
    return f"In flight, the oldest first: {told}{f'; and {more} more' if more > 0 else ''}"


def _told(one: InFlight, now: float) -> str:
    client = f" from {one.client}" if one.client else ""
    return one_line(f"{one.method} {one.path}{client}, for {max(now - one.since, 0.0):.1f} s")
