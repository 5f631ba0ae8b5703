"""Exchange what processes publish and ask of each other: the middle of the sharing, in the primary.

    publish:  a process ──PUBLISH──▶ exchange ──the same bytes──▶ each process that wants the topic
    call:     a process ──CALL─────▶ exchange: verbs in a table ──RETURN──▶ the process
    ask:      a process ──CALL ask─▶ exchange ──CALL──▶ who must answer ──RETURN──▶ gathered ──RETURN──▶ the process
    send:     a verb ──CALL, which wants no RETURN──▶ several processes

All that is published goes through here, in the order in which it comes, so the messages of one publisher have the same
order everywhere.  To a process that does not read nothing is passed on beyond a bound: counted, it holds up nobody.

A process is a :class:`Peer`: a worker, or the primary itself (0).  A capability adds its verbs by
``exchange.verbs.on(verb, handler)``.  No worker is trusted: what makes no sense raises ``FrameError``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, Protocol

from msgspec import Struct

from ..base.log import Log
from ..errors import FrameError
from .asking import Asking, Timers
from .losses import REASONS, Reason
from .outcomes import Failure, Gathered
from .publications import topics_of_run
from .topics import MOST_PATTERNS, MOST_TOPIC_BYTES, PatternTable
from .verbs import PRIMARY, UNASKED, Caller, Moment, Returning, Verbs
from .wire import (
    NO_RETURN,
    decode_call,
    decode_publish,
    decode_return,
    encode,
    encode_call,
    encode_publish,
)

__all__ = ["Ask", "Exchange", "Peer"]

_MOST_CALLS: Final = 4096
_MOST_LOST: Final = 1_000_000_000  # in one report of a worker, which may say anything
_MOST_AFAR: Final = 4 * 1024 * 1024


class Peer(Caller, Protocol):
    """A process that takes part."""

    def publish(self, frame: bytes, topic: str, body: bytes | bytearray) -> bool:
        """Pass a message on; return whether it was taken."""

    def publish_run(self, run: bytes) -> bool:
        """Pass on frames that publish, as they came; return whether they were taken."""

    def call(self, number: int, verb: str, body: bytes) -> bool:
        """Ask it; return whether it was taken."""

    def send(self, frame: bytes, verb: str, body: bytes, is_bounded: bool) -> bool:
        """Pass on a call that wants no answer; return whether it was taken, as it is where there is no bound."""


class Ask(Struct, array_like=True, frozen=True):
    """The arguments of ``ask``: of whom, by which verb, what, and how long."""

    target: int | str | None
    verb: str
    body: bytes
    seconds: float | None


class _Member(Struct):
    """What the exchange knows of a peer."""

    peer: Peer
    open: set[Returning]
    patterns: int = 0
    dropped: int = 0


class Exchange:
    """The middle of the sharing.

    Args:
        timers: of the loop that it runs on.
        log: told when a process is too slow.
        is_alone: whether there is no cluster, and this process does what workers do.

    Attributes:
        has_hosts: whether what is published here is for other hosts, too.
        verbs: the table of calls; a door for capabilities.
        when_told: told of what becomes of a worker, by :class:`Moment` and id; a door, too.
        published: how many messages have come.
        lost: how many were lost anywhere in this cluster, by :data:`~nodecluster_compat.sharing.losses.Reason`.
    """

    def __init__(self, timers: Timers, log: Log, is_alone: bool = False) -> None:
        self.has_hosts = False
        self._is_alone = is_alone
        self.verbs = Verbs()
        self.when_told: list[Callable[[Moment, int], None]] = []
        self.published = 0
        self.lost: Counter[Reason] = Counter()
        self.timers = timers
        self._log = log
        self._members: dict[int, _Member] = {}
        self._wanted: PatternTable[int] = PatternTable()
        self._asking = Asking(timers, self._peer)
        self.gather = self._asking.gather
        self.give = self._asking.give
        self._topics_of = topics_of_run()
        self._bridged_by: int | None = None  # who carries what is published here to other hosts
        self.verbs.on("subscribe", str, self._subscribe)
        self.verbs.on("unsubscribe", str, self._unsubscribe)
        self.verbs.on("ask", Ask, self._ask)
        self.verbs.on("bridge", bool, self._bridge)
        self.verbs.on("inject", bytes, self._inject)
        self.verbs.on("nothing", None, lambda _, __, returning: returning.value(None))  # what came before was passed on
        self.verbs.on("lost", dict[str, int], self._were_lost)

    # --- who is there --------------------------------------------------------------------------

    @property
    def workers(self) -> list[int]:
        """The ids of the workers that are there."""
        return [one for one in self._members if self._is_alone or one != PRIMARY]

    def _peer(self, peer: int) -> Peer | None:
        member = self._members.get(peer)
        return None if member is None else member.peer

    def dropped_for(self, peer: int) -> int:
        """Return how many messages were not passed on to a peer that is there."""
        return self._members[peer].dropped if peer in self._members else 0

    def join(self, peer: Peer) -> None:
        """A process is there."""
        self._members[peer.id] = _Member(peer, set())
        self.tell("joined", peer.id)

    def leave(self, peer: int) -> None:
        """A process has gone: what is asked of it fails, what it has asked interests nobody."""
        member = self._members.pop(peer, None)
        if member is None:
            return
        member.open.clear()
        for pattern in tuple(self._wanted):
            self._wanted.remove(pattern, peer)
        self._asking.left(peer)
        self.tell("left", peer)

    def tell(self, moment: Moment, peer: int) -> None:
        """Something becomes of a worker."""
        for told in self.when_told:
            told(moment, peer)

    def ask(self, peer: int, verb: str, arguments: object, done: Callable[[bool], None] | None = None) -> None:
        """Ask one process for a verb; ``done`` hears whether that was done."""
        body = encode(arguments)
        self.gather([peer], verb, body, None, lambda gathered: done(not gathered.missing) if done else None)

    def send(self, targets: Iterable[int], verb: str, body: bytes, *, is_bounded: bool = True) -> None:
        """Call a verb of several processes, and want no answer.

        Args:
            targets: their ids; one that is not there misses nothing.
            verb: of theirs.
            body: the arguments, encoded.
            is_bounded: whether one that does not read misses it, as it does what is published.
        """
        frame = encode_call(NO_RETURN, verb, body)
        for target in targets:
            member = self._members.get(target)
            if member is not None and not member.peer.send(frame, verb, body, is_bounded):
                self._dropped(member, target)

    # --- publishing ----------------------------------------------------------------------------

    def publish(self, payload: bytes | bytearray) -> None:
        """Pass a message on to those who want it.

        Raises:
            FrameError: the payload holds none.
        """
        if self.has_hosts:
            self._carry(payload)
        self._pass_on(payload)

    def _carry(self, payload: bytes | bytearray) -> None:
        bridge = None if self._bridged_by is None else self._members.get(self._bridged_by)
        if bridge is None:
            self.lost["server_away"] += 1
        elif not bridge.peer.call(NO_RETURN, "afar", encode(bytes(payload), limit=_MOST_AFAR)):
            self._dropped(bridge, bridge.peer.id)

    def _pass_on(self, payload: bytes | bytearray) -> None:
        topic, body = decode_publish(payload)
        self.published += 1
        receivers = self._wanted.matching(topic)
        if receivers:
            frame = encode_publish(topic, bytes(body))
            for receiver in receivers:
                member = self._members[receiver]
                if not member.peer.publish(frame, topic, body):
                    self._dropped(member, receiver)

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
            member = self._members[receiver]
            if not member.peer.publish_run(run):
                self._dropped(member, receiver, count)

    def _bridge(self, peer: Caller, is_bridge: bool, _: Returning) -> None:
        if is_bridge:
            self._bridged_by, self.has_hosts = peer.id, True
        elif self._bridged_by == peer.id:
            self._bridged_by = None

    def _inject(self, peer: Caller, payload: bytes, _: Returning) -> None:
        if peer.id != self._bridged_by:
            return  # it has led, and no longer does
        with suppress(FrameError):  # another host's: the worker that brings it has done nothing wrong
            self._pass_on(payload)

    def _dropped(self, member: _Member, receiver: int, count: int = 1) -> None:
        self.lost["slow_worker"] += count
        told = member.dropped.bit_length()
        member.dropped += count
        if member.dropped.bit_length() > told:  # the first, the second, the fourth, …
            self._log.warning("Worker %s reads too slowly: %s messages for it were dropped", receiver, member.dropped)

    @property
    def dropped(self) -> int:
        """How many were not passed on to somebody who wanted them."""
        return self.lost["slow_worker"]

    def _were_lost(self, _: Caller, counts: dict[str, int], __: Returning) -> None:
        for reason in REASONS:
            self.lost[reason] += max(0, min(counts.get(reason, 0), _MOST_LOST))

    def _subscribe(self, peer: Caller, pattern: str, _: Returning) -> None:
        member = self._members[peer.id]
        if not 0 < len(pattern.encode()) <= MOST_TOPIC_BYTES or member.patterns >= MOST_PATTERNS:
            raise FrameError("a worker subscribes to what is no pattern, or to too many")
        if peer.id not in self._wanted.owners(pattern):
            member.patterns += 1
            self._wanted.add(pattern, peer.id)

    def _unsubscribe(self, peer: Caller, pattern: str, _: Returning) -> None:
        if peer.id in self._wanted.owners(pattern):
            self._members[peer.id].patterns -= 1
            self._wanted.remove(pattern, peer.id)

    # --- calls ---------------------------------------------------------------------------------

    def called(self, peer: int, payload: bytes | bytearray) -> None:
        """A process calls.

        Raises:
            FrameError: the payload holds no call.
        """
        self.call(peer, *decode_call(payload))

    def call(self, peer: int, number: int, verb: str, body: bytes | bytearray) -> None:
        """As :meth:`called`, already decoded."""
        member = self._members.get(peer)
        if member is None:
            return
        if number == NO_RETURN:
            self.verbs.call(member.peer, verb, body, UNASKED)
            return
        returning = Returning(member.peer, number, member.open)
        if len(member.open) > _MOST_CALLS:
            returning.failure(Failure("failed", f"{_MOST_CALLS} calls of this worker wait already"))
        else:
            self.verbs.call(member.peer, verb, body, returning)

    def returned(self, peer: int, payload: bytes | bytearray) -> None:
        """A process answers; what it was not asked is ignored.

        Raises:
            FrameError: the payload holds no answer.
        """
        number, is_done, body = decode_return(payload)
        self.give(peer, number, is_done, body)

    # --- asking others -------------------------------------------------------------------------

    def _ask(self, peer: Caller, asked: Ask, returning: Returning) -> None:
        self.ask_here(asked, returning.value)

    def ask_here(self, asked: Ask, done: Callable[[Gathered], None]) -> None:
        """Ask those of this host whom a process wants to ask; ``done`` is told as by :meth:`gather`.

        Raises:
            FrameError: it asks for what it must not.
        """
        if not _is_time(asked.seconds):
            raise FrameError("a worker asks for an answer in a time that is none")
        if asked.verb not in ("asked", "run"):
            raise FrameError(f"a worker asks others for {asked.verb!r}, which only the primary does")
        self.gather(self._targets(asked.target), asked.verb, asked.body, asked.seconds, done)

    def _targets(self, target: int | str | None) -> list[int]:
        if isinstance(target, int):
            return [target]
        return self.workers if target is None else list(self._wanted.matching(target))


def _is_time(seconds: float | None) -> bool:
    return seconds is None or 0 < seconds < float("inf")
