"""Carry topics between hosts through Redis or Valkey: ``NODECLUSTER_BUS=redis://…`` in the environment.

One worker of each host does it, the leader, over two connections: one publishes, the other one listens.  When it dies
or leaves, the next leader goes on.  The primary has no connection, and no other worker has.

    a worker ──PUBLISH──▶ exchange ──CALL carry──▶ leader ──publish──▶ Redis ──▶ each other host's leader
                                                    subscribers ◀── exchange ◀──CALL inject──┘

Messages are delivered at most once, as Redis' publishing is.  While the server cannot be reached they are kept up to a
bound; beyond it the oldest are lost, which is counted and told.  The publisher notices nothing.  Messages that wait are
published together, so that a server which is far or busy does not hold them up.  If such a batch is lost, all messages
in it are lost of which nobody knows whether they were passed on.  A bridge that ends publishes what it has kept, as far
as it can in two seconds, and counts the rest.  An envelope of another version is skipped and counted.

    envelope = version (1 byte) · host (8 bytes) · the payload of PUBLISH
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from secrets import token_bytes
from typing import TYPE_CHECKING, Any, Final

from ..base.log import Log
from .server import client_of
from .server_address import address_of

if TYPE_CHECKING:
    from .losses import Reason

__all__ = ["MOST_KEPT", "Bridge", "Envelopes"]

MOST_KEPT: Final = 10_000
"""Messages that wait for a server that cannot be reached."""

_MOST_KEPT_BYTES: Final = 16 * 1024 * 1024
_VERSION: Final = 1
_HOST_BYTES: Final = 8
_LEAST_PAUSE: Final = 0.05
_MOST_PAUSE: Final = 0.5
_TIMEOUT: Final = 2.0
_WAKE: Final = b""
_MOST_TOGETHER: Final = 64
_MOST_TOGETHER_BYTES: Final = 256 * 1024
_PUBLISH: Final = """
for at = 1, #ARGV, 2 do redis.call('PUBLISH', ARGV[at], ARGV[at + 1]) end
"""  # a pipeline of redis-py's refuses to publish in a Redis Cluster


class Envelopes:
    """Puts what is published into envelopes, and takes out what other hosts have sent.

    Attributes:
        foreign: how many were of another version, or broken.
    """

    def __init__(self, host: bytes | None = None) -> None:
        self.foreign = 0
        self._head = bytes([_VERSION]) + (host or token_bytes(_HOST_BYTES))

    def seal(self, payload: bytes) -> bytes:
        """Return the envelope of a payload."""
        return self._head + payload

    def open(self, envelope: object) -> bytes | None:
        """Return the payload of another host's envelope; ``None`` for our own, and for what is none."""
        if not isinstance(envelope, bytes) or len(envelope) <= len(self._head) or envelope[0] != _VERSION:
            self.foreign += 1
            return None
        return None if envelope.startswith(self._head) else envelope[len(self._head) :]


class _Kept:
    """What waits, and on which channel, to be published, within bounds: the oldest goes first."""

    def __init__(self, was_lost: Callable[[], object] = lambda: None) -> None:
        self.lost = 0
        self._was_lost = was_lost
        self._items: deque[tuple[bytes, str]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()

    def put(self, item: bytes, channel: str) -> None:
        with self._changed:
            self._items.append((item, channel))
            self._bytes += len(item)
            while len(self._items) > MOST_KEPT or self._bytes > _MOST_KEPT_BYTES:
                self._bytes -= len(self._items.popleft()[0])
                self.lose()
            self._changed.notify()

    @property
    def waits(self) -> bool:
        with self._changed:
            return any(item for item, _ in self._items)

    def lose_all(self) -> None:
        with self._changed:
            for _ in [item for item, _ in self._items if item]:
                self.lose()
            self._items.clear()
            self._bytes = 0

    def lose(self) -> None:
        self.lost += 1
        self._was_lost()

    def take(self, seconds: float) -> list[tuple[bytes, str]]:
        """Return the oldest of what waits, or of what comes in so many seconds."""
        with self._changed:
            if not self._items:
                self._changed.wait(seconds)
            taken: list[tuple[bytes, str]] = []
            size = 0
            while self._items and len(taken) < _MOST_TOGETHER and size < _MOST_TOGETHER_BYTES:
                taken.append(self._items.popleft())
                size += len(taken[-1][0])
            self._bytes -= size
            return taken


class Bridge:
    """This host's connections to the server.

    Args:
        url: of the server, as in the environment.
        name: of the clusters that hear each other.
        inject: told of the payload of each message of another host, in a thread of the bridge's.
        log: told when the server cannot be reached, and what was lost.

        lost: told of so many messages that were lost, and why; in whatever thread.

    Attributes:
        others: who is told what comes on other channels than that of topics; a door, before :meth:`begin`.
        sent: how many messages the server has taken.
        received: how many have come from other hosts.
        is_listening: whether the server passes on what other hosts say, on all channels.
    """

    def __init__(
        self,
        url: str,
        name: str,
        inject: Callable[[bytes], None],
        log: Log,
        lost: Callable[[Reason], object] = lambda _: None,
    ) -> None:
        self.others: dict[bytes, Callable[[bytes], None]] = {}
        self.sent = 0
        self._told_foreign = 0
        self.received = 0
        self.is_listening = False
        self._address = address_of(url)
        self._channel = f"nodecluster:{name}:topics"
        self._inject = inject
        self._log = log
        self._lost = lost
        self._envelopes = Envelopes()
        self._kept = _Kept(partial(lost, "server_away"))
        self._ends = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listening: Any = None

    @property
    def lost(self) -> int:
        """How many messages were lost, because the server could not be reached or refused them."""
        return self._kept.lost

    @property
    def foreign(self) -> int:
        """How many were of another version."""
        return self._envelopes.foreign

    def begin(self) -> None:
        """Connect, and go on connecting."""
        for work in (self._publish_all, self._listen_all):
            thread = threading.Thread(target=work, name="nodecluster-bridge", daemon=True)
            self._threads.append(thread)
            thread.start()

    def end(self, seconds: float = _TIMEOUT) -> None:
        """Publish what waits, and then no more, listen no more; what cannot be published in that time is lost."""
        self._ends.set()
        self._kept.put(_WAKE, "")
        listening = self._listening
        if listening is not None:
            with suppress(Exception):
                listening.close()
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._kept.lose_all()

    def publish(self, payload: bytes) -> None:
        """Send what was published here to the other hosts; waits for nobody."""
        self.publish_on(self._envelopes.seal(payload), self._channel)

    def publish_on(self, data: bytes, channel: str) -> None:
        """Send anything on one of the :attr:`others`, in its order with all that is sent; waits for nobody."""
        self._kept.put(data, channel)

    # --- threads -------------------------------------------------------------------------------

    def _client(self) -> Any:  # noqa: ANN401 - redis-py's, which is optional
        return client_of(self._address, _TIMEOUT)

    def _publish_all(self) -> None:
        self._persist(self._publish_while_connected)
        if self._kept.waits:  # the end came in a pause, or with the first failure of a connection
            with suppress(Exception):
                self._publish_while_connected(lambda: None)

    def _listen_all(self) -> None:
        self._persist(self._listen_while_connected)

    def _persist(self, work: Callable[[Callable[[], None]], None]) -> None:
        pauses = [_LEAST_PAUSE]

        def connected() -> None:
            pauses[0] = _LEAST_PAUSE

        while not self._ends.is_set():
            try:
                work(connected)
            except Exception as error:  # noqa: BLE001 - whatever the server or the network has done
                if not self._ends.is_set() and pauses[0] == _LEAST_PAUSE:
                    self._log.warning("The bus of other hosts cannot be used: %s (%s lost)", error, self.lost)
            self._ends.wait(pauses[0])
            pauses[0] = min(_MOST_PAUSE, pauses[0] * 2)

    def _publish_while_connected(self, connected: Callable[[], None]) -> None:
        client = self._client()
        try:
            client.ping()  # what waits is lost by no connection that cannot be made
            connected()
            while (taken := self._kept.take(0 if self._ends.is_set() else _TIMEOUT)) or not self._ends.is_set():
                self._publish_together(client, [one for one in taken if one[0]])
        finally:
            client.close()

    def _publish_together(self, client: Any, items: list[tuple[bytes, str]]) -> None:  # noqa: ANN401 - redis-py's
        try:
            if len(items) > 1:
                client.eval(_PUBLISH, 0, *[part for item, channel in items for part in (channel, item)])
            elif items:
                client.publish(items[0][1], items[0][0])
        except BaseException:
            for _ in items:
                self._kept.lose()
            raise
        self.sent += len(items)

    def _listen_while_connected(self, connected: Callable[[], None]) -> None:
        client = self._client()
        self._listening = pubsub = client.pubsub(ignore_subscribe_messages=False)
        try:
            pubsub.subscribe(self._channel, *self.others)
            asked_at: float | None = None
            while not self._ends.is_set():
                message = pubsub.get_message(timeout=_TIMEOUT)
                if message is not None:
                    asked_at = None
                    self._heard(message, connected)
                elif asked_at is None:
                    pubsub.ping()  # a server that stands still, or is no longer reached, closes no connection
                    asked_at = time.monotonic()
                elif time.monotonic() - asked_at >= _TIMEOUT:
                    raise TimeoutError(f"nothing was heard for {2 * _TIMEOUT:g} seconds")
        finally:
            self._listening, self.is_listening = None, False
            with suppress(Exception):
                pubsub.close()
            client.close()

    def _heard(self, message: Any, connected: Callable[[], None]) -> None:  # noqa: ANN401 - redis-py's
        if message["type"] == "subscribe":
            self.is_listening = message["data"] > len(self.others)
            connected()
        elif message["type"] == "message":
            self.others.get(message["channel"], self._received)(message["data"])

    def _received(self, envelope: object) -> None:
        payload = self._envelopes.open(envelope)
        if payload is not None:
            self.received += 1
            self._inject(payload)
        elif self.foreign > self._told_foreign:
            self._told_foreign = self.foreign
            self._lost("foreign")
