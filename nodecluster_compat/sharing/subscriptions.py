"""Keep who in this process has subscribed to what, and deliver to each in order; none waits for another.

Each subscription has a queue of its own, which is bounded: what comes while it is full is dropped and counted, so a
handler that is slow, or never returns, costs that much memory and holds up nobody else.  One deliverer per subscription
tells one message after another; the kind of worker says what that is: a greenlet, a thread, a task that awaits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import msgspec
from msgspec import Struct

from ..base.arity import fitted
from ..base.handler_calls import Origin, awaits_handlers, current_origin, guarded
from ..base.log import Log
from ..errors import ArgumentError, FrameError
from .losses import Reason
from .outcomes import Failure, failure_of
from .topics import MOST_PATTERNS, PatternTable, checked_topic
from .wire import decode_by

__all__ = ["MOST_WAITING", "MOST_WAITING_BYTES", "Answering", "Post", "Subscribers", "Subscription"]

MOST_WAITING: Final = 4096
"""Messages that wait for a slow handler, of each subscription; what comes beyond is dropped and counted."""

MOST_WAITING_BYTES: Final = 16 * 1024 * 1024
"""The bytes that they may have together."""

_MESSAGE: Final = msgspec.msgpack.Decoder[Any]()

Handler = TypeVar("Handler", bound=Callable[..., Any])
Item = TypeVar("Item")


class Post(Protocol):
    """The kind of this process, as delivering needs it."""

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held while what threads share is used."""

    def at_turn_end(self, callback: Callable[[], None]) -> None:
        """Call back, with the lock, before this process waits again."""

    def deliver_apart(self, take: Callable[[], Item | None], tell: Callable[[Item], None]) -> None:
        """Tell one item after another until ``take`` returns ``None``; what that waits for holds up nobody else."""


class Answering(Protocol):
    """Hears how a handler has ended: by a value, or by a failure."""

    def value(self, value: object) -> None:
        """It returned this."""

    def failure(self, failure: Failure) -> None:
        """It raised, or there was no room."""


class Delivery(Struct):
    """A message for one subscription, still encoded."""

    topic: str
    body: bytes | bytearray
    answering: Answering | None = None


class Subscription:
    """One handler of a pattern of topics.

    Attributes:
        pattern: which topics.
        handler: called as ``handler(topic, message)``.
        origin: from where it was registered.
        owner: where it belongs.
        dropped: how many messages were not delivered, because so many waited, or they were of no kind known here.
        delivered: how many were.
    """

    def __init__(self, pattern: str, handler: Callable[..., Any], owner: Subscribers) -> None:
        self.pattern = checked_topic(pattern, "a pattern of topics")
        self.handler = handler
        self.origin: Origin = current_origin()
        self.owner = owner
        self.dropped = 0
        self.delivered = 0
        self.is_open = True
        self._call = fitted(handler, 2, f"the subscriber of {pattern!r}", is_awaited=awaits_handlers())
        self._guarded = guarded(f"the subscriber of {pattern!r}", self.origin, self._handle)
        self._waiting: deque[Delivery] = deque()
        self._waiting_bytes = 0
        self._is_delivering = False
        self._is_full = False

    def __repr__(self) -> str:
        return f"<subscription to {self.pattern!r} of {self.handler!r}>"

    @property
    def waiting(self) -> int:
        """How many messages wait for the handler."""
        return len(self._waiting)

    def close(self) -> None:
        """End it; what waits is not delivered.  A second call is a no-op."""
        self.owner.remove(self)

    # --- for its owner -------------------------------------------------------------------------

    def add(self, delivery: Delivery, log: Log) -> bool:
        """Keep a message for the handler; return whether a deliverer is wanted."""
        size = len(delivery.body)
        if len(self._waiting) >= MOST_WAITING or self._waiting_bytes + size > MOST_WAITING_BYTES:
            self._drop(delivery, log)
            return False
        self._waiting.append(delivery)
        self._waiting_bytes += size
        return not self._is_delivering

    def add_all(self, deliveries: list[Delivery], log: Log) -> bool:
        """Keep several; as :meth:`add`."""
        size = sum([len(one.body) for one in deliveries])
        if len(self._waiting) + len(deliveries) > MOST_WAITING or self._waiting_bytes + size > MOST_WAITING_BYTES:
            wanted = [self.add(one, log) for one in deliveries]
            return wanted[0]
        self._waiting += deliveries
        self._waiting_bytes += size
        return not self._is_delivering

    def _drop(self, delivery: Delivery, log: Log) -> None:
        self.dropped += 1
        self.owner.lost("slow_handler")
        if delivery.answering is not None:
            delivery.answering.failure(Failure("failed", f"too many messages wait for {self.handler!r}"))
        if not self._is_full:
            self._is_full = True
            log.warning("%r is slow: %s messages wait, further ones are dropped", self, len(self._waiting))

    def clear(self) -> None:
        """Deliver nothing any more, and end every wait for an answer."""
        self.is_open = False
        dropped = [one.answering for one in self._waiting if one.answering is not None]
        self._waiting.clear()
        self._waiting_bytes = 0
        for answering in dropped:
            answering.failure(Failure("failed", f"{self!r} was closed"))

    def begin(self, post: Post) -> None:
        """Deliver what waits, unless somebody does."""
        if self._waiting and not self._is_delivering:
            self._is_delivering = True
            is_alone = isinstance(post.lock, nullcontext)  # one thread runs all
            post.deliver_apart(self._take if is_alone else partial(self._take_locked, post.lock), self._tell)

    def _take_locked(self, lock: AbstractContextManager[object]) -> Delivery | None:
        with lock:
            return self._take()

    def _take(self) -> Delivery | None:
        if not self._waiting:
            self._is_delivering = self._is_full = False
            return None
        delivery = self._waiting.popleft()
        self._waiting_bytes -= len(delivery.body)
        self.delivered += 1
        return delivery

    def _tell(self, delivery: Delivery) -> None:
        is_told = False
        try:
            self._guarded(delivery)
            is_told = True
        finally:
            if not is_told:
                self._is_delivering = False  # what ends the deliverer does not end deliveries

    def _handle(self, delivery: Delivery) -> object:
        answering = delivery.answering
        try:
            result = self._call(delivery.topic, decode_by(_MESSAGE, delivery.body))
        except FrameError as error:  # no message at all: the sender's fault, which ends nothing here
            self.dropped += 1
            self.owner.lost("foreign")
            if answering is not None:
                answering.failure(failure_of(error))
            return None
        except BaseException as error:  # what a time limit of gevent's raises, too
            if answering is not None:
                answering.failure(Failure("failed", f"its handler raised {error!r}"))
            raise
        if answering is None:
            return result  # awaited where a loop runs
        if hasattr(type(result), "__await__"):
            return _awaited(result, answering)
        answering.value(result)
        return None


async def _awaited(result: Any, answering: Answering) -> None:  # noqa: ANN401 - anything that is awaited
    try:
        value = await result
    except BaseException as error:
        answering.failure(Failure("failed", f"its handler raised {error!r}"))
        raise
    answering.value(value)


class Subscribers:
    """The subscriptions of this process.

    Args:
        wanted: told of a pattern that is the first, or was the last, of its kind here: ``wanted(pattern, is_wanted)``.
        lost: told why a message was not delivered.
    """

    def __init__(self, wanted: Callable[[str, bool], None], lost: Callable[[Reason], object] = lambda _: None) -> None:
        self.lost = lost
        self._wanted = wanted
        self._table: PatternTable[Subscription] = PatternTable()
        self._woken: list[Subscription] = []

    @property
    def patterns(self) -> Iterable[str]:
        """What is wanted."""
        return tuple(self._table)

    @property
    def all(self) -> list[Subscription]:
        """Every subscription, in the order of their patterns."""
        return [one for pattern in self._table for one in self._table.owners(pattern)]

    def add(self, subscriptions: Iterable[Subscription]) -> None:
        """Deliver to these, which may have been elsewhere before.

        Raises:
            ArgumentError: there would be more than 4096 patterns here.
        """
        for one in subscriptions:
            if len(self._table) >= MOST_PATTERNS and one.pattern not in self._table:
                raise ArgumentError(
                    f"expected no more than {MOST_PATTERNS} patterns in one process, got {one.pattern!r}: close what "
                    "nobody needs, or subscribe to one pattern and look up who wants what"
                )
            one.owner, one.is_open = self, True
            if self._table.add(one.pattern, one):
                self._wanted(one.pattern, True)

    def remove(self, subscription: Subscription) -> None:
        """End a subscription."""
        subscription.clear()
        if self._table.remove(subscription.pattern, subscription):
            self._wanted(subscription.pattern, False)

    def remove_where(self, unwanted: Callable[[Subscription], bool]) -> list[Subscription]:
        """End those that are unwanted; return them for :meth:`add`."""
        removed = [one for one in self.all if unwanted(one)]
        for one in removed:
            self.remove(one)
        return removed

    def matching(self, topic: str) -> tuple[Subscription, ...]:
        """Return those that want a topic."""
        return self._table.matching(topic)

    def deliver(
        self, topic: str, body: bytes | bytearray, post: Post, log: Log, answering: Answering | None = None
    ) -> bool:
        """A message has come: let those who want it have it; return whether anybody does.

        Args:
            topic: of the message.
            body: the message, encoded.
            post: how handlers are called here.
            log: told when a handler is too slow.
            answering: hears what the first of them returns.
        """
        matching = self._table.matching(topic)
        for one in matching:
            if one.add(Delivery(topic, body, answering), log):
                self._wake_later(one, post)
            answering = None
        return bool(matching)

    def deliver_all(self, topic: str, bodies: list[bytes], post: Post, log: Log) -> None:
        """Messages of one topic have come together; as :meth:`deliver`."""
        for one in self._table.matching(topic):
            if one.add_all([Delivery(topic, body) for body in bodies], log):
                self._wake_later(one, post)

    def _wake_later(self, subscription: Subscription, post: Post) -> None:
        if not self._woken:
            post.at_turn_end(lambda: self._wake(post))
        self._woken.append(subscription)

    def _wake(self, post: Post) -> None:
        woken, self._woken = self._woken, []
        for one in woken:
            one.begin(post)
