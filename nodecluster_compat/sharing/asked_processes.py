"""Ask several processes from the primary, and gather what they answer.

gather ──CALL to each──▶ … ──RETURN of each, or it has left──▶ done, once
└──the time is over──▶ done, with the rest missing
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import Protocol

from ..errors import FrameError
from .gathering import Gathering
from .outcomes import Failure, Gathered
from .wire import decode, encode

__all__ = ["AskedProcesses", "Cancellable", "Timers"]


class Callee(Protocol):
    """A process that can be asked."""

    def call(self, number: int, verb: str, body: bytes) -> bool:
        """Ask it; return whether it was taken."""


class Cancellable(Protocol):
    """A timer."""

    def cancel(self) -> None:
        """Call it off."""


class Timers(Protocol):
    """The event loop around the exchange, as the exchange needs it."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Cancellable:
        """Call back after ``seconds``."""


class AskedProcesses:
    """Keeps what one primary has asked of processes.

    Args:
        timers: of its loop.
        callee: returns a process by its id; ``None`` for one that is not there.
    """

    def __init__(self, timers: Timers, callee: Callable[[int], Callee | None]) -> None:
        self._timers = timers
        self._callee = callee
        self._numbers = count(1)
        self._asked: dict[int, tuple[int, Callable[[bool, bytes | bytearray], None]]] = {}

    def gather(
        self,
        targets: Iterable[int],
        verb: str,
        body: bytes,
        seconds: float | None,
        done: Callable[[Gathered], None],
    ) -> None:
        """Ask several processes; ``done`` is told once what came, and who is missing.

        Args:
            targets: their ids; they alone must answer, also if others come later.
            verb: what to ask.
            body: the arguments, encoded.
            seconds: how long they have; ``None``: as long as they live.
            done: not called before this returns, unless nobody must answer.
        """
        numbers: list[int] = []
        expected = list(targets)
        timer: list[Cancellable] = []

        def ended(gathered: Gathered) -> None:
            for one in timer:
                one.cancel()
            for number in numbers:
                self._asked.pop(number, None)
            done(gathered)

        gathering = Gathering(expected, ended)
        if seconds is not None and expected:
            timer.append(self._timers.call_later(seconds, gathering.expire))
        for target in expected:
            number = next(self._numbers)
            numbers.append(number)
            self._ask_one(gathering, target, number, verb, body)
        gathering.begin()

    def _ask_one(self, gathering: Gathering, target: int, number: int, verb: str, body: bytes) -> None:
        callee = self._callee(target)
        if callee is None:
            gathering.failed(target, Failure("gone", f"there is no worker {target}"))
            return
        self._asked[number] = target, partial(_took, gathering, target)
        if not callee.call(number, verb, body):
            self._asked.pop(number, None)
            gathering.failed(target, Failure("failed", f"worker {target} reads too slowly to be asked"))

    def give(self, peer: int, number: int, is_done: bool, body: bytes | bytearray) -> None:
        """A process answers; what it was not asked is ignored."""
        asked, done = self._asked.get(number, (None, None))
        if asked == peer and done is not None:
            del self._asked[number]
            done(is_done, body)

    def left(self, peer: int) -> None:
        """A process has gone: what is asked of it fails."""
        gone = encode(Failure("gone", f"worker {peer} ended before it replied"))
        for number, (asked, done) in list(self._asked.items()):
            if asked == peer and self._asked.pop(number, None) is not None:
                done(False, gone)


def _took(gathering: Gathering, target: int, is_done: bool, body: bytes | bytearray) -> None:
    if is_done:
        gathering.answered(target, body)
        return
    try:
        failure: Failure = decode(body, Failure)
    except FrameError:
        failure = Failure("failed", f"worker {target} answered by what is no answer")
    gathering.failed(target, failure)
