"""Know in a worker whether it leads, and run there what one runs for all: ``cluster.leader``, ``cluster.every``."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..base.arity import fitted
from ..base.emitter import Origin, awaits_handlers, current_origin, run_guarded
from ..errors import ArgumentTypeError
from .exchange import Caller, Returning, Verbs
from .wire import encode

if TYPE_CHECKING:
    from .sides import Around

__all__ = ["Job", "Leader", "checked_period"]

Handler = TypeVar("Handler", bound=Callable[..., Any])

_NO_TOKEN: Final = 0


def checked_period(seconds: object) -> float:
    """Return how often a job runs.

    Raises:
        ArgumentTypeError: it is no number of seconds above 0.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
        raise ArgumentTypeError(f"expected a number of seconds above 0, got {seconds!r}")
    return float(seconds)


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


class Leader:
    """The leadership of the cluster's workers, as this worker sees it.

    One worker leads at a time.  When it dies, or is to leave, another one does: a worker that leaves leads until its
    jobs that run and its :meth:`lost` handlers have ended, and only then another is elected.
    """

    def __init__(self, sharing: Around, verbs: Verbs) -> None:
        self._sharing = sharing
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
        self._stand()
        return self._token != _NO_TOKEN

    @property
    def token(self) -> int | None:
        """The fencing token of this leadership, larger than all before; ``None`` where this worker does not lead."""
        return self._token or None

    def elected(self, handler: Handler) -> Handler:
        """Call ``handler(token)`` when this worker leads; a decorator."""
        call = fitted(handler, 1, "the handler of an election", is_awaited=awaits_handlers())
        self._elected.append((current_origin(), call))
        self._stand()
        return handler

    def lost(self, handler: Handler) -> Handler:
        """Call ``handler()`` when this worker has to stop leading, because it leaves; a decorator.

        Nobody else leads before it has returned.  A worker that is killed calls nothing.
        """
        call = fitted(handler, 0, "the handler of a lost leadership", is_awaited=awaits_handlers())
        self._lost.append((current_origin(), call))
        self._stand()
        return handler

    # --- for the sharing around it -------------------------------------------------------------

    def add(self, job: Job) -> None:
        """Run a job from now on, where this worker leads."""
        self.jobs.append(job)
        self._stand(again=True)
        if self._token:
            self._wait_for(job, job.seconds, self._token)

    def attached(self) -> None:
        """This process is a worker now: what a preloaded application has registered stands for election."""
        wants, self._stands = self._stands or bool(self.jobs or self._elected or self._lost), False
        self._token, self._running, self._resigning = _NO_TOKEN, 0, None
        if wants:
            self._stand()

    def closed(self) -> None:
        """The primary has gone."""
        if self._token:
            self._token = _NO_TOKEN
            self._tell_lost()

    def _stand(self, again: bool = False) -> None:
        if self._stands and not again:
            return
        self._stands = True
        if self._sharing.member is not None:
            self._sharing.side.call("stand", encode([job.key for job in self.jobs]), None)

    def _lead(self, _: Caller, told: tuple[int, dict[str, float]], returning: Returning) -> None:
        self._token, ages = told
        returning.value(None)
        for origin, call in self._elected:
            self._runtime.spawn(partial(run_guarded, "elected", origin, call, self._token))
        for job in self.jobs:
            self._wait_for(job, max(0.0, job.seconds - ages.get(job.key, 0.0)), self._token)

    def _resign(self, _: Caller, nothing: None, returning: Returning) -> None:
        self._token = _NO_TOKEN
        self._resigning = returning
        self._tell_lost()

    def _tell_lost(self) -> None:
        self._running += 1
        self._runtime.spawn(self._call_lost, self._has_ended)

    def _call_lost(self) -> None:
        for origin, call in self._lost:
            run_guarded("lost", origin, call)

    def _has_ended(self) -> None:
        with self._runtime.lock:
            self._running -= 1
            if self._resigning is not None and not self._running:
                returning, self._resigning = self._resigning, None
                returning.value(None)

    # --- jobs ----------------------------------------------------------------------------------

    def _wait_for(self, job: Job, seconds: float, token: int) -> None:
        self._runtime.call_later(seconds, partial(self._due, job, token))

    def _due(self, job: Job, token: int) -> None:
        if token != self._token:
            return
        self._running += 1
        job.runs += 1
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
