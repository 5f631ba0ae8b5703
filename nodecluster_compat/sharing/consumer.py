"""Handle durable messages in this worker: one thread for each subscription, one message at a time.

    read or claimed ──▶ handler ──returned──▶ acknowledged
                           ├──raised──▶ left, and delivered again after a while, to whichever worker
                           └──raised, and it was the last attempt──▶ buried

While the handler is at it the message is renewed, so that nobody else gets it.  A worker that has gone renews nothing,
and another one takes its message over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from fnmatch import translate
from functools import partial
from re import compile as compiled
from typing import TYPE_CHECKING, Any, Final

from ..base.arity import fitted
from ..base.handler_calls import Origin, awaits_handlers, current_origin, run_guarded
from ..errors import FrameError
from .server import client_of
from .topics import checked_topic
from .wire import decode

if TYPE_CHECKING:
    from ..base.log import Log
    from .losses import Reason
    from .server_address import ServerAddress
    from .streams import StreamEntry, Streams

__all__ = ["LEASE_SECONDS", "MOST_ATTEMPTS", "Consumer", "DurableSubscription"]

LEASE_SECONDS: Final = 10.0
"""Until a message is delivered again that was not acknowledged: its worker has gone, or its handler has raised."""

MOST_ATTEMPTS: Final = 5
"""How often a message is delivered before it is buried."""

_RENEWALS: Final = 3
_BLOCK: Final = 1.0
_TIMEOUT: Final = 3.0
_BEAT: Final = 5.0
_LEAST_PAUSE: Final = 0.05
_MOST_PAUSE: Final = 0.5

Spawn = Callable[[Callable[[], None], Callable[[], None]], None]


class DurableSubscription:
    """One handler of messages that are kept until it has returned.

    Attributes:
        pattern: which topics.
        name: of the group: each message goes to one worker of those that subscribe by it, on whichever host.
        handler: called as ``handler(topic, message)``.
        delivered: how many messages this worker has dealt with.
        failed: how often the handler has raised here.
        buried: how many messages were given up here.
    """

    def __init__(
        self, pattern: str, handler: Callable[..., Any], name: str, closed: Callable[[DurableSubscription], None]
    ) -> None:
        self.pattern = checked_topic(pattern, "a pattern of topics")
        self.name = checked_topic(name, "the name of a durable subscription")
        self.handler = handler
        self.origin: Origin = current_origin()
        self.delivered = self.failed = self.buried = 0
        self._closed = closed
        self._matches = compiled(translate(pattern)).match
        self.call = fitted(handler, 2, f"the subscriber of {pattern!r}", is_awaited=awaits_handlers())

    def __repr__(self) -> str:
        return f"<durable subscription {self.name!r} to {self.pattern!r} of {self.handler!r}>"

    def wants(self, topic: str) -> bool:
        """Whether a topic matches."""
        return self._matches(topic) is not None

    def close(self) -> None:
        """Deal with no more messages in this worker; what is under way ends.  A second call is a no-op."""
        self._closed(self)


class _Attempt:
    """One call of the handler."""

    def __init__(self, subscription: DurableSubscription, entry: StreamEntry) -> None:
        self.reason: str | None = "its handler was ended"
        self.done = threading.Event()
        self._subscription = subscription
        self._entry = entry

    def run(self) -> None:
        one = self._subscription
        run_guarded(f"the durable subscriber of {one.pattern!r}", one.origin, self._handle)

    def _handle(self) -> object:
        try:
            result = self._subscription.call(self._entry.topic, decode(self._entry.body))
        except FrameError as error:
            self.reason = str(error)
            return None
        except Exception as error:
            self.reason = f"its handler raised {error!r}"
            raise
        if hasattr(type(result), "__await__"):
            return self._await(result)
        self.reason = None
        return None

    async def _await(self, result: Any) -> None:  # noqa: ANN401 - anything that is awaited
        try:
            await result
        except Exception as error:
            self.reason = f"its handler raised {error!r}"
            raise
        self.reason = None


class Consumer:
    """Deals with what one subscription gets, on a thread of its own.

    Args:
        subscription: that.
        streams: where its messages are.
        address: of the server.
        name: of this worker among all hosts'.
        spawn: runs a call beside requests, and another one after it.
        log: told what goes wrong.
        lost: told of a message that was given up.
        lease: seconds until a message is delivered again that was not acknowledged.
    """

    def __init__(
        self,
        subscription: DurableSubscription,
        streams: Streams,
        address: ServerAddress,
        name: str,
        spawn: Spawn,
        log: Log,
        lost: Callable[[Reason], object] = lambda _: None,
        lease: float = LEASE_SECONDS,
    ) -> None:
        self.subscription = subscription
        self._streams = streams
        self._address = address
        self._name = name
        self._spawn = spawn
        self._log = log
        self._lost = lost
        self._lease = lease
        self._ends = threading.Event()
        self._looks_at = 0.0
        self._beats_at = 0.0
        self._thread = threading.Thread(target=self._persist, name="nodecluster-durable", daemon=True)

    def begin(self) -> None:
        """Deal with messages from now on."""
        self._thread.start()

    def end(self, seconds: float = 0.0) -> None:
        """Take no further message; wait so long for the one that is under way."""
        self._ends.set()
        if seconds:
            self._thread.join(seconds)

    # --- the thread ----------------------------------------------------------------------------

    def _persist(self) -> None:
        pause = _LEAST_PAUSE
        is_told = False
        while not self._ends.is_set():
            began = time.monotonic()
            try:
                self._work()
            except Exception as error:  # noqa: BLE001 - whatever the server or the network has done
                if time.monotonic() - began > _BLOCK:
                    pause, is_told = _LEAST_PAUSE, False
                if not is_told and not self._ends.is_set():
                    self._log.warning("%r waits for its server: %s", self.subscription, error)
                    is_told = True
            self._ends.wait(pause)
            pause = min(_MOST_PAUSE, pause * 2)

    def _work(self) -> None:
        client = client_of(self._address, _TIMEOUT)
        try:
            self._streams.join(client, self.subscription.name)
            while not self._ends.is_set():
                self._beat(client)
                entry = self._next(client)
                if entry is None:
                    continue
                if self._ends.is_set():  # it has come while this worker began to leave
                    self._streams.let_go(client, self.subscription.name, self._name, entry, _milliseconds(self._lease))
                else:
                    self._deal_with(client, entry)
        finally:
            client.close()

    def _beat(self, client: Any) -> None:  # noqa: ANN401 - redis-py's
        now = time.monotonic()
        if now >= self._beats_at:
            self._beats_at = now + _BEAT
            self._streams.beat(client, self.subscription.name)

    def _next(self, client: Any) -> StreamEntry | None:  # noqa: ANN401 - redis-py's
        group = self.subscription.name
        if time.monotonic() >= self._looks_at:
            entry = self._streams.claim(client, group, self._name, _milliseconds(self._lease))
            if entry is not None:
                return entry
            self._looks_at = time.monotonic() + self._lease / _RENEWALS
        block = min(_BLOCK, self._lease / _RENEWALS)
        return self._streams.read(client, group, self._name, _milliseconds(block))

    def _deal_with(self, client: Any, entry: StreamEntry) -> None:  # noqa: ANN401 - redis-py's
        if entry.topic is None:
            self._bury(client, entry, "it is no message of this package's")
        elif not self.subscription.wants(entry.topic):
            self._streams.acknowledge(client, self.subscription.name, entry)
        elif entry.attempts > MOST_ATTEMPTS:
            self._bury(client, entry, f"{MOST_ATTEMPTS} workers have ended over it")
        else:
            self._attempt(client, entry)

    def _attempt(self, client: Any, entry: StreamEntry) -> None:  # noqa: ANN401 - redis-py's
        one = self.subscription
        attempt = _Attempt(one, entry)
        self._spawn(attempt.run, attempt.done.set)
        while not attempt.done.wait(self._lease / _RENEWALS):
            self._renew(client, entry)
        if attempt.reason is None:
            one.delivered += 1
            self._acknowledge(client, entry)
            return
        one.failed += 1
        if entry.attempts >= MOST_ATTEMPTS:
            self._bury(client, entry, attempt.reason)
        else:
            self._log.warning(
                "%r could not deal with message %s of %r (attempt %s of %s, again in %g s): %s",
                *(one, entry.id, entry.topic, entry.attempts, MOST_ATTEMPTS, self._lease, attempt.reason),
            )

    def _renew(self, client: Any, entry: StreamEntry) -> None:  # noqa: ANN401 - redis-py's
        """A server that is away for a moment does not end a handler: at worst the message is delivered again."""
        self._try(partial(self._streams.renew, client, self.subscription.name, self._name, entry))

    def _acknowledge(self, client: Any, entry: StreamEntry) -> None:  # noqa: ANN401 - redis-py's
        acknowledge = partial(self._streams.acknowledge, client, self.subscription.name, entry)
        until = time.monotonic() + self._lease
        while not self._try(acknowledge) and time.monotonic() < until:
            time.sleep(_LEAST_PAUSE)

    @staticmethod
    def _try(call: Callable[[], object]) -> bool:
        try:
            call()
        except Exception:  # noqa: BLE001 - as in _persist
            return False
        return True

    def _bury(self, client: Any, entry: StreamEntry, reason: str) -> None:  # noqa: ANN401 - redis-py's
        self._streams.bury(client, self.subscription.name, entry, reason)
        self.subscription.buried += 1
        self._lost("given_up")
        self._log.error(
            "%r gives up message %s of %r after %s attempts: %s.  It is kept in the stream %s",
            *(self.subscription, entry.id, entry.topic, entry.attempts, reason, self._streams.dead_key),
        )


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
