"""Define a failpoint that is armed in this process: how often it happens yet, and who waits at it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ..wire.records import Delay, Failpoint

__all__ = ["Answer", "Armed", "Event", "Place", "Waiting", "seconds_of"]


class Answer(Exception):
    """Answers a request with a status, in place of the application."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


class Waiting(Protocol):
    """Somebody who waits at a step: an event, say."""

    def set(self) -> object:
        """Let it go on."""


@dataclass(slots=True, eq=False)
class Armed:
    """A failpoint in this process.

    Attributes:
        failpoint: what, and where.
        left: how often it is to happen yet; ``None``: always.
        random: its own numbers.
        waiting: who waits here, by arrival.
    """

    failpoint: Failpoint
    left: int | None
    random: random.Random
    waiting: dict[int, Waiting] = field(default_factory=dict)


Place = Callable[[tuple[Armed, ...]], object]
"""What is told of all that is armed at a step, whenever that changes."""


class Event(Waiting, Protocol):
    """``threading.Event``, which is gevent's where that has patched it."""

    def is_set(self) -> bool:
        """Whether it may go on."""

    def wait(self, timeout: float) -> object:
        """Wait until it may, or for so many seconds."""


def seconds_of(armed: Armed, delay: Delay) -> float:
    """Return how long this delay is, this time."""
    return delay.seconds + armed.random.random() * delay.jitter
