"""Keep messages on a server until they have been dealt with: one stream of Redis, a consumer group for each name.

    publish ──▶ stream ──▶ each group: delivered to one consumer ──handled──▶ acknowledged ──by all groups──▶ trimmed
                                          ├──its consumer is silent, or its handler raised──▶ to another consumer, later
                                          └──too often──▶ the stream of dead messages

A message goes into the stream once, whatever its topic, so its order is that of all messages.  The stream is bounded
by number and by bytes, whether anybody subscribes or not: beyond that publishing is refused, because whatever was
dropped instead had been promised.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from ..base.variables import DURABLE_BYTES
from . import sizes
from .redis_engine import space_of
from .stream_scripts import BEAT, BURY, CLAIM, JOIN, LET_GO, PUBLISH, RENEW

__all__ = ["MOST_DEAD", "MOST_WAITING", "Full", "StreamEntry", "Streams", "asked_bytes"]

DEFAULT_BYTES: Final = 1024 * 1024 * 1024

MOST_WAITING: Final = 100_000
"""Messages from the oldest on that somebody has not dealt with."""

MOST_DEAD: Final = 10_000
"""Messages that nobody could deal with; beyond that the oldest is forgotten."""

_LEAST_BYTES: Final = 2 * 1024 * 1024  # a message has 1 MiB at most
_ENTRY_BYTES: Final = 64  # what Redis needs beside a message, about
_FORGOTTEN_SECONDS: Final = 7 * 24 * 3600
_IDLE_CONSUMER: Final = 3600 * 1000


def asked_bytes() -> int:
    """Return how many bytes of messages may wait.

    Raises:
        SettingsError: what the environment says is no such number.
    """
    return sizes.asked_bytes(DURABLE_BYTES, _LEAST_BYTES, DEFAULT_BYTES)


class StreamEntry(Struct, frozen=True):
    """A message of the stream, as it is delivered.

    Attributes:
        id: that Redis has given it.
        topic: of the message; ``None`` where it is none of this package's.
        body: the message, encoded.
        attempts: how often it has been delivered, this time included.
    """

    id: str
    topic: str | None
    body: bytes
    attempts: int


class Full(Struct, frozen=True):
    """Why there is no room.

    Attributes:
        messages: so many are there.
        bytes: so many they have.
        slowest: who has not dealt with the oldest; empty where nobody subscribes.
    """

    messages: int
    bytes: int
    slowest: str

    def __str__(self) -> str:
        reason = f"the oldest waits for {self.slowest!r}" if self.slowest else "nobody has subscribed to any"
        return f"{self.messages} of {self.bytes} bytes are kept, and {reason}"


class Streams:
    """Asks the server, each question in one step.

    Args:
        name: of the clusters that share it.
        most: how many messages may wait.
        most_bytes: how many bytes of them; also of those that are dead.
    """

    def __init__(self, name: str, most: int = MOST_WAITING, most_bytes: int = DEFAULT_BYTES) -> None:
        space = space_of(name)
        self.key = f"{space}durable"
        self.dead_key = f"{space}durable:dead"
        self._seen = f"{space}durable:seen"
        self._sizes = f"{space}durable:sizes"
        self._dead_sizes = f"{space}durable:dead:sizes"
        self._most = most
        self._most_bytes = most_bytes

    # --- publishing ----------------------------------------------------------------------------

    def publish(self, client: Any, topic: str, body: bytes) -> Full | None:  # noqa: ANN401 - redis-py's
        """Put a message into the stream; return why there is no room for it, or ``None``: it is kept."""
        keys = [self.key, self._seen, self._sizes]
        bounds = [self._most, self._most_bytes, _FORGOTTEN_SECONDS]
        found = client.eval(PUBLISH, len(keys), *keys, *bounds, topic, body, _ENTRY_BYTES)
        return None if found is None else Full(int(found[0]), int(found[1]), found[2].decode("utf-8", "replace"))

    # --- a group -------------------------------------------------------------------------------

    def join(self, client: Any, group: str) -> None:  # noqa: ANN401 - redis-py's
        """Let there be a group: the first one has all that waits, a further one what comes from now on."""
        client.eval(JOIN, 2, self.key, self._seen, group)

    def beat(self, client: Any, group: str) -> None:  # noqa: ANN401 - redis-py's
        """Say that a group is wanted, and trim what all have dealt with; a group is forgotten after a week of silence.

        What is forgotten with it is what waited for it.
        """
        client.eval(BEAT, 3, self.key, self._seen, self._sizes, _FORGOTTEN_SECONDS, group, _IDLE_CONSUMER)

    def read(self, client: Any, group: str, consumer: str, milliseconds: int) -> StreamEntry | None:  # noqa: ANN401
        """Return a message that the group has not had, for this consumer; wait for one so long."""
        found = client.xreadgroup(group, consumer, {self.key: ">"}, count=1, block=milliseconds)
        rows = next(iter(found.values()))[0] if isinstance(found, dict) and found else found[0][1] if found else []
        return _entry(rows[0][0], rows[0][1], 1) if rows else None

    def claim(self, client: Any, group: str, consumer: str, milliseconds: int) -> StreamEntry | None:  # noqa: ANN401
        """Take over the oldest message that nobody has acknowledged, or renewed, for so long."""
        found = client.eval(CLAIM, 1, self.key, group, consumer, milliseconds)
        if not found:
            return None
        flat = found[1]
        return _entry(found[0], dict(zip(flat[::2], flat[1::2], strict=True)), int(found[2]))

    def renew(self, client: Any, group: str, consumer: str, entry: StreamEntry) -> bool:  # noqa: ANN401 - redis-py's
        """Say that a handler is still at it; return whether it is this consumer's still."""
        return bool(client.eval(RENEW, 1, self.key, group, consumer, entry.id))

    def let_go(self, client: Any, group: str, consumer: str, entry: StreamEntry, milliseconds: int) -> bool:  # noqa: ANN401
        """Leave it to the next consumer that claims old messages, as if this one had never had it."""
        return bool(client.eval(LET_GO, 1, self.key, group, consumer, entry.id, milliseconds))

    def acknowledge(self, client: Any, group: str, entry: StreamEntry) -> None:  # noqa: ANN401 - redis-py's
        """Note that a message has been dealt with."""
        client.xack(self.key, group, entry.id)

    def bury(self, client: Any, group: str, entry: StreamEntry, reason: str) -> None:  # noqa: ANN401 - redis-py's
        """Put it into the stream of dead messages, and deliver it no more."""
        keys = [self.key, self.dead_key, self._dead_sizes]
        message = [entry.topic or "", entry.body, reason]
        bounds = [self._most_bytes, _ENTRY_BYTES]
        client.eval(BURY, len(keys), *keys, group, entry.id, MOST_DEAD, *message, *bounds)


def _entry(number: bytes, fields: dict[bytes, bytes], attempts: int) -> StreamEntry:
    topic = fields.get(b"topic")
    body = fields.get(b"body")
    if topic is None or body is None:
        return StreamEntry(number.decode(), None, b"", attempts)
    return StreamEntry(number.decode(), topic.decode("utf-8", "replace"), body, attempts)
