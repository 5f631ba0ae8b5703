"""Connect a process that has the exchange itself with it: a primary, on its loop, or a program without a cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from ..messages.frames import HEADER
from .calls import Calls
from .publications import bodies_of_run
from .verbs import PRIMARY, UNASKED, Returning, Verbs
from .wire import NO_RETURN, encode, encode_publish

if TYPE_CHECKING:
    from ..base.log import Log
    from .exchange import Exchange
    from .outcomes import Done
    from .sides import Begin
    from .subscriptions import Post, Subscribers

__all__ = ["DirectSide", "Waiter"]


class Waiter(Protocol):
    """How something waits in a process that has the exchange."""

    def wait(self, begin: Begin) -> None:
        """Call ``begin(done)`` and wait until ``done()`` is called."""

    def waiting(self, begin: Begin) -> Awaitable[None]:
        """The same, to be awaited."""

    def run(self, call: Callable[..., Any], *args: object) -> None:
        """Touch the exchange: at once where that is safe."""

    def soon(self, call: Callable[..., object], *args: object) -> None:
        """Call code of the user's."""

    def check_waiting(self) -> None:
        """See :meth:`DirectSide.check_waiting`."""


class DirectSide:
    """The side of a process that has the exchange itself: a :class:`Side` and a peer.

    Args:
        exchange: in this process.
        post: how handlers are called here.
        waiter: how something waits here.
        subscribers: of this process.
        verbs: what the exchange can ask of this process.
        log: told of slow handlers.
    """

    id = PRIMARY

    def __init__(
        self,
        exchange: Exchange,
        post: Post,
        waiter: Waiter,
        subscribers: Subscribers,
        verbs: Verbs,
        log: Log,
    ) -> None:
        self.exchange = exchange
        self.post = post
        self._waiter = waiter
        self._subscribers = subscribers
        self._verbs = verbs
        self._log = log
        self._calls = Calls()
        self._bodies_of = bodies_of_run()
        self._open: set[Returning] = set()
        self.soon = waiter.soon
        self.wait = waiter.wait
        self.check_waiting = waiter.check_waiting
        self.waiting = waiter.waiting
        self._peer = _OwnPeer(self)
        exchange.join(self._peer)

    def publish(self, topic: str, body: bytes) -> bool:
        """See :class:`Side`."""
        self._waiter.run(self.exchange.publish, encode_publish(topic, body)[HEADER.size :])
        return True

    async def ease(self) -> None:
        """See :class:`Side`: nothing waits here."""

    def want(self, pattern: str, is_wanted: bool) -> None:
        """See :class:`Side`."""
        self.call("subscribe" if is_wanted else "unsubscribe", encode(pattern), None)

    def tell(self, verb: str, body: bytes, eases: bool = False) -> bool:
        """See :class:`Side`."""
        self.call(verb, body, None)
        return True

    def call(self, verb: str, body: bytes, done: Done | None) -> None:
        """See :class:`Side`."""
        number = NO_RETURN if done is None else self._calls.begin(done)
        self._waiter.run(self.exchange.call, PRIMARY, number, verb, body)

    def deliver(self, topic: str, body: bytes | bytearray) -> bool:
        """Pass on what was published."""
        self._subscribers.deliver(topic, body, self.post, self._log)
        return True

    def deliver_run(self, run: bytes) -> bool:
        """Pass on what was published together."""
        for topic, bodies in self._bodies_of(run) or ():
            self._subscribers.deliver_all(topic, bodies, self.post, self._log)
        return True

    def called(self, number: int, verb: str, body: bytes) -> bool:
        """The exchange asks this process."""
        returning = UNASKED if number == NO_RETURN else Returning(_Back(self), number, self._open)
        self._verbs.call(self._peer, verb, body, returning)
        return True

    def returned(self, number: int, is_done: bool, body: bytes) -> None:
        """The exchange answers this process."""
        self._calls.returned(number, is_done, body)

    def give(self, number: int, is_done: bool, body: bytes) -> None:
        """Answer what the exchange has asked, from whatever thread."""
        self._waiter.run(self.exchange.give, PRIMARY, number, is_done, body)


class _OwnPeer:
    """This process as the exchange sees it."""

    id = PRIMARY

    def __init__(self, side: DirectSide) -> None:
        self._side = side

    def publish(self, frame: bytes, topic: str, body: bytes | bytearray) -> bool:
        return self._side.deliver(topic, body)

    def publish_run(self, run: bytes) -> bool:
        return self._side.deliver_run(run)

    def call(self, number: int, verb: str, body: bytes) -> bool:
        return self._side.called(number, verb, body)

    def send(self, frame: bytes, verb: str, body: bytes, is_bounded: bool) -> bool:
        return self._side.called(NO_RETURN, verb, body)

    def give(self, number: int, is_done: bool, body: bytes) -> None:
        self._side.returned(number, is_done, body)


class _Back:
    """The exchange as this process answers it."""

    id = PRIMARY

    def __init__(self, side: DirectSide) -> None:
        self.give = side.give
