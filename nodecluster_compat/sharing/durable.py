"""Publish what must not be lost, and subscribe to it: ``durable`` of ``cluster.bus``.

What keeps a message until somebody has dealt with it is the server of ``NODECLUSTER_BUS``.  A host by itself has
nothing that outlives it, so there publishing is refused, and a subscription hears nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..base.variables import BUS
from ..errors import ArgumentError, ClusterError, StoreFull, StoreUnavailable, WouldBlock
from ..roles.answers import waited
from .apart import apart
from .server_address import address_of, asked_name, asked_url

if TYPE_CHECKING:
    from ..base.handler_calls import Origin
    from .consumer import Consumer, DurableSubscription
    from .server import Server
    from .sides import Around

__all__ = ["Durables"]

_NO_SERVER: Final = f"expected {BUS} to name a server, which keeps durable messages: nothing of one host outlives it"


class Durables:
    """Publishes and subscribes to durable messages, in this process.

    Args:
        sharing: around it.
        host: returns the name of this host.
        check_waiting: raises where this code must not wait for a server.
        check_for_workers: raises where this code is the primary's.
    """

    def __init__(
        self,
        sharing: Around,
        host: Callable[[], str],
        check_waiting: Callable[[], None] = lambda: None,
        check_for_workers: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._sharing = sharing
        self._host = host
        self._check_waiting = check_waiting
        self._check_for_workers = check_for_workers
        self._subscriptions: dict[str, DurableSubscription] = {}
        self._consumers: dict[str, Consumer] = {}
        self._server: Server | None = None
        self._pid = 0
        self._leaves = False

    # --- publishing ----------------------------------------------------------------------------

    def publish(self, topic: str, body: bytes) -> bool:
        """Have the server keep a message; waits for it.

        Raises:
            StoreUnavailable: there is none, it cannot be reached, or refuses.
            StoreFull: so much waits already, of a name that subscribes or of nobody.
            SettingsError: how much may wait is no number.
            WouldBlock: this code must not wait.
        """
        if self._sharing.member is None:
            self._check_waiting()
            return self._publish(topic, body)
        try:
            return bool(waited(self._sharing.side.wait, lambda replied: replied(None, self._publish(topic, body))))
        except WouldBlock as error:
            raise WouldBlock(
                "expected code that may wait for a server to publish what is durable: in a task write "
                "'await cluster.bus.publish_async(..., durable=True)', elsewhere take a thread"
            ) from error

    async def publish_async(self, topic: str, body: bytes) -> bool:
        """As :meth:`publish`, for tasks."""
        return bool(await apart(self._sharing.side.waiting, partial(self._publish, topic, body)))

    def _publish(self, topic: str, body: bytes) -> bool:
        if not asked_url():
            raise StoreUnavailable(_NO_SERVER)
        from .streams import Streams, asked_bytes

        streams = Streams(asked_name(), most_bytes=asked_bytes())
        full = self._own_server.ask(lambda client: streams.publish(client, topic, body))
        if full is not None:
            raise StoreFull(f"expected room for a durable message: {full}")
        return True

    @property
    def _own_server(self) -> Server:
        if self._server is None or self._pid != os.getpid():
            from .server import Server

            self._server, self._pid = Server(asked_url()), os.getpid()
        return self._server

    # --- subscribing ---------------------------------------------------------------------------

    def subscribe(self, pattern: str, handler: Callable[..., Any], durable: bool | str) -> DurableSubscription:
        """Deal with messages here, or in the workers to come.

        Raises:
            ArgumentError: another handler has this name.
            NotInCluster: this is the primary, which may not wait for handlers.
        """
        self._check_for_workers("a durable subscription")
        from .consumer import DurableSubscription

        name = _group_name(durable, handler)
        one = DurableSubscription(pattern, handler, name, self._close)
        former = self._subscriptions.get(name)
        if former is not None and (former.pattern != pattern or not _is_same(former.handler, handler)):
            raise ArgumentError(
                f"expected another name than {name!r}, by which {former.handler!r} subscribes to {former.pattern!r}: "
                "each message goes to one of those who have a name"
            )
        if former is not None:
            former.close()
        self._subscriptions[name] = one
        if self._runs:
            self._begin(one)
        return one

    @property
    def _runs(self) -> bool:
        member = self._sharing.member
        return member is not None and member.runtime is not None and not self._leaves

    def attached(self) -> None:
        """Begin: this process is a worker that runs."""
        self._consumers, self._leaves = {}, False
        member = self._sharing.member
        if member is not None:
            member.on("disconnecting", lambda _: self.leave())
        for one in list(self._subscriptions.values()):
            self._begin(one)

    def leave(self) -> None:
        """Take no further messages: this worker leaves."""
        self._leaves = True
        for consumer in self._consumers.values():
            consumer.end()

    def forget(self, origin: Origin) -> None:
        """A file is executed again, and what it has subscribed to is no more."""
        for one in list(self._subscriptions.values()):
            if one.origin == origin:
                one.close()

    def _begin(self, one: DurableSubscription) -> None:
        if not asked_url():
            self._sharing.log.error("%r hears nothing: %s", one, _NO_SERVER)
            return
        try:
            consumer = self._consumer(one)
        except ClusterError as error:
            self._sharing.log.error("%r hears nothing: %s", one, error)
            return
        self._consumers[one.name] = consumer
        consumer.begin()

    def _consumer(self, one: DurableSubscription) -> Consumer:
        member = self._sharing.member
        assert member is not None
        assert member.runtime is not None
        from .consumer import Consumer
        from .streams import Streams, asked_bytes

        return Consumer(
            one,
            Streams(asked_name(), most_bytes=asked_bytes()),
            address_of(asked_url()),
            f"{self._host()}:{member.id}",
            member.runtime.spawn,
            self._sharing.log,
            self._sharing.losses.count,
        )

    def _close(self, one: DurableSubscription) -> None:
        if self._subscriptions.get(one.name) is one:
            del self._subscriptions[one.name]
            consumer = self._consumers.pop(one.name, None)
            if consumer is not None:
                consumer.end()


def _is_same(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Whether it is the same function, of a module that was perhaps executed again."""
    names = [(getattr(call, "__module__", None), getattr(call, "__qualname__", None)) for call in (one, other)]
    return one is other or (names[0] == names[1] and None not in names[0] and "<lambda>" not in str(names[0][1]))


def _group_name(durable: bool | str, handler: Callable[..., Any]) -> str:
    if isinstance(durable, str):
        return durable
    return f"{handler.__module__}:{getattr(handler, '__qualname__', handler)!s}"
