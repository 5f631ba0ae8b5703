"""Back off from restarting workers that fail, and say when they have recovered.  Pure: clock and chance come in.

Theory of operation
-------------------
The way a worker ended decides:

* *orderly* (asked to, ``max_requests``, ``disconnect``): replaced at once; this module is not told.
* *left at once* (the same, but before it had served a single request, and before it was ``stable``): no fault, as long
  as its successors stay.  If a worker that was started after such an end leaves likewise, that is a fault.  So a
  program may replace all workers when they have just begun, and ``max_requests = 1`` is as busy as its clients; a loop
  of workers that serve nobody is held up.
* *fault* (an exit code or a signal of its own, a boot or a request that took too long).  A worker that had listened
  for ``stable`` seconds is replaced at once.  Each other fault doubles a pause in which nothing is started.  The pause
  is that of all workers and not of each place, because workers that run the same code fail together.
* *fault in use* (the same, while it answered a request, or by an exit of its own after requests that it had answered).
  One input that crashes a C library must not take the service from everybody else, and it causes no fork storm: each
  fork costs a client's request.  So the worker is replaced at once.  Only if workers live for less than ``PROBATION``
  seconds, there is a short pause before the next ones, a second at most, which further faults do not put off.
* *killed* (SIGKILL, which no program sends itself by accident): replaced at once if it had listened.  One that was
  killed while it booted, as the kernel does when memory is short, waits for a short pause of its own.  More than
  ``_KILLS_BORNE`` of these, with no worker that began to listen in between, count as a crash loop.

After a pause workers come back as in TCP's slow start: one, and then at a time as many as have listened for
``PROBATION`` seconds.  A worker that was started after the last fault and has listened for ``stable`` seconds ends the
back-off.

More than ``intensity`` faults within ``period`` seconds, or in one back-off however long its workers take to fail, make
a *degraded* state, which ends by the same proof.  Intensity and period are those of an OTP supervisor, which gives up
and escalates.  Here nobody is above, so the state is told and the attempts go on.

Rejected: a back-off for each place (four places make four storms); resetting by time alone (a long pause would
reset itself); resetting at ``listening`` (a worker that dies a moment later is forked for ever).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

__all__ = ["PROBATION", "UNLIMITED", "RestartPolicy", "Restarts", "Trial"]

PROBATION: Final = 2.0
"""Seconds that a worker listens before it vouches for another one, while there is a back-off."""

UNLIMITED: Final = 1 << 30

_FACTOR: Final = 2.0
_JITTER: Final = 0.25
_KILLED_DELAY: Final = 0.1
_KILLED_MAX_DELAY: Final = 2.0
_MOST_DOUBLINGS: Final = 32
_KILLS_BORNE: Final = 8
_IN_USE_DELAY: Final = 0.1
_IN_USE_MAX_DELAY: Final = 1.0


class RestartPolicy(Struct, frozen=True):
    """The numbers of the back-off, in seconds.

    Attributes:
        delay: the first pause.
        max_delay: the longest, before the jitter of up to a quarter that is added.
        stable: a worker that has listened for so long is sound.
        intensity: so many faults ...
        period: ... within so many seconds are borne in silence.
    """

    delay: float = 1.5
    max_delay: float = 30.0
    stable: float = 10.0
    intensity: int = 3
    period: float = 30.0


class Trial(Struct, frozen=True):
    """One running worker that is not on the way out: when it was started, and since when it listens."""

    started: float
    listening_since: float | None


class Restarts:
    """The faults of a roster, and what they allow.

    Args:
        policy: the numbers.
        chance: returns a number from 0 up to 1, for the jitter.
    """

    def __init__(self, policy: RestartPolicy, chance: Callable[[], float]) -> None:
        self.policy = policy
        self._chance = chance
        self._faults: deque[float] = deque()
        self._last_fault = float("-inf")
        self._hold_until = float("-inf")
        self._streak = 0  # faults of the back-off
        self._killed_streak = 0
        self._in_use_streak = 0
        self._last_killed = float("-inf")
        self._first_left: float | None = None  # when a worker left at once, and nobody has stayed since
        self.is_degraded = False

    @property
    def is_backing_off(self) -> bool:
        """Whether faults have not yet been made good by a sound worker."""
        return self._streak > 0

    @property
    def hold_until(self) -> float:
        """Until then nothing is started."""
        return self._hold_until

    def recent_faults(self, now: float) -> int:
        """How many faults there were within the period."""
        while self._faults and self._faults[0] <= now - self.policy.period:
            self._faults.popleft()
        return len(self._faults)

    def unhealed_faults(self, now: float) -> int:
        """How many faults there were within the period, or since a worker was sound: an import may last longer."""
        return max(self.recent_faults(now), self._streak, self._killed_streak)

    def note_fault(self, now: float) -> None:
        """A worker failed, and nobody is started for it here: it only counts."""
        self._faults.append(now)

    def fault(self, now: float, listened: float, *, in_use: bool = False) -> bool:
        """A worker failed; return whether this is what degrades the roster.

        Args:
            now: the time.
            listened: for how many seconds it had listened.
            in_use: whether it was answering somebody, or ended in order and had answered requests.
        """
        self._faults.append(now)
        self._last_fault = now
        if in_use:
            self._hold_briefly(now, listened)
        elif listened < self.policy.stable:
            self._streak += 1
            self._hold(now, self.policy.delay, self._streak, self.policy.max_delay)
        degrades = not self.is_degraded and self.unhealed_faults(now) > self.policy.intensity
        self.is_degraded = self.is_degraded or degrades
        return degrades

    def left_at_once(self, now: float, started: float, listened: float) -> bool:
        """A worker left that had served nothing; return whether this is what degrades the roster.

        Args:
            now: the time.
            started: when it was started.
            listened: for how many seconds it had listened.
        """
        if listened >= self.policy.stable:
            return False
        if self._first_left is not None and started >= self._first_left:
            return self.fault(now, listened)
        if self._first_left is None:
            self._first_left = now
        return False

    def killed(self, now: float, had_listened: bool) -> bool:
        """A worker was killed from outside; return whether this is what degrades the roster."""
        if had_listened:
            self._killed_streak = 0
            return False
        self._killed_streak += 1
        self._last_killed = now
        self._hold(now, _KILLED_DELAY, self._killed_streak, _KILLED_MAX_DELAY)
        if self._killed_streak <= _KILLS_BORNE:
            return False
        self._last_fault = now  # what heals is a worker that is younger
        degrades, self.is_degraded = not self.is_degraded, True
        return degrades

    def retry_now(self) -> None:
        """Something has changed that may have been the cause: the next attempt is the first again."""
        self._streak = self._killed_streak = self._in_use_streak = 0
        self._first_left = None
        self._hold_until = float("-inf")

    def observe(self, now: float, roster: Iterable[Trial]) -> bool:
        """Take note of who listens, and for how long; return whether this is what heals the roster."""
        since = [one.listening_since for one in roster if one.started >= self._last_fault and one.listening_since]
        if any(start >= self._last_killed for start in since):
            self._killed_streak = 0
        if any(now - start >= PROBATION for start in since):
            self._in_use_streak = 0
        if not any(now - start >= self.policy.stable for start in since):
            return False
        self._streak = 0
        self._first_left = None
        healed, self.is_degraded = self.is_degraded, False
        return healed

    def allowed(self, now: float, roster: Iterable[Trial]) -> int:
        """Return how many workers may be started now."""
        if now < self._hold_until:
            return 0
        if not self._streak:
            return UNLIMITED
        vouching = young = 0
        for one in roster:
            if one.listening_since is not None and now - one.listening_since >= PROBATION:
                vouching += 1
            else:
                young += 1
        return max(0, max(1, vouching) - young)

    def _hold_briefly(self, now: float, listened: float) -> None:
        if listened >= PROBATION:
            self._in_use_streak = 0
            return
        self._in_use_streak += 1
        if now >= self._hold_until:
            self._hold(now, _IN_USE_DELAY, self._in_use_streak, _IN_USE_MAX_DELAY)

    def _hold(self, now: float, first: float, streak: int, longest: float) -> None:
        pause = min(longest, first * _FACTOR ** min(streak - 1, _MOST_DOUBLINGS))
        self._hold_until = max(self._hold_until, now + pause * (1.0 + _JITTER * self._chance()))
