"""Have one worker lead, in the primary: tell it, have it resign when it leaves, remember when its jobs ran last."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from ..errors import StoreUnavailable
from .election import Election
from .exchange import Exchange
from .lock_desk import Names
from .outcomes import Gathered
from .verbs import Caller, Moment, Returning
from .wire import encode

__all__ = ["LeaderDesk"]

_MANDATE: Final = "leader"
_MOST_JOBS: Final = 1024
_RETRY_SECONDS: Final = 0.1


class LeaderDesk:
    """The leadership of one exchange.

    Args:
        exchange: where the verbs are registered.
        first_token: larger than those of every primary before.
        names: shared with another primary during an upgrade.
        is_ready_at: when a worker can lead: once it listens, or in a script as soon as it runs.
        clock: seconds that only go on.
    """

    def __init__(
        self,
        exchange: Exchange,
        first_token: int,
        names: Names,
        is_ready_at: Moment = "listening",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.election = Election(first_token, self._mandate, self._give_back, self._lead, self._resign)
        self._exchange = exchange
        self._names = names
        self._is_ready_at = is_ready_at
        self._clock = clock
        self._has_mandate = False
        self._retries = False
        self._ran: dict[str, float] = {}
        exchange.verbs.on("stand", list[str], self._stand)
        exchange.verbs.on("ran", str, self._note_run)
        exchange.when_told.append(self._told)

    def _stand(self, caller: Caller, jobs: list[str], _: Returning) -> None:
        for key in jobs:
            if key not in self._ran and len(self._ran) < _MOST_JOBS:
                self._ran[key] = self._clock()  # from when it was first known, so that no change of leaders delays it
        self.election.stands(caller.id)
        self._look()

    def _note_run(self, caller: Caller, key: str, _: Returning) -> None:
        if caller.id == self.election.leader and key in self._ran:
            self._ran[key] = self._clock()

    def _told(self, moment: Moment, worker: int) -> None:
        if moment == self._is_ready_at:
            self.election.ready(worker)
        elif moment == "leaving":
            self.election.leaves(worker)
        elif moment == "ended":
            self.election.ended(worker)
        self._look()

    # --- what the election asks ----------------------------------------------------------------

    def _mandate(self) -> bool:
        if not self._has_mandate:
            try:
                self._has_mandate = self._names.take(_MANDATE)
            except StoreUnavailable:
                self._has_mandate = True  # nowhere to meet another primary: this one alone must do
        return self._has_mandate

    def _give_back(self) -> None:
        if self._has_mandate:
            self._has_mandate = False
            self._names.give_back(_MANDATE)

    def _lead(self, worker: int, token: int) -> None:
        now = self._clock()
        told = token, {key: now - at for key, at in self._ran.items()}
        self._ask(worker, "lead", told, lambda cause: self._led(worker, cause))

    def _led(self, worker: int, cause: str | None) -> None:
        if cause == "failed":  # so much waits for it that it was not told
            self.election.not_told(worker)
            self._look()

    def _resign(self, worker: int) -> None:
        self._ask(worker, "resign", None, lambda cause: self._resigned(worker, cause))

    def _resigned(self, worker: int, cause: str | None) -> None:
        if cause is None:
            self.election.resigned(worker)
            self._look()
        elif cause == "failed":
            self._exchange.timers.call_later(_RETRY_SECONDS, lambda: self._resign_still(worker))
        # otherwise it has no channel any more: its end says that it has done its last

    def _resign_still(self, worker: int) -> None:
        if self.election.leader == worker:
            self._resign(worker)

    def _ask(self, worker: int, verb: str, arguments: object, done: Callable[[str | None], None]) -> None:
        """Ask a worker; ``done`` hears why that was not done, ``None`` if it was."""

        def ended(gathered: Gathered) -> None:
            done(gathered.missing[0].cause if gathered.missing else None)

        self._exchange.gather([worker], verb, encode(arguments), None, ended)

    def _look(self) -> None:
        if self.election.lacks_mandate and not self._retries:
            self._retries = True
            self._exchange.timers.call_later(_RETRY_SECONDS, self._retry)

    def _retry(self) -> None:
        self._retries = False
        self.election.elect()
        self._look()
