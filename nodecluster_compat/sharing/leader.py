"""Know in a worker whether it leads, and run there what one runs for all: ``cluster.leader``, ``cluster.every``."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from ..base.arguments import MOST_SECONDS
from ..base.arity import fitted
from ..base.handler_calls import Origin, awaits_handlers, current_origin, run_guarded
from ..errors import ArgumentTypeError
from .verbs import Caller, Returning, Verbs
from .wire import encode

if TYPE_CHECKING:
    from .sides import Around

__all__ = ["Job", "Leader", "Mandate", "checked_period"]

Handler = TypeVar("Handler", bound=Callable[..., Any])

_NO_TOKEN: Final = 0
_DOUBT_SECONDS: Final = 0.5
"""After which a job that is due is looked at again, while it is not known whether this worker leads still."""


def checked_period(seconds: object) -> float:
    """Return how often a job runs.

    Raises:
        ArgumentTypeError: it is no number of seconds above 0.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
        raise ArgumentTypeError(f"expected a number of seconds above 0, got {seconds!r}")
    return float(min(seconds, MOST_SECONDS))


class Job:
    """What the leader runs again and again.

    Attributes:
        key: its name in the cluster.
        seconds: from one run's beginning to the next.
        runs: how often it has run here.
    """

    def __init__(self, key: str, seconds: float, function: Callable[..., Any]) -> None:
        self.key = key
        self.seconds = seconds
        self.runs = 0
        self.origin: Origin = current_origin()
        self.call = fitted(function, 1, f"the job {key}", is_awaited=awaits_handlers())


class Mandate(Protocol):
    """What the worker that leads its host needs to lead all hosts."""

    @property
    def is_held(self) -> bool:
        """Whether it is, as far as this process can know."""

    def seek(self, token: int, have: Callable[[int, dict[str, float]], None], lost: Callable[[], None]) -> None:
        """Get it.

        Args:
            token: of the leadership of this host.
            have: called with a token of all hosts, and how many seconds ago jobs ran; not before this returns.
            lost: called if it ends by itself.
        """

    def give_back(self, given: Callable[[], None]) -> None:
        """Want or have it no longer; ``given`` is called when others may have it."""

    def ran(self, key: str) -> None:
        """A job begins."""


class Leader:
    """The leadership of the cluster's workers, as this worker sees it.

    One worker leads at a time, of one host, or of all that share a server.  When it dies, or is to leave, another one
    does: a worker that leaves leads until its jobs that run and its :meth:`lost` handlers have ended, and only then
    another is elected.

    chosen by the primary ──mandate of other hosts──▶ leads ──mandate lost──▶ chosen
            └─────────────to leave──────────────────────┴──▶ resigns

    Attributes:
        when_chosen: called when this worker leads its host, beside requests; a door for capabilities.
        when_dismissed: called when it does no longer, beside requests; a door, too.
    """

    def __init__(self, sharing: Around, verbs: Verbs, mandate: Callable[[], Mandate | None] = lambda: None) -> None:
        self.when_chosen: list[Callable[[], None]] = []
        self.when_dismissed: list[Callable[[], None]] = []
        self._sharing = sharing
        self._find_mandate = mandate
        self._mandate: Mandate | None = None
        self._chosen: tuple[int, dict[str, float]] | None = None
        self._token = _NO_TOKEN
        self._stands = False
        self._elected: list[tuple[Origin, Callable[..., Any]]] = []
        self._lost: list[tuple[Origin, Callable[..., Any]]] = []
        self.jobs: list[Job] = []
        self._running = 0
        self._resigning: Returning | None = None
        verbs.on("lead", tuple[int, dict[str, float]], self._lead)
        verbs.on("resign", None, self._resign)

    @property
    def is_leader(self) -> bool:
        """Whether this worker leads; asked for the first time, it stands for election from then on."""
        self.stand()
        return self.token is not None

    @property
    def token(self) -> int | None:
        """The fencing token of this leadership, larger than all before; ``None`` where this worker does not lead."""
        return self._token if self._token and self._may_lead() else None

    def _may_lead(self) -> bool:
        return self._mandate is None or self._mandate.is_held

    def elected(self, handler: Handler) -> Handler:
        """Call ``handler(token)`` when this worker leads; a decorator."""
        call = fitted(handler, 1, "the handler of an election", is_awaited=awaits_handlers())
        self._elected.append((current_origin(), call))
        self.stand()
        return handler

    def lost(self, handler: Handler) -> Handler:
        """Call ``handler()`` when this worker has to stop leading, because it leaves; a decorator.

        Nobody else leads before it has returned.  A worker that is killed calls nothing.
        """
        call = fitted(handler, 0, "the handler of a lost leadership", is_awaited=awaits_handlers())
        self._lost.append((current_origin(), call))
        self.stand()
        return handler

    # --- for the sharing around it -------------------------------------------------------------

    def add(self, job: Job) -> None:
        """Run a job from now on, where this worker leads."""
        self.jobs.append(job)
        self.stand(again=True)
        if self._token:
            self._wait_for(job, job.seconds, self._token)

    def attached(self) -> None:
        """This process is a worker now: what a preloaded application has registered stands for election."""
        wants, self._stands = self._stands or bool(self.jobs or self._elected or self._lost), False
        self._token, self._running, self._resigning = _NO_TOKEN, 0, None
        self._chosen = self._mandate = None
        if wants:
            self.stand()

    def closed(self) -> None:
        """The primary has gone."""
        led, self._token = self._token, _NO_TOKEN
        if led or self._chosen:
            self._chosen = None
            self._tell_lost(bool(led), True)

    def stand(self, again: bool = False) -> None:
        """Stand for election."""
        if self._stands and not again:
            return
        self._stands = True
        if self._sharing.member is not None:
            self._sharing.side.call("stand", encode([job.key for job in self.jobs]), None)

    def _lead(self, _: Caller, told: tuple[int, dict[str, float]], returning: Returning) -> None:
        self._chosen = told
        returning.value(None)
        self._mandate = self._find_mandate()
        for call in self.when_chosen:
            self._runtime.spawn(call)
        if self._mandate is None:
            self._begin(*told)
        else:
            self._seek(self._mandate, *told)

    def _seek(self, mandate: Mandate, token: int, ages: dict[str, float]) -> None:
        def have(mandated: int, ran: dict[str, float]) -> None:
            with self._runtime.lock:
                if self._chosen is not None and self._chosen[0] == token:
                    self._begin(mandated, ages | ran)

        mandate.seek(token, have, self._deposed)

    def _begin(self, token: int, ages: dict[str, float]) -> None:
        self._token = token
        for origin, call in self._elected:
            self._runtime.spawn(partial(run_guarded, "elected", origin, call, token))
        for job in self.jobs:
            self._wait_for(job, max(0.0, job.seconds - ages.get(job.key, 0.0)), token)

    def _deposed(self) -> None:
        with self._runtime.lock:
            led, self._token = self._token, _NO_TOKEN
            if led:
                self._sharing.log.warning("This worker leads no longer: it could not renew that at the server in time")
                self._tell_lost(True, False)
            if self._chosen is not None and self._mandate is not None:
                self._seek(self._mandate, *self._chosen)

    def _resign(self, _: Caller, nothing: None, returning: Returning) -> None:
        led, self._token = self._token, _NO_TOKEN
        self._chosen = None
        self._resigning = returning
        self._tell_lost(bool(led), True)

    def _tell_lost(self, has_led: bool, is_dismissed: bool) -> None:
        self._running += 1
        self._runtime.spawn(partial(self._call_lost, has_led, is_dismissed), self._has_ended)

    def _call_lost(self, has_led: bool, is_dismissed: bool) -> None:
        for origin, call in self._lost if has_led else ():
            run_guarded("lost", origin, call)
        for dismissed in self.when_dismissed if is_dismissed else ():
            run_guarded("dismissed", None, dismissed)

    def _has_ended(self) -> None:
        with self._runtime.lock:
            self._running -= 1
            if self._resigning is not None and not self._running:
                returning, self._resigning = self._resigning, None
                if self._mandate is None:
                    returning.value(None)
                else:
                    self._mandate.give_back(partial(returning.value, None))

    # --- jobs ----------------------------------------------------------------------------------

    def _wait_for(self, job: Job, seconds: float, token: int) -> None:
        self._runtime.call_later(seconds, partial(self._due, job, token))

    def _due(self, job: Job, token: int) -> None:
        if token != self._token:
            return
        if not self._may_lead():  # either that is lost, and jobs begin anew after it, or it goes on
            self._wait_for(job, min(_DOUBT_SECONDS, job.seconds), token)
            return
        self._running += 1
        job.runs += 1
        if self._mandate is not None:
            self._mandate.ran(job.key)
        self._sharing.side.call("ran", encode(job.key), None)
        run = partial(run_guarded, f"the job {job.key}", job.origin, job.call, token)
        self._runtime.spawn(run, partial(self._ran, job, token, time.monotonic()))

    def _ran(self, job: Job, token: int, began: float) -> None:
        with self._runtime.lock:
            if token == self._token:
                self._wait_for(job, max(0.0, began + job.seconds - time.monotonic()), token)
        self._has_ended()

    @property
    def _runtime(self) -> Any:  # noqa: ANN401 - Runtime, of a worker that runs
        member = self._sharing.member
        assert member is not None
        return member.runtime
