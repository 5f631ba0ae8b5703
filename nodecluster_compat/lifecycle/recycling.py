"""Find the workers that are *due* by age, memory or requests.  Pure: clock, chance and measurements come in.

A worker is due by age, by memory or by requests.  What follows is not decided here: a due worker serves on until its
successor listens, and one is replaced at a time (``steps.recycle``).

* Age counts from when it listens, so a slow boot takes nothing of it.
* Memory counts when it is over the limit in so many samples *in a row*: one large request is a spike, no leak.
* Requests are counted by the worker; here is only how many it may serve.

A random share of the jitter is drawn for each worker, so that those that began together do not end together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

__all__ = ["Due", "RecyclePolicy", "Recycling", "requests_of"]


class RecyclePolicy(Struct, frozen=True):
    """The limits of a worker; 0 for none.

    Attributes:
        max_age: seconds that it listens.
        age_jitter: up to so many seconds more.
        max_memory: resident bytes.
        samples: over ``max_memory`` in so many samples in a row, at least 1 ...
        interval: ... taken every so many seconds, above 0.
        max_requests: that it serves.
        requests_jitter: up to so many more.
    """

    max_age: float = 0.0
    age_jitter: float = 0.0
    max_memory: int = 0
    samples: int = 3
    interval: float = 5.0
    max_requests: int = 0
    requests_jitter: int = 0


class Due(Struct, frozen=True):
    """A worker that has reached a limit, and which, in words."""

    pid: int
    reason: str


def requests_of(policy: RecyclePolicy, chance: Callable[[], float]) -> int:
    """Return after how many requests a new worker is due; 0 for never.

    Args:
        policy: the limits.
        chance: returns a number from 0 up to 1.
    """
    return policy.max_requests and policy.max_requests + int((policy.requests_jitter + 1) * chance())


class Recycling:
    """Keeps what is known of the workers that serve, by pid.

    Args:
        policy: the limits.
        chance: returns a number from 0 up to 1.
    """

    def __init__(self, policy: RecyclePolicy, chance: Callable[[], float]) -> None:
        self.policy = policy
        self._chance = chance
        self._shares: dict[int, float] = {}
        self._heavy: dict[int, int] = {}  # samples over the limit, in a row

    def forget_others(self, pids: Iterable[int]) -> None:
        """Only these workers are left: another with the pid of one that has gone is another."""
        kept = set(pids)
        for known in (self._shares, self._heavy):
            for pid in known.keys() - kept:
                del known[pid]

    def aged(self, now: float, since: Mapping[int, float]) -> list[Due]:
        """Return the workers that are due by age.

        Args:
            now: the time.
            since: when each worker began to listen.
        """
        policy = self.policy
        if not policy.max_age:
            return []
        due: list[Due] = []
        for pid, start in since.items():
            if pid not in self._shares:
                self._shares[pid] = self._chance()
            limit = policy.max_age + policy.age_jitter * self._shares[pid]
            if now - start >= limit:
                due.append(Due(pid, f"it has listened for {limit:g} s (max_worker_age)"))
        return due

    def heavy(self, resident: Mapping[int, int]) -> list[Due]:
        """Take one sample; return the workers that are due by memory.

        Args:
            resident: the bytes of each worker; who is missing was not measured, and keeps what was counted.
        """
        policy = self.policy
        due: list[Due] = []
        for pid, size in resident.items() if policy.max_memory else ():
            self._heavy[pid] = self._heavy.get(pid, 0) + 1 if size > policy.max_memory else 0
            if self._heavy[pid] >= policy.samples:
                due.append(Due(pid, f"it has {size} bytes in memory, {policy.samples} times over max_worker_memory"))
        return due
