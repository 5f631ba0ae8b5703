"""Take part in topics of the exchange: what a worker posts to others, and what they post to it.

Callbacks run where frames are read, with the runtime's lock held, and must neither wait nor run code of the user's:
they put what came into a queue.  Whoever empties that queue says so (:meth:`Membership.took`), because what has been
read and not been taken is bounded: beyond that, reading pauses, and the primary holds the rest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from ..base.log import Log
from ..errors import ArgumentError, ClusterError, WouldBlock
from ..messages.channel import PRESSURE_BYTES, SendCallback
from ..messages.exchange_payloads import (
    ALL_OTHERS,
    checked_topic,
    decode_members,
    decode_post,
    encode_join,
    encode_post,
)
from ..messages.frames import Frame

if TYPE_CHECKING:
    from ..messages.line import Line

__all__ = ["ExchangeMember", "Membership", "WaitingRuntime"]

_MOST_WAITING: Final = 4096  # posts that have been read and not been taken; then reading pauses
_MOST_BYTES: Final = 4 * 1024 * 1024


class WaitingRuntime(Protocol):
    """What the exchange asks of the kind of worker that it is in; see ``Runtime`` in ``this_worker``."""

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held by who uses the line."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> object:
        """Call back after ``seconds``, with the lock held."""

    def wait(self, begin: Callable[[Callable[[], None]], None]) -> None:
        """Call ``begin(done)`` and hold the caller up until ``done()`` is called."""

    def waiting(self, begin: Callable[[Callable[[], None]], None]) -> Awaitable[None]:
        """Return what a task awaits: it calls ``begin(done)``, and ends when ``done()`` is called."""


class Membership:
    """This worker's part in one topic.

    Args:
        exchange: of this worker.
        topic: its name, as it travels.
        on_post: called with the sender's id and the body.
        on_members: called when members have come or gone.

    Attributes:
        members: the ids of the other members, as far as this worker has been told.
    """

    def __init__(
        self,
        exchange: ExchangeMember,
        topic: bytes,
        on_post: Callable[[int, bytes], None],
        on_members: Callable[[frozenset[int]], None],
    ) -> None:
        self.members: frozenset[int] = frozenset()
        self.on_post = on_post
        self.on_members = on_members
        self._exchange = exchange
        self._topic = topic

    @property
    def runtime(self) -> WaitingRuntime:
        """The runtime of this worker."""
        return self._exchange.runtime

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held while callbacks run."""
        return self._exchange.lock

    def post(self, body: bytes, target: int = ALL_OTHERS) -> None:
        """Post to one other member, or to all; where much waits already the caller waits, if it may, until it is sent.

        Args:
            body: any bytes.
            target: the id of a member; one that is gone, and 0, stand for all others.

        Raises:
            MessageTooLarge: nothing was sent.
            ArgumentError: no worker has such an id.
        """
        frame = self._exchange.encoded(target, self._topic, body)
        if not self._exchange.is_pressed:
            self._exchange.send(frame, None)
            return
        try:
            self.runtime.wait(lambda done: self._exchange.send(frame, lambda _: done()))
        except WouldBlock:
            self._exchange.send(frame, None)

    async def post_async(self, body: bytes, target: int = ALL_OTHERS) -> None:
        """As :meth:`post`, for tasks."""
        frame = self._exchange.encoded(target, self._topic, body)
        if self._exchange.is_pressed:
            await self.runtime.waiting(lambda done: self._exchange.send(frame, lambda _: done()))
        else:
            self._exchange.send(frame, None)

    def took(self, body: bytes) -> None:
        """A post that was told has been dealt with."""
        self._exchange.took(len(body))


class ExchangeMember:
    """The exchange as one worker sees it.

    Args:
        line: to the primary.
        log: told of what could not be sent.
        limit: the largest message in bytes.

    Attributes:
        lock: held by whoever uses the line.
        runtime: of the worker, once it is up.
    """

    def __init__(self, line: Line, log: Log, limit: int) -> None:
        self.lock: AbstractContextManager[object] = nullcontext()
        self.runtime: WaitingRuntime
        self._line = line
        self._log = log
        self._limit = limit
        self._by_topic: dict[bytes, Membership] = {}
        self._waiting = 0
        self._waiting_bytes = 0
        self._is_paused = False

    def attach(self, runtime: WaitingRuntime) -> None:
        """The runtime is up."""
        self.runtime = runtime
        self.lock = runtime.lock

    def join(
        self,
        name: str,
        on_post: Callable[[int, bytes], None],
        on_members: Callable[[frozenset[int]], None],
    ) -> Membership:
        """Take part in a topic, until this process ends.

        Args:
            name: of the topic.
            on_post: called with the id of the sender and the body of what other members post.
            on_members: called with the ids of the other members, when they change.

        Raises:
            ArgumentError: somebody in this worker takes part already, or the name is empty or too long.
        """
        topic = checked_topic(name)
        with self.lock:
            if topic in self._by_topic:
                raise ArgumentError(f"expected a topic in which this worker takes no part yet, got {name!r}")
            membership = self._by_topic[topic] = Membership(self, topic, on_post, on_members)
            self._line.send_own(encode_join(topic))
        return membership

    @property
    def is_pressed(self) -> bool:
        """Whether much waits for the primary already."""
        return self._line.queued_bytes >= PRESSURE_BYTES

    def encoded(self, target: int, topic: bytes, body: bytes) -> bytes:
        """Return the frame of a post."""
        return encode_post(target, topic, body, self._limit)

    def send(self, frame: bytes, callback: SendCallback | None) -> None:
        """Queue a frame; one that cannot be sent is logged, unless the worker is on its way out."""
        with self.lock:
            self._line.post(frame, callback or partial(_report, self._log))

    def posted(self, frame: Frame) -> None:
        """Another worker has posted."""
        post = decode_post(frame.payload)
        membership = self._by_topic.get(post.topic)
        if membership is None:
            return
        self._waiting += 1
        self._waiting_bytes += len(post.body)
        membership.on_post(post.peer, post.body)
        if not self._is_paused and (self._waiting >= _MOST_WAITING or self._waiting_bytes >= _MOST_BYTES):
            self._is_paused = True
            self._line.pause_reading(self)

    def told_members(self, frame: Frame, own_id: int) -> None:
        """Members of a topic have come or gone."""
        topic, members = decode_members(frame.payload)
        membership = self._by_topic.get(topic)
        if membership is not None:
            membership.members = members - {own_id}
            membership.on_members(membership.members)

    def took(self, size: int) -> None:
        """A post of that many bytes was dealt with."""
        with self.lock:
            self._waiting -= 1
            self._waiting_bytes -= size
            if self._is_paused and not self._waiting:
                self._is_paused = False
                self._line.resume_reading(self)


def _report(log: Log, error: ClusterError | None) -> None:
    if error is not None and error.code is None:  # not for a channel that is closed: this worker ends
        log.error("What this worker posted to others was not sent: %s", error)
