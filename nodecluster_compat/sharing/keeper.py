"""Keep what this process holds on the server of several hosts: get it, renew it, give it back.  One thread for all.

    waits ──taken──▶ held ──released──▶ leaves ──the server knows, its time ends──▶ over
      │                └──its time ends, though it is renewed later; somebody else has it──▶ over: lost
      ├──given up──▶ leaves
      └──too late──▶ over

The thread begins with the first claim and ends with the last.  While the server cannot be reached claims wait, and
holds last until their time ends: before that, nobody else can have them.  The callbacks of a claim run on that thread,
or in a greenlet, and must not wait.
"""

from __future__ import annotations

import _thread
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from msgspec import Struct

from ..errors import ClusterError, LockNotAcquired
from .holds import free, renew, take

if TYPE_CHECKING:
    from ..base.log import Log
    from .holds import Places
    from .server import Server

__all__ = ["Claim", "Job", "Keeper"]

_RETRY: Final = 0.05
_AWAY: Final = 0.2
_RENEWALS: Final = 3
_FORGOTTEN_MILLISECONDS: Final = 4000
_TOLD_SECONDS: Final = 3.0
"""How often the server is told of a lease: within the time for which one that has forgotten it gives it to nobody."""
_MOST_JOBS: Final = 4096  # waiting, of those that do not persist

State: TypeAlias = Literal["waits", "held", "leaves", "over"]
Job: TypeAlias = Callable[[Any], object]
"""Asks something of the server: ``job(client)``."""

_Errand: TypeAlias = tuple[Job, bool, Callable[[], None] | None]


class Claim(Struct, eq=False):
    """Something that is wanted, and then held.

    Attributes:
        what: for the sentence of an error.
        places: where it may be held.
        value: says whose it is.
        seconds: how long a hold lasts.
        is_renewed: whether it is held for longer all the time.
        got: called once: with the token, or why there is none.
        lost: called if the hold ends by itself.
        waits_until: when it is given up.
        until: when the hold ends at the earliest.
    """

    what: str
    places: Places
    value: str
    seconds: float
    is_renewed: bool
    got: Callable[[Exception | None, int | None], None]
    lost: Callable[[], None]
    waits_until: float | None = None
    until: float = 0.0
    state: State = "waits"
    key: str = ""
    next_at: float = 0.0
    left: Callable[[], None] | None = None

    @property
    def milliseconds(self) -> int:
        """How long a hold lasts."""
        return max(1, round(self.seconds * 1000))


class Keeper:
    """The claims of one process.

    Args:
        server: that the holds are on.
        log: told when it cannot be reached.
        clock: seconds that only go on.
    """

    def __init__(self, server: Server, log: Log, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._log = log
        self._clock = clock
        self._claims: list[Claim] = []
        self._jobs: deque[_Errand] = deque()
        self._again: list[_Errand] = []
        self._changed = threading.Condition()
        self._runs = False
        self._is_away = False
        self._has_known = False

    def holds(self, claim: Claim) -> bool:
        """Whether a claim is held, as far as this process can know."""
        return claim.state == "held" and self._clock() < claim.until

    def claim(self, claim: Claim) -> None:
        """Get something, as soon as it is free; waits for nobody."""
        with self._changed:
            self._claims.append(claim)
            self._wake()

    def release(self, claim: Claim, left: Callable[[], None] | None = None) -> None:
        """Want or hold it no longer; ``left`` is called when the server has been told, or could not be."""
        with self._changed:
            if claim.state == "waits":
                claim.until = self._clock() + claim.seconds  # it may be held by now
            is_over = claim.state == "over"
            if not is_over:
                claim.state, claim.next_at, claim.left = "leaves", 0.0, left
                self._wake()
        if is_over and left is not None:
            left()

    def do(self, job: Job, persists: bool = False, failed: Callable[[], None] | None = None) -> None:
        """Ask something of the server on the thread of this keeper; what goes wrong is told in the log.

        Args:
            job: called once, or again where the server could not be reached.
            persists: whether that is so for as long as it takes.
            failed: called where the server could not be reached, or too many jobs wait, and it does not persist.
        """
        with self._changed:
            is_kept = persists or len(self._jobs) < _MOST_JOBS
            if is_kept:
                self._jobs.append((job, persists, failed))
                self._wake()
        if not is_kept and failed is not None:
            failed()

    # --- the thread ----------------------------------------------------------------------------

    def _wake(self) -> None:
        if not self._runs:
            self._runs = True
            _thread.start_new_thread(self._run, ())  # Thread.start() would wait, which the caller must not
        self._changed.notify()

    def _run(self) -> None:
        while self._wait():
            for _ in range(len(self._jobs)):
                self._run_errand(*self._jobs.popleft())
                self._serve_due()
            self._serve_due()

    def _serve_due(self) -> None:
        """However many jobs there are: what is held is renewed in time."""
        for claim in list(self._claims):
            if claim.state != "over" and claim.next_at <= self._clock():
                self._serve(claim)

    def _run_errand(self, job: Job, persists: bool, failed: Callable[[], None] | None) -> None:
        if self._attempt(job):
            return
        if persists:
            self._again.append((job, persists, failed))
        elif failed is not None:
            failed()

    def _wait(self) -> bool:
        """Wait for something to do; return whether there ever will be."""
        with self._changed:
            self._claims = [claim for claim in self._claims if claim.state != "over"]
            if not self._claims and not self._jobs and not self._again:
                self._runs = False
                return False
            now = self._clock()
            times = [claim.next_at for claim in self._claims] + [now + _AWAY for _ in self._again[:1]]
            if not self._jobs and min(times) > now:
                self._changed.wait(min(times) - now)
            self._jobs.extend(self._again)
            self._again.clear()
            return True

    def _serve(self, claim: Claim) -> None:
        try:
            _STATES[claim.state](self, claim)
        except Exception:  # noqa: BLE001 - one claim must not end the others
            self._log.exception("What has become of %s could not be told", claim.what)

    def _attempt(self, job: Job) -> bool:
        """Ask the server; return whether it has answered."""
        try:
            self._server.ask(job)
        except ClusterError as error:
            if not self._is_away:
                self._log.warning("What this worker holds for all hosts cannot be kept for now: %s", error)
            self._is_away = True
            return False
        except Exception:  # noqa: BLE001 - as above
            self._log.exception("What the server of other hosts was asked went wrong")
        self._is_away, self._has_known = False, True
        return True

    # --- states --------------------------------------------------------------------------------

    def _get(self, claim: Claim) -> None:
        began = self._clock()
        found: list[tuple[int, int] | None] = []
        has_known, patience = self._has_known, _FORGOTTEN_MILLISECONDS
        has_answered = self._attempt(
            lambda client: found.append(
                take(client, claim.places, claim.value, claim.milliseconds, patience, has_known)
            )
        )
        place = found[-1] if found else None
        if place is not None:
            self._hold(claim, began, *place)
        elif claim.waits_until is not None and self._clock() >= claim.waits_until:
            if not self._over(claim):
                return
            reason = (
                "did not become free in time"
                if has_answered
                else "cannot be had: its server cannot be reached, or refuses"
            )
            claim.got(LockNotAcquired(f"{claim.what} {reason}"), None)
        elif claim.state == "waits":
            claim.next_at = min(self._clock() + (_RETRY if has_answered else _AWAY), claim.waits_until or float("inf"))

    def _hold(self, claim: Claim, began: float, place: int, token: int) -> None:
        with self._changed:
            if claim.state != "waits":  # given up meanwhile
                return
            claim.state, claim.key = "held", claim.places.keys[place]
            self._extend(claim, began, claim.seconds)
        claim.got(None, token)

    def _extend(self, claim: Claim, began: float, seconds: float) -> None:
        claim.until = began + seconds
        claim.next_at = began + (seconds / _RENEWALS if claim.is_renewed else min(seconds, _TOLD_SECONDS))

    def _keep(self, claim: Claim) -> None:
        began = self._clock()
        left = claim.seconds if claim.is_renewed else claim.until - began
        is_held: list[bool] = []
        if began < claim.until:
            milliseconds = max(1, round(left * 1000))
            self._attempt(lambda client: is_held.append(renew(client, claim.key, claim.value, milliseconds)))
        if is_held and is_held[-1] and self._clock() < claim.until:
            self._extend(claim, began, left)
        elif is_held or self._clock() >= claim.until:
            self._lose(claim)
        else:
            claim.next_at = min(self._clock() + _AWAY, claim.until)

    def _lose(self, claim: Claim) -> None:
        if self._over(claim):
            claim.lost()
            self._attempt(lambda client: free(client, claim.places.keys, claim.value))  # it may have it for longer

    def _over(self, claim: Claim) -> bool:
        with self._changed:
            is_wanted = claim.state != "leaves"
            if is_wanted:
                claim.state = "over"
        return is_wanted

    def _leave(self, claim: Claim) -> None:
        has_left = self._attempt(lambda client: free(client, claim.places.keys, claim.value))
        left, claim.left = claim.left, None
        if has_left or self._clock() >= claim.until:
            claim.state = "over"
        else:
            claim.next_at = self._clock() + _AWAY
        if left is not None:
            left()


_STATES: Final[dict[State, Callable[[Keeper, Claim], None]]] = {
    "waits": Keeper._get,
    "held": Keeper._keep,
    "leaves": Keeper._leave,
}
