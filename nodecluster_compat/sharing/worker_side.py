"""Connect a worker with the exchange in its primary: by frames over its channel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from ..base.log import Log
from ..errors import ChannelFull, ClusterError, FrameError, MessageTooLarge, WouldBlock
from ..messages.frames import HEADER, Frame, FrameKind
from .calls import Calls
from .outcomes import Done, failure_of
from .publications import bodies_of_run
from .publishing_pace import PublishingPace
from .sides import MOST_UNREAD_BYTES, Begin, running
from .subscriptions import Post, Subscribers
from .verbs import UNASKED, Returning, Verbs
from .wire import (
    NO_RETURN,
    decode_call,
    decode_publish,
    decode_return,
    encode,
    encode_call,
    encode_publication,
    encode_publish,
    encode_return,
)

if TYPE_CHECKING:
    from ..roles.this_worker import ClusterWorker
    from ..roles.worker_runtime import Runtime
    from .losses import Reason

__all__ = ["WorkerSide"]

_NOTHING: Final = encode(None)


class WorkerSide:
    """A worker's :class:`~nodecluster_compat.sharing.sides.Side`.

    Args:
        member: this worker.
        subscribers: of this process.
        verbs: what the exchange can ask of this process.
        log: told of slow handlers.
        lost: told why a message was not published.
    """

    def __init__(
        self,
        member: ClusterWorker,
        subscribers: Subscribers,
        verbs: Verbs,
        log: Log,
        lost: Callable[[Reason], object] = lambda _: None,
    ) -> None:
        self._lost = lost
        self._member = member
        self._subscribers = subscribers
        self._verbs = verbs
        self._log = log
        self._calls = Calls()
        self._pace = PublishingPace(self._when_passed_on, self._later)
        self._open: set[Returning] = set()
        self._is_due = False  # the last publisher is to be held up
        self._bodies_of = bodies_of_run()
        member.frames.on(FrameKind.PUBLISH, self._published)
        member.take_published_by(self._published_together)
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
        post = self._member.publish_quickly
        if post is None or not isinstance(post(encode_publication(topic, body)), bool):
            return self._offer(encode_publish(topic, body), True)
        self._note_sent()
        return True

    def tell(self, verb: str, body: bytes, eases: bool = False) -> bool:
        """See :class:`Side`."""
        return self._offer(encode_call(NO_RETURN, verb, body), eases)

    def _offer(self, frame: bytes, eases: bool) -> bool:
        is_sent = self._member.send_frame(self._checked(frame), MOST_UNREAD_BYTES)
        if not is_sent and self._member.is_connected():
            self._lost("slow_primary")
        elif eases:
            self._note_sent()
        return is_sent

    def _note_sent(self) -> None:
        """Hold up a publisher that is too fast, if it may wait; :meth:`ease` holds up a task."""
        self._is_due = self._pace.counts() or self._member.is_pressed
        runtime = self._member.runtime
        if self._is_due and runtime is not None:
            with suppress(WouldBlock, ClusterError):
                runtime.wait(self._hold)

    def _hold(self, done: Callable[[], None]) -> None:
        with self.runtime.lock:
            self._pace.hold(done)

    def _when_passed_on(self, told: Callable[[], None]) -> None:
        self.call("nothing", _NOTHING, lambda _, __: told())

    def _later(self, seconds: float, callback: Callable[[], None]) -> None:
        def call_back() -> None:
            with self.runtime.lock:
                callback()

        later: Any = self.runtime
        later.call_later(seconds, call_back)

    async def ease(self) -> None:
        """Hold up a task that publishes too fast."""
        runtime = self._member.runtime
        if runtime is not None and self._is_due:
            await runtime.waiting(self._hold)

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
        """Answer what the exchange has asked: by a failure, where the answer is too large."""
        frame = encode_return(number, is_done, body)
        try:
            self._checked(frame)
        except MessageTooLarge as error:  # the primary would close the channel
            frame = encode_return(number, False, encode(failure_of(error)))
        self._member.send_frame(frame)

    # --- in ------------------------------------------------------------------------------------

    def _published(self, _: object, frame: Frame) -> None:
        topic, body = decode_publish(frame.payload)
        self._subscribers.deliver(topic, body, self.runtime, self._log)

    def _published_together(self, run: bytes) -> bool:
        groups = self._bodies_of(run)
        if groups is None:
            return False
        post = self.runtime
        for topic, bodies in groups:
            self._subscribers.deliver_all(topic, bodies, post, self._log)
        return True

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
