"""Pass on published messages to the subscribers of their topics: once to each process, and to other hosts.

All messages that are published in a cluster go through here, in the order in which they come, so those of one publisher
have the same order everywhere.  A process that does not read gets nothing beyond a bound: what it misses is counted,
and it holds up nobody.

One worker, the *bridge*, carries messages to other hosts, and brings theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Protocol

from ..base.log import Log
from ..errors import FrameError
from .losses import REASONS, Reason
from .publications import topics_of_run
from .topics import MOST_PATTERNS, MOST_TOPIC_BYTES, PatternTable
from .verbs import Caller, Returning, Verbs
from .wire import NO_RETURN, decode_publish, encode, encode_publish

__all__ = ["FanOut", "Receiver"]

_MOST_LOST: Final = 1_000_000_000  # in one report of a worker, which may say anything
_MOST_CARRIED: Final = 4 * 1024 * 1024


class Receiver(Protocol):
    """A process that may want what is published."""

    def publish(self, frame: bytes, topic: str, body: bytes | bytearray) -> bool:
        """Pass a message on; return whether it was taken."""

    def publish_run(self, run: bytes) -> bool:
        """Pass on frames that publish, as they came; return whether they were taken."""

    def call(self, number: int, verb: str, body: bytes) -> bool:
        """Ask it; return whether it was taken."""


class FanOut:
    """Passes on what is published in one cluster.

    Args:
        verbs: gets those by which processes subscribe, and by which the bridge comes and goes.
        receivers: the processes that are there, by id; kept by somebody else.
        log: told when a process is too slow.

    Attributes:
        has_hosts: whether what is published here is for other hosts, too.
        published: how many messages have come.
        lost: how many were lost anywhere in this cluster, by :data:`~nodecluster_compat.sharing.losses.Reason`.
        missed: how many were not passed on to a process that is there, by its id.
    """

    def __init__(self, verbs: Verbs, receivers: Mapping[int, Receiver], log: Log) -> None:
        self.has_hosts = False
        self.published = 0
        self.lost: Counter[Reason] = Counter()
        self.missed: Counter[int] = Counter()
        self._receivers = receivers
        self._log = log
        self._wanted: PatternTable[int] = PatternTable()
        self._patterns: Counter[int] = Counter()  # how many each process wants
        self._topics_of = topics_of_run()
        self._bridge: int | None = None
        verbs.on("subscribe", str, self._subscribe)
        verbs.on("unsubscribe", str, self._unsubscribe)
        verbs.on("bridge", bool, self._become_bridge)
        verbs.on("inject", bytes, self._inject)
        verbs.on("lost", dict[str, int], self._were_lost)

    # --- who wants what ------------------------------------------------------------------------

    def wanting(self, topic: str) -> tuple[int, ...]:
        """Return the ids of those who want a topic."""
        return self._wanted.matching(topic)

    def forget(self, receiver: int) -> None:
        """A process has gone."""
        for pattern in tuple(self._wanted):
            self._wanted.remove(pattern, receiver)
        del self._patterns[receiver], self.missed[receiver]

    def _subscribe(self, peer: Caller, pattern: str, _: Returning) -> None:
        if not 0 < len(pattern.encode()) <= MOST_TOPIC_BYTES or self._patterns[peer.id] >= MOST_PATTERNS:
            raise FrameError("a worker subscribes to what is no pattern, or to too many")
        if peer.id not in self._wanted.owners(pattern):
            self._patterns[peer.id] += 1
            self._wanted.add(pattern, peer.id)

    def _unsubscribe(self, peer: Caller, pattern: str, _: Returning) -> None:
        if peer.id in self._wanted.owners(pattern):
            self._patterns[peer.id] -= 1
            self._wanted.remove(pattern, peer.id)

    # --- passing on ----------------------------------------------------------------------------

    def publish(self, payload: bytes | bytearray) -> None:
        """Pass a message on to those who want it.

        Raises:
            FrameError: the payload holds none.
        """
        if self.has_hosts:
            self._carry(payload)
        self._pass_on(payload)

    def _pass_on(self, payload: bytes | bytearray) -> None:
        topic, body = decode_publish(payload)
        self.published += 1
        receivers = self._wanted.matching(topic)
        if receivers:
            frame = encode_publish(topic, bytes(body))
            for receiver in receivers:
                if not self._receivers[receiver].publish(frame, topic, body):
                    self.miss(receiver)

    def publish_run(self, run: bytes) -> bool:
        """Pass on frames that publish and came together, as they came; return whether that was done.

        What other hosts hear is carried message by message, and what is wrong with a frame :meth:`publish` says.
        """
        places = None if self.has_hosts else self._topics_of(run)
        if places is None:
            return False
        receivers: tuple[int, ...] = ()
        begin = end = count = 0
        for topic, first, last, messages in places:
            wanted = self._wanted.matching(topic)
            if wanted != receivers:
                self._pass_on_run(run[begin:end], count, receivers)
                receivers, begin, count = wanted, first, 0
            end, count = last, count + messages
        self._pass_on_run(run[begin:end], count, receivers)
        return True

    def _pass_on_run(self, run: bytes, count: int, receivers: tuple[int, ...]) -> None:
        self.published += count
        for receiver in receivers:
            if not self._receivers[receiver].publish_run(run):
                self.miss(receiver, count)

    # --- what is lost --------------------------------------------------------------------------

    def miss(self, receiver: int, count: int = 1) -> None:
        """Count what was not passed on to a process that reads too slowly."""
        self.lost["slow_worker"] += count
        told = self.missed[receiver].bit_length()
        self.missed[receiver] += count
        if self.missed[receiver].bit_length() > told:  # the first, the second, the fourth, …
            missed = self.missed[receiver]
            self._log.warning("Worker %s reads too slowly: %s messages for it were dropped", receiver, missed)

    def _were_lost(self, _: Caller, counts: dict[str, int], __: Returning) -> None:
        for reason in REASONS:
            self.lost[reason] += max(0, min(counts.get(reason, 0), _MOST_LOST))

    # --- other hosts ---------------------------------------------------------------------------

    def _carry(self, payload: bytes | bytearray) -> None:
        bridge = None if self._bridge is None else self._receivers.get(self._bridge)
        if self._bridge is None or bridge is None:
            self.lost["server_away"] += 1
        elif not bridge.call(NO_RETURN, "carry", encode(bytes(payload), limit=_MOST_CARRIED)):
            self.miss(self._bridge)

    def _become_bridge(self, peer: Caller, is_bridge: bool, _: Returning) -> None:
        if is_bridge:
            self._bridge, self.has_hosts = peer.id, True
        elif self._bridge == peer.id:
            self._bridge = None

    def _inject(self, peer: Caller, payload: bytes, _: Returning) -> None:
        if peer.id != self._bridge:
            return  # it has led, and no longer does
        with suppress(FrameError):  # another host's: the worker that brings it has done nothing wrong
            self._pass_on(payload)
