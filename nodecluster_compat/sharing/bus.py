"""Publish to topics, subscribe to them, and ask other processes: ``cluster.bus``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, overload

import msgspec

from ..base.arity import checked_callback
from ..base.handler_calls import current_origin, run_guarded
from ..errors import ArgumentError, ArgumentTypeError, ClusterError
from ..roles.answers import Replied, awaited, waited
from ..roles.requests import checked_request_timeout
from .exchange import Ask
from .outcomes import Failure, Gathered, RemoteWorker, Replies, error_of, key_of
from .topics import checked_topic
from .wire import decode, encode

if TYPE_CHECKING:
    from .consumer import DurableSubscription
    from .durable import Durables
    from .outcomes import Answer
    from .sides import Side
    from .subscriptions import Subscription

__all__ = ["ALL", "AllWorkers", "Bus"]

Handler = TypeVar("Handler", bound=Callable[..., Any])


class AllWorkers:
    """Every worker, as the target of a request."""

    def __repr__(self) -> str:
        return "bus.ALL"


ALL: Final = AllWorkers()


class Asked(msgspec.Struct, array_like=True, frozen=True):
    """A request that is to be answered: the topic, ``None`` for the event ``request``, and the message."""

    topic: str | None
    message: msgspec.Raw


class _Door:
    """What a bus asks of the sharing around it."""

    @property
    def side(self) -> Side:
        raise NotImplementedError

    def subscribe(self, pattern: str, handler: Callable[..., Any]) -> Subscription:
        raise NotImplementedError

    @property
    def durables(self) -> Durables:
        raise NotImplementedError


class Bus:
    """Messages between all processes of a cluster, by topic.

    A message is anything that MessagePack carries: ``None``, ``bool``, numbers, ``str``, ``bytes``, lists, dicts,
    datetimes; 1 MiB at most.  It reaches a subscriber at most once, and those of one publisher in their order; one that
    is ``durable`` is dealt with at least once, by one worker of those that subscribe for that.

    Attributes:
        ALL: every worker, as the target of :meth:`request`.
    """

    ALL: Final = ALL

    def __init__(self, sharing: Any) -> None:  # noqa: ANN401 - see _Door
        self._sharing: _Door = sharing

    # --- topics --------------------------------------------------------------------------------

    def publish(self, topic: str, message: object = None, *, durable: bool = False) -> bool:
        """Send a message to everybody who has subscribed to its topic, in whatever process; waits for none of them.

        A publisher that makes no pause is held up, where code may wait: after 64 messages within 20 ms until the
        primary has passed them on and for as long again, which takes a few milliseconds, and 50 at most.

        Args:
            topic: 1 to 255 bytes as UTF-8.
            message: what to send.
            durable: have the server of ``NODECLUSTER_BUS`` keep it until each durable subscription has dealt with it,
                and wait until it does; others do not hear it.

        Returns:
            Whether it is on its way: not where 16 MiB already wait for a primary that does not read, nor once the
            channel is closed.

        Raises:
            ArgumentError: the topic is none.
            MessageNotSerializable, MessageTooLarge: nothing was sent.
            StoreUnavailable: of a durable one: there is no server, it cannot be reached, or refuses; where it has not
                answered, it may keep the message all the same.
            StoreFull: 100 000 durable messages, or 1 GiB of them, are kept already: dealt with late, or by nobody.
            WouldBlock: this code must not wait for a server; in a task write ``await cluster.bus.publish_async(...)``.
        """
        name, body = checked_topic(topic), encode(message)
        return self._sharing.durables.publish(name, body) if durable else self._sharing.side.publish(name, body)

    async def publish_async(self, topic: str, message: object = None, *, durable: bool = False) -> bool:
        """Send a message, and await that it is kept, if it is durable: :meth:`publish` for tasks.

        Another one is awaited only where much is published without a pause.

        Raises:
            WouldBlock: a durable one, in a worker that has no event loop (only ``ASGIWorker`` has one).
            ClusterError: as :meth:`publish`.
        """
        if not durable:
            is_sent = self.publish(topic, message)
            await self._sharing.side.ease()
            return is_sent
        return await self._sharing.durables.publish_async(checked_topic(topic), encode(message))

    @overload
    def subscribe(self, pattern: str, *, durable: bool | str = False) -> Callable[[Handler], Handler]: ...
    @overload
    def subscribe(
        self, pattern: str, handler: Callable[..., Any], *, durable: Literal[False] = False
    ) -> Subscription: ...
    @overload
    def subscribe(
        self, pattern: str, handler: Callable[..., Any], *, durable: Literal[True] | str
    ) -> DurableSubscription: ...
    def subscribe(
        self, pattern: str, handler: Callable[..., Any] | None = None, *, durable: bool | str = False
    ) -> Subscription | DurableSubscription | Callable[[Handler], Handler]:
        """Call ``handler(topic, message)`` for each message whose topic matches; without a handler, return a decorator.

        The handler runs beside requests and may block; messages behind it wait for it, up to a bound, and no other
        subscriber does.  What it returns answers a :meth:`request` to the topic.  In an ``ASGIWorker`` it may be
        ``async def``.

        Args:
            pattern: a topic, or several as a shell has it: ``cache.*``, ``user.[0-9]``.
            handler: what to call.
            durable: deal with messages that are published as durable, and with no others: each goes to one worker, of
                whichever host, and is done with when the handler has returned.  If it raises, or its worker ends, the
                message is delivered again, to any worker; after five attempts it is put aside.  So the handler may be
                called more than once for a message, and not in their order.  A text is the name of those who share the
                messages; ``True``: the name of the function in its module.

        Returns:
            The subscription, to ``close()`` it, and to read ``dropped``.

        Raises:
            ArgumentError: the pattern is none, or the handler can never be called; another one has the same name; this
                process subscribes to 4096 patterns already.
            NotInCluster: it is durable, and for the primary.
        """
        if handler is not None:
            return self._subscribe(pattern, handler, durable)
        checked_topic(pattern, "a pattern of topics")

        def decorate(function: Handler) -> Handler:
            self._subscribe(pattern, function, durable)
            return function

        return decorate

    def _subscribe(
        self, pattern: str, handler: Callable[..., Any], durable: bool | str
    ) -> Subscription | DurableSubscription:
        if durable is False:
            return self._sharing.subscribe(pattern, handler)
        return self._sharing.durables.subscribe(pattern, handler, durable)

    def broadcast(self, message: object) -> bool:
        """Send a message to the primary and all workers but this one, where it is a ``message`` event.

        It is one in order with what ``send`` has sent, and carries what :meth:`publish` does, whatever the
        ``serialization`` is.  It stays on this host.

        Returns:
            Whether it is on its way, as :meth:`publish` has it.

        Raises:
            MessageNotSerializable, MessageTooLarge: nothing was sent.
        """
        return self._sharing.side.tell("broadcast", encode(message), True)

    async def broadcast_async(self, message: object) -> bool:
        """Send a message as :meth:`broadcast` does, and await that the primary keeps up: for tasks.

        Raises:
            MessageNotSerializable, MessageTooLarge: nothing was sent.
        """
        is_sent = self.broadcast(message)
        await self._sharing.side.ease()
        return is_sent

    # --- requests ------------------------------------------------------------------------------

    def request(
        self,
        target: int | str | AllWorkers,
        message: object = None,
        callback: Callable[..., Any] | None = None,
        *,
        timeout: float | None = 30.0,
    ) -> Any:  # noqa: ANN401 - a message, or replies
        """Ask one worker, the subscribers of a topic, or all workers, and wait; requests are served meanwhile.

        Args:
            target: a worker's id, and it hears ``request(message, reply)``; :attr:`ALL`, and every worker does; a
                topic, and its subscribers answer by what they return, one for each process.  The latter two are those
                of all hosts, where ``NODECLUSTER_BUS`` names a server.
            message: what to ask.
            callback: called with ``(error, result)``, and then nothing is waited for, and nothing returned.
            timeout: seconds above 0; ``None``: as long as those who must answer live.

        Returns:
            What one worker has replied.  For a topic and for all :class:`~nodecluster_compat.sharing.outcomes.Replies`:
            who must answer is fixed when the request is passed on, and it ends when the last of them has answered or
            ended, or the time is over; ``missing`` says who has not answered, and why.

        Raises:
            RequestFailed, RequestTimedOut, WorkerGone: one worker did not answer.
            ChannelClosed: the primary has gone.
            WouldBlock: there is no callback, and this code must not wait.
            ArgumentError: target, callback or time-out are none.
            MessageNotSerializable, MessageTooLarge: nothing was sent.
        """
        seconds = checked_request_timeout(timeout)
        call = checked_callback(callback, 2, "the callback of request()")
        begin = self._asking(target, message, seconds)
        side = self._sharing.side
        if call is None:
            return waited(side.wait, begin)
        origin = current_origin()
        begin(lambda error, value: side.soon(run_guarded, "request", origin, call, error, value))
        return None

    async def request_async(
        self, target: int | str | AllWorkers, message: object = None, *, timeout: float | None = 30.0
    ) -> Any:  # noqa: ANN401 - as request()
        """Ask, and await the answer: :meth:`request` for tasks.

        Raises:
            WouldBlock: this worker has no event loop (only ``ASGIWorker`` has one).
            ClusterError: as :meth:`request`.
        """
        begin = self._asking(target, message, checked_request_timeout(timeout))
        return await awaited(self._sharing.side.waiting, begin)

    def _asking(self, target: object, message: object, seconds: float | None) -> Callable[[Replied], None]:
        if isinstance(target, bool) or not isinstance(target, int | str | AllWorkers):
            raise ArgumentTypeError(f"expected a worker's id, a topic or bus.ALL as target, got {target!r}")
        topic = checked_topic(target) if isinstance(target, str) else None
        if isinstance(target, int) and target < 1:
            raise ArgumentError(f"expected a worker's id, which is 1 or more, got {target}: ask the primary by process")
        body = encode(Asked(topic, msgspec.Raw(encode(message))))
        return self.asking(None if isinstance(target, AllWorkers) else target, "asked", body, seconds)

    def asking(
        self, target: int | str | None, verb: str, body: bytes, seconds: float | None
    ) -> Callable[[Replied], None]:
        """Return what asks by any verb, when it is called with the callback for the outcome."""
        arguments = encode(Ask(target, verb, body, seconds))
        side = self._sharing.side

        def begin(done: Replied) -> None:
            side.call(
                "ask" if isinstance(target, int) else "ask all hosts",
                arguments,
                lambda error, value: _ended(target, done, error, value),
            )

        return begin


def _ended(target: int | str | None, done: Replied, error: Exception | None, value: Any) -> None:  # noqa: ANN401
    replies: Any = None
    if error is None:
        try:
            replies = _replies(decode(value, Gathered))
            if isinstance(target, int):
                replies = _only(replies)
        except ClusterError as wrong:
            error = wrong
    done(error, None if error is not None else replies)


def _replies(gathered: Gathered) -> Replies:
    answers: dict[int | RemoteWorker, Any] = {}
    missing = {key_of(one): error_of(Failure(one.cause, one.reason)) for one in gathered.missing}
    for one in gathered.answers:
        _decode_answer(one, answers, missing)
    return Replies(answers, missing)


def _decode_answer(
    answer: Answer, answers: dict[int | RemoteWorker, Any], missing: dict[int | RemoteWorker, ClusterError]
) -> None:
    try:
        answers[key_of(answer)] = decode(answer.value)
    except ClusterError as error:
        missing[key_of(answer)] = error


def _only(replies: Replies) -> Any:  # noqa: ANN401 - a message
    for value in replies.values():
        return value
    raise next(iter(replies.missing.values()))
