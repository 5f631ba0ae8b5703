"""Connect this process with the exchange: over its channel, or directly where the exchange is in this process.

a worker:                    WorkerSide ──frames──▶ exchange in the primary
the primary:                 DirectSide ──calls───▶ exchange, on the primary's loop
a program without a cluster: DirectSide ──calls───▶ an exchange of its own, in the caller's thread
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from ..base.log import Log
from ..errors import NO_EVENT_LOOP, ChannelFull, FrameError, MessageTooLarge, NotInCluster, WouldBlock
from ..messages.frames import HEADER, Frame, FrameKind
from .calls import Calls
from .exchange import PRIMARY, UNASKED, Exchange, Returning, Verbs
from .outcomes import Done, failure_of
from .subscriptions import Post, Subscribers
from .wire import (
    NO_RETURN,
    decode_call,
    decode_publish,
    decode_return,
    encode,
    encode_call,
    encode_publish,
    encode_return,
)

if TYPE_CHECKING:
    from ..base.loop import Loop
    from ..roles.primary import Primary
    from ..roles.this_worker import ClusterWorker, Runtime

__all__ = ["MOST_UNREAD_BYTES", "Around", "DirectSide", "LocalPost", "PrimaryPost", "Side", "WorkerSide", "running"]

MOST_UNREAD_BYTES: Final = 16 * 1024 * 1024
"""What may wait on a channel for a process that does not read; what is published beyond that is dropped and counted."""

_SLICE: Final = 64

Item = TypeVar("Item")
Begin = Callable[[Callable[[], None]], None]


class Side(Protocol):
    """Where this process stands in the sharing."""

    @property
    def id(self) -> int:
        """The worker's id; 0 elsewhere."""

    @property
    def post(self) -> Post:
        """How handlers are called here."""

    def publish(self, topic: str, body: bytes) -> bool:
        """Publish an encoded message; return whether it is on its way."""

    def want(self, pattern: str, is_wanted: bool) -> None:
        """Somebody here wants what matches a pattern, or nobody does any more."""

    def call(self, verb: str, body: bytes, done: Done | None) -> None:
        """Call a verb of the exchange; ``done`` hears what came of it, the value still encoded, with the lock held.

        Raises:
            MessageTooLarge, ChannelFull: nothing was sent.
        """

    def soon(self, call: Callable[..., object], *args: object) -> None:
        """Call code of the user's on a later turn."""

    def wait(self, begin: Begin) -> None:
        """See :meth:`~nodecluster_compat.roles.this_worker.Runtime.wait`."""

    def waiting(self, begin: Begin) -> Awaitable[None]:
        """See :meth:`~nodecluster_compat.roles.this_worker.Runtime.waiting`."""


class Around(Protocol):
    """What a capability asks of the sharing around it."""

    @property
    def member(self) -> ClusterWorker | None:
        """This worker; ``None`` in other processes."""

    @property
    def side(self) -> Side:
        """Where this process stands."""

    @property
    def log(self) -> Log:
        """Told what goes wrong."""


def running(member: ClusterWorker) -> Runtime:
    """Return the kind of worker that this one is.

    Raises:
        NotInCluster: it does not run yet.
    """
    if member.runtime is None:
        raise NotInCluster("expected a worker that runs, and this one is not up yet")
    return member.runtime


class WorkerSide:
    """A worker's.

    Args:
        member: this worker.
        subscribers: of this process.
        verbs: what the exchange can ask of this process.
        log: told of slow handlers.
    """

    def __init__(self, member: ClusterWorker, subscribers: Subscribers, verbs: Verbs, log: Log) -> None:
        self._member = member
        self._subscribers = subscribers
        self._verbs = verbs
        self._log = log
        self._calls = Calls()
        self._open: set[Returning] = set()
        member.frames.on(FrameKind.PUBLISH, self._published)
        member.frames.on(FrameKind.CALL, self._called)
        member.frames.on(FrameKind.RETURN, self._returned)
        member.when_closed.append(self._calls.closed)

    @property
    def id(self) -> int:
        """This worker's id."""
        return self._member.id

    @property
    def runtime(self) -> Runtime:
        """The kind of worker that it is.

        Raises:
            NotInCluster: it does not run yet.
        """
        return running(self._member)

    @property
    def post(self) -> Post:
        """What delivers to handlers: the kind of worker that it is."""
        return self.runtime

    # --- out -----------------------------------------------------------------------------------

    def publish(self, topic: str, body: bytes) -> bool:
        """See :class:`Side`."""
        return self._member.send_frame(self._checked(encode_publish(topic, body)), MOST_UNREAD_BYTES)

    def want(self, pattern: str, is_wanted: bool) -> None:
        """See :class:`Side`."""
        self.call("subscribe" if is_wanted else "unsubscribe", encode(pattern), None)

    def call(self, verb: str, body: bytes, done: Done | None) -> None:
        """See :class:`Side`."""
        if done is None:
            self._member.send_frame(self._checked(encode_call(NO_RETURN, verb, body)))
            return
        with self.runtime.lock:
            number = self._calls.begin(done)
            is_sent = self._member.send_frame(self._checked(encode_call(number, verb, body)), MOST_UNREAD_BYTES)
            if not is_sent:
                self._calls.end(number, self._refusal())

    def _refusal(self) -> Exception | None:
        if not self._member.is_connected():
            self._calls.closed()
            return None
        return ChannelFull(f"{MOST_UNREAD_BYTES} bytes already wait for the primary, which does not read")

    def _checked(self, frame: bytes) -> bytes:
        limit = self._member.max_message_bytes
        if len(frame) - HEADER.size > limit:
            raise MessageTooLarge(f"expected at most {limit} bytes (max_message_bytes), got {len(frame)}")
        return frame

    def give(self, number: int, is_done: bool, body: bytes) -> None:
        """Answer what the exchange has asked."""
        self._member.send_frame(encode_return(number, is_done, body))

    # --- in ------------------------------------------------------------------------------------

    def _published(self, _: object, frame: Frame) -> None:
        topic, body = decode_publish(frame.payload)
        self._subscribers.deliver(topic, body, self.runtime, self._log)

    def _called(self, _: object, frame: Frame) -> None:
        number, verb, body = decode_call(frame.payload)
        returning = UNASKED if number == NO_RETURN else Returning(self, number, self._open)
        try:
            self._verbs.call(self, verb, body, returning)
        except FrameError as error:  # what another worker asked for: the channel to the primary is in order
            returning.failure(failure_of(error))

    def _returned(self, _: object, frame: Frame) -> None:
        self._calls.returned(*decode_return(frame.payload))

    # --- waiting -------------------------------------------------------------------------------

    def soon(self, call: Callable[..., object], *args: object) -> None:
        """See :class:`Side`."""
        self.runtime.call_soon(call, *args)

    def wait(self, begin: Begin) -> None:
        """See :class:`Side`."""
        self.runtime.wait(begin)

    def waiting(self, begin: Begin) -> Awaitable[None]:
        """See :class:`Side`."""
        return self.runtime.waiting(begin)


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
    """That of a process which has the exchange itself: a :class:`Side` and a peer.

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

    def want(self, pattern: str, is_wanted: bool) -> None:
        """See :class:`Side`."""
        self.call("subscribe" if is_wanted else "unsubscribe", encode(pattern), None)

    def call(self, verb: str, body: bytes, done: Done | None) -> None:
        """See :class:`Side`."""
        number = NO_RETURN if done is None else self._calls.begin(done)
        self._waiter.run(self.exchange.call, PRIMARY, number, verb, body)

    def deliver(self, topic: str, body: bytes | bytearray) -> bool:
        """Pass on what was published."""
        self._subscribers.deliver(topic, body, self.post, self._log)
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


class PrimaryPost:
    """How the primary calls handlers and waits: on its loop, where nothing may wait."""

    def __init__(self, primary: Primary) -> None:
        self.lock: AbstractContextManager[object] = nullcontext()
        self._primary = primary

    @property
    def _loop(self) -> Loop:
        return self._primary.loop

    def at_turn_end(self, callback: Callable[[], None]) -> None:
        """See :class:`~nodecluster_compat.sharing.subscriptions.Post`."""
        self._loop.call_soon(callback)

    def deliver_apart(self, take: Callable[[], Item | None], tell: Callable[[Item], None]) -> None:
        """Tell some, and the others on later turns."""
        for _ in range(_SLICE):
            item = take()
            if item is None:
                return
            tell(item)
        self._loop.call_soon(self.deliver_apart, take, tell)

    def wait(self, begin: Begin) -> None:
        """See :meth:`~nodecluster_compat.roles.primary.Primary.wait_for`."""
        self._primary.wait_for(begin)

    def waiting(self, begin: Begin) -> Awaitable[None]:
        """Nothing awaits here.

        Raises:
            WouldBlock: always.
        """
        raise WouldBlock(NO_EVENT_LOOP)

    def check_waiting(self) -> None:
        """Refuse to wait for a server on the loop, unless it is a script's own turn.

        Raises:
            WouldBlock: it is neither another thread nor that.
        """
        if not self._loop.is_elsewhere() and self._primary.turn is None:
            raise WouldBlock("expected a worker, or a thread: in the primary nothing may wait for a server")

    def run(self, call: Callable[..., Any], *args: object) -> None:
        """On the loop's thread."""
        if self._loop.is_elsewhere():
            self._loop.call_soon_threadsafe(call, *args)
        else:
            call(*args)

    def soon(self, call: Callable[..., object], *args: object) -> None:
        """On a later turn."""
        self._loop.call_soon_threadsafe(call, *args)


class LocalPost:
    """How a program without a cluster calls handlers and waits: in whichever thread there is."""

    def __init__(self) -> None:
        self.lock: AbstractContextManager[object] = threading.RLock()

    def at_turn_end(self, callback: Callable[[], None]) -> None:
        """At once: the caller has no turns."""
        callback()

    def deliver_apart(self, take: Callable[[], Item | None], tell: Callable[[Item], None]) -> None:
        """At once, in the thread of whoever publishes."""
        while (item := take()) is not None:
            tell(item)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> threading.Timer:
        """Call back in a thread, with the lock."""
        timer = threading.Timer(seconds, self.run, (callback,))
        timer.daemon = True
        timer.start()
        return timer

    def wait(self, begin: Begin) -> None:
        """Hold up this thread."""
        done = threading.Event()
        begin(done.set)
        done.wait()

    async def waiting(self, begin: Begin) -> None:
        """Hold up this task; whoever awaits has loaded asyncio, which nothing here may do."""
        loop = sys.modules["asyncio"].get_running_loop()
        future = loop.create_future()
        begin(partial(loop.call_soon_threadsafe, _settle, future))
        await future

    def check_waiting(self) -> None:
        """Whoever calls may wait."""

    def run(self, call: Callable[..., Any], *args: object) -> None:
        """In this thread, alone."""
        with self.lock:
            call(*args)

    def soon(self, call: Callable[..., object], *args: object) -> None:
        """At once."""
        call(*args)


def _settle(future: Any) -> None:  # noqa: ANN401 - of asyncio
    if not future.done():
        future.set_result(None)
