"""Wait for an answer that comes by a callback: :func:`waited` holds up its caller, :func:`awaited` a task."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

from msgspec import Struct

from ..base.records import Message

__all__ = ["Outcome", "Replied", "awaited", "waited"]

Replied: TypeAlias = Callable[[Exception | None, Message], None]
"""Hears how it has ended: by an error, or by an answer."""


class Outcome(Struct):
    """How a request has ended."""

    error: Exception | None = None
    value: Message = None

    def result(self) -> Message:
        """Return the reply.

        Raises:
            ClusterError: there is none.
        """
        if self.error is not None:
            raise self.error
        return self.value


def waited(
    wait: Callable[[Callable[[Callable[[], None]], None]], None],
    ask: Callable[[Replied], object],
) -> Message:
    """Ask, and wait for the reply.

    Args:
        wait: ``wait(begin)`` calls ``begin(done)`` and returns after ``done()`` was called.
        ask: ``ask(replied)`` sends the request.

    Raises:
        ClusterError: there is no reply, or nothing could be sent.
    """
    outcome = Outcome()
    wait(partial(_begin, ask, outcome))
    return outcome.result()


async def awaited(
    waiting: Callable[[Callable[[Callable[[], None]], None]], Awaitable[None]],
    ask: Callable[[Replied], object],
) -> Message:
    """As :func:`waited`, for a task.

    Args:
        waiting: ``waiting(begin)`` returns what calls ``begin(done)`` when it is awaited, and ends after ``done()``.
        ask: as there.

    Raises:
        ClusterError: as there.
    """
    outcome = Outcome()
    await waiting(partial(_begin, ask, outcome))
    return outcome.result()


def _begin(ask: Callable[[Replied], object], outcome: Outcome, done: Callable[[], None]) -> None:
    def replied(error: Exception | None, value: Any) -> None:  # noqa: ANN401 - a message
        outcome.error, outcome.value = error, value
        done()

    try:
        ask(replied)
    except Exception as error:  # noqa: BLE001 - raised where somebody waits, which may be another thread
        replied(error, None)
