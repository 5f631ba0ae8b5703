"""Who waits for a handler's answer hears how it ended, whatever that was; so many patterns, and no more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

import pytest

from nodecluster_compat.errors import ArgumentError
from nodecluster_compat.sharing.everywhere import Run, _awaited, _called
from nodecluster_compat.sharing.outcomes import Failure
from nodecluster_compat.sharing.subscriptions import Subscribers, Subscription
from nodecluster_compat.sharing.topics import MOST_PATTERNS
from nodecluster_compat.sharing.wire import encode

LOG = logging.getLogger("test")


class Ends(BaseException):
    """As gevent's time limits and asyncio's cancellations: no ``Exception``."""


class Post:
    """Delivers when the test says so."""

    def __init__(self) -> None:
        self.lock = nullcontext()
        self.due: list[Callable[[], None]] = []

    def at_turn_end(self, callback: Callable[[], None]) -> None:
        self.due.append(callback)

    def deliver(self) -> None:
        while self.due:
            self.due.pop(0)()

    def deliver_apart(self, take: Callable[[], Any], tell: Callable[[Any], None]) -> None:
        self.due.append(partial(self._deliver, take, tell))

    @staticmethod
    def _deliver(take: Callable[[], Any], tell: Callable[[Any], None]) -> None:
        while (one := take()) is not None:
            tell(one)


class Answering:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def value(self, value: object) -> None:
        self.heard.append(value)

    def failure(self, failure: Failure) -> None:
        self.heard.append(failure.reason)


def ends(*_: object) -> None:
    raise Ends("now")


async def ends_later(*_: object) -> None:
    raise Ends("now")


def subscribers(*patterns: str, handler: Callable[..., Any] = ends) -> tuple[Subscribers, list[Subscription]]:
    made = Subscribers(lambda *_: None)
    subscriptions = [Subscription(pattern, handler, made) for pattern in patterns]
    made.add(subscriptions)
    return made, subscriptions


def test_a_handler_that_is_ended_answers() -> None:
    """Nobody waits until the time is over."""
    post, answering = Post(), Answering()
    made, _ = subscribers("t")
    made.deliver("t", encode(1), post, LOG, answering)  # type: ignore[arg-type]
    with suppress(Ends):
        post.deliver()
    assert answering.heard == ["its handler raised Ends('now')"]


def test_a_function_that_is_ended_answers() -> None:
    """Everywhere, too; whether it is awaited or not."""
    answering = Answering()
    run = Run(__name__, "ends", (), {})
    with pytest.raises(Ends):
        _called(run, answering)  # type: ignore[arg-type]
    with pytest.raises(Ends):
        asyncio.run(_awaited(run, ends_later(), answering))  # type: ignore[arg-type]
    assert answering.heard == [f"{__name__}.ends raised Ends('now')"] * 2


def test_what_waits_for_a_handler_that_is_closed_is_answered() -> None:
    post, answering = Post(), Answering()
    made, [subscription] = subscribers("t")
    made.deliver("t", encode(1), post, LOG, answering)  # type: ignore[arg-type]
    subscription.close()
    assert answering.heard == [f"{subscription!r} was closed"]
    post.deliver()
    assert len(answering.heard) == 1


def test_as_many_patterns_as_the_primary_takes() -> None:
    """The next one is refused where it is wanted, in place of the channel being closed; one that ends makes room."""
    made, subscriptions = subscribers(*(f"user.{number}" for number in range(MOST_PATTERNS)))
    made.add([Subscription("user.0", ends, made)])
    one_more = Subscription("one.more", ends, made)
    with pytest.raises(ArgumentError, match=f"no more than {MOST_PATTERNS} patterns"):
        made.add([one_more])
    assert "one.more" not in made.patterns
    subscriptions[1].close()
    made.add([one_more])
    assert "one.more" in made.patterns
