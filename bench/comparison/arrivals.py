"""Requests that arrive at random moments, whatever became of those before them.  Pure.

A closed loop sends the next request when an answer came: at full load its latencies are its own queue, and a server
that stands still is asked nothing meanwhile.  Here every request has a moment at which it is due, from a seed, and
its latency is counted from then on.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Arrival:
    """One request: seconds after the start, and whether it is slow."""

    due: float
    slow: bool


def poisson(rate: float, seconds: float, slow_share: float, seed: int) -> tuple[Arrival, ...]:
    """Moments that know nothing of each other, `rate` a second on average; exactly this share is slow, at random."""
    source = random.Random(seed)
    moments = []
    moment = source.expovariate(rate)
    while moment < seconds:
        moments.append(moment)
        moment += source.expovariate(rate)
    slow = set(source.sample(range(len(moments)), round(len(moments) * slow_share)))
    return tuple(Arrival(moment, index in slow) for index, moment in enumerate(moments))


def percentile(values: Sequence[float], share: float) -> float:
    """The least of the values that at least this share of them does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def in_one_queue(arrivals: Sequence[Arrival], servers: int, slow_seconds: float) -> list[float]:
    """The latencies where each request goes to whoever is free first and only the slow ones cost anything.

    No server can do better without interrupting a handler: what is above this was added by the server.
    """
    free_at = [0.0] * servers
    latencies = []
    for arrival in arrivals:
        begins = max(arrival.due, heapq.heappop(free_at))
        ends = begins + (slow_seconds if arrival.slow else 0.0)
        heapq.heappush(free_at, ends)
        latencies.append(ends - arrival.due)
    return latencies
