"""Know in the primary which worker reaches other hosts: ask them through it, tell it what ended processes held there.

a process ──CALL ask all hosts──▶ this desk ──┬──▶ exchange: those of this host ──────────────┬──▶ RETURN
└──CALL ask hosts──▶ carrier ──▶ other hosts ────┘
another host ──▶ its carrier ──CALL ask for host──▶ its desk ──▶ exchange: those of its host ──RETURN
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from msgspec import Struct

from ..errors import FrameError
from .exchange import Ask, Exchange
from .lock_desk import Abandoned, LockDesk
from .outcomes import Gathered, Missing, failure_of, fitting
from .verbs import Caller, Moment, Returning
from .wire import decode, encode

__all__ = ["GRACE_SECONDS", "AskHosts", "RemoteDesk", "unreached"]

GRACE_SECONDS: Final = 0.25
"""How much longer each step on the way waits than the one after it, whose word of who is late has to get here."""

_MOST_ASK_BYTES: Final = 4 * 1024 * 1024
_MOST_ABANDONED: Final = 4096
"""What is kept for the next worker that leads; what is forgotten ends by itself on the server."""


class AskHosts(Struct, array_like=True, frozen=True):
    """What other hosts are asked: an encoded :class:`~nodecluster_compat.sharing.exchange.Ask`, and for how long."""

    seconds: float | None
    ask: bytes


def unreached(reason: str) -> Gathered:
    """Return what comes of asking other hosts that cannot be reached."""
    return Gathered([], [Missing(0, "failed", f"other hosts were not asked: {reason}", "")])


def _unheard(missing: Missing) -> Gathered:
    """Return what comes of asking them by a worker that does not answer."""
    if missing.cause != "late":
        return unreached(missing.reason)
    return Gathered([], [Missing(0, "late", f"nothing was heard of other hosts in time: {missing.reason}", "")])


class _Both:
    """Joins what this host and the others have answered."""

    def __init__(self, done: Callable[[Gathered], None]) -> None:
        self._done = done
        self._came: list[Gathered] = []

    def came(self, gathered: Gathered) -> None:
        self._came.append(gathered)
        if len(self._came) == 2:
            one, two = self._came
            self._done(fitting(Gathered([*one.answers, *two.answers], [*one.missing, *two.missing])))

    def came_from_hosts(self, gathered: Gathered) -> None:
        """The carrier has answered, or has not."""
        if gathered.missing:
            self.came(_unheard(gathered.missing[0]))
            return
        try:
            self.came(decode(bytes(gathered.answers[0].value), Gathered))
        except FrameError as error:
            self.came(unreached(str(error)))


class RemoteDesk:
    """Does for other hosts what the primary has to do.

    Args:
        exchange: where the verbs are registered.
        locks: tell what was abandoned.

    Attributes:
        carrier: the worker that reaches other hosts; ``None`` while there is none.
        when_carried: called when there is another one; a door for capabilities.
    """

    def __init__(self, exchange: Exchange, locks: LockDesk) -> None:
        self.carrier: int | None = None
        self.when_carried: list[Callable[[], None]] = []
        self._exchange = exchange
        self._abandoned: deque[Abandoned] = deque(maxlen=_MOST_ABANDONED)
        exchange.verbs.on("carrier", bool, self._carries)
        exchange.verbs.on("ask all hosts", Ask, self._ask_all)
        exchange.verbs.on("ask for host", bytes, self._ask_for_host)
        exchange.when_told.append(self._told)
        locks.when_abandoned.append(self._was_abandoned)

    def _carries(self, caller: Caller, does: bool, _: Returning) -> None:
        if does:
            self.carrier = caller.id
            waiting = list(self._abandoned)
            self._abandoned.clear()
            for abandoned in waiting:
                self._was_abandoned(abandoned)
            for tell in self.when_carried:
                tell()
        elif self.carrier == caller.id:
            self.carrier = None

    # --- requests ------------------------------------------------------------------------------

    def _ask_all(self, _: Caller, asked: Ask, returning: Returning) -> None:
        if self.carrier is None and not self._exchange.fan_out.has_hosts:
            self._exchange.ask_here(asked, returning.value)
            return
        both = _Both(returning.value)
        self._exchange.ask_here(asked, both.came)
        if self.carrier is None:
            both.came(unreached("no worker of this host reaches them now"))
            return
        asking = encode(AskHosts(asked.seconds, encode(asked, limit=_MOST_ASK_BYTES)), limit=_MOST_ASK_BYTES)
        limit = None if asked.seconds is None else asked.seconds + 2 * GRACE_SECONDS
        self._exchange.gather([self.carrier], "ask hosts", asking, limit, both.came_from_hosts)

    def _ask_for_host(self, caller: Caller, body: bytes, returning: Returning) -> None:
        if caller.id != self.carrier:
            returning.value(Gathered([], []))
            return
        try:
            self._exchange.ask_here(decode(body, Ask), returning.value)
        except FrameError as error:  # another host's: the worker that brings it has done nothing wrong
            returning.failure(failure_of(error))

    # --- the carrier ---------------------------------------------------------------------------

    def _told(self, moment: Moment, worker: int) -> None:
        if moment in ("left", "ended") and self.carrier == worker:
            self.carrier = None

    def _was_abandoned(self, abandoned: Abandoned) -> None:
        if self.carrier is None:
            self._abandoned.append(abandoned)
        else:
            self._exchange.ask(self.carrier, "let go", abandoned, partial(self._was_told, abandoned))

    def _was_told(self, abandoned: Abandoned, is_done: bool) -> None:
        if not is_done:
            self._abandoned.append(abandoned)
