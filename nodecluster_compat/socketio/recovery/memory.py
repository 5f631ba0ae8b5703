"""Remember for one worker what its clients and those of others would ask for: packets, sessions.  Pure but for a clock.

Who can say what a client has missed?  Each worker that lives says which packets *it* sent, and those of workers that
are gone; the union, in the order in which they were sent, is what the client gets.  That is all of it if every sender
still has its packets of that time, and if somebody was there the whole time or was handed what was sent before.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from typing import Any, Final

from msgspec import Struct

from .offsets import NOTHING, Offset, decode_offset, encode_offset
from .packet_log import Packet, PacketLog
from .reservations import Reservations
from .sessions import Session, Sessions
from .telling import in_pieces

__all__ = ["HandedOver", "Memory", "Missed", "now_in_milliseconds"]

_SLACK_MILLISECONDS: Final = 60_000  # until a connection that is dead is known to be: packets are kept so much longer
_MOST_MOVED: Final = 100_000
_MOST_GIVEN: Final = 10_000


class Missed(Struct):
    """What one worker has to say of what a client missed.

    Attributes:
        packets: that it knows of and the client does not.
        complete_since: it has all of its packets since then.
        knows_since: it knows of all packets of workers that are gone, since then.
        seen: the offset of its clients; a worker of an earlier version does not say it.
    """

    packets: list[Packet]
    complete_since: int
    knows_since: int
    seen: str = ""


class HandedOver(Struct):
    """What a worker that leaves hands to the others; in parts, of which the last says so.

    Attributes:
        packets: that it has sent, or that those sent who are gone.
        knows_since: as in :class:`Missed`.
        is_last: whether all has been handed over.
    """

    packets: list[Packet]
    knows_since: int
    is_last: bool


def now_in_milliseconds() -> int:
    """Return the time of a clock that all processes of this machine share and that only goes on."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000_000


class Memory:
    """See the module.

    Args:
        worker_id: of this worker.
        seconds: how long a client may stay away.
        clock: milliseconds that only go on, the same for all workers.
        decode: what was encoded of the packets that this worker emits.

    Attributes:
        lock: held while something is numbered and posted, and while packets are looked at.
    """

    def __init__(
        self,
        worker_id: int,
        seconds: float,
        clock: Callable[[], int] = now_in_milliseconds,
        decode: Callable[[bytes], dict[str, Any]] = json.loads,
    ) -> None:
        milliseconds = int(seconds * 1000)
        self.lock: AbstractContextManager[object] = threading.RLock()
        self.worker_id = worker_id
        self.sessions = Sessions(milliseconds)
        self.reservations = Reservations()
        self.clock = clock
        self._decode = decode
        self.offset: Offset = Offset(clock(), {})
        self._keeps = milliseconds + _SLACK_MILLISECONDS
        self._log = PacketLog(self._keeps)
        self._gone: dict[int, int] = {}  # since when, of those of whom there may be packets
        self._sent = 0
        self._given: dict[tuple[int, int], list[str]] = {}  # what clients had from answers, and may come here yet
        self._moved: dict[str, int] = {}
        self._knows_since = clock()
        self._seniors: set[int] | None = None
        self._handed: dict[int, int] = {}

    # --- packets -------------------------------------------------------------------------------

    def next_packet(self) -> tuple[int, int, int]:
        """Return the sender, the number and the time of what this worker emits next; :meth:`received` uses it up."""
        return self.worker_id, self._sent + 1, self.clock()

    def received(self, sender: int, number: int, sent_at: int, told: dict[str, Any], size: int) -> list[str]:
        """A packet goes to the clients of this worker, of whomever it is; return the ids of those who have it."""
        if sender == self.worker_id:
            self._sent = max(self._sent, number)  # of another manager of this process, perhaps
        self._log.add(Packet(sender, number, sent_at, told, size), self.clock())
        self.offset = self.offset.with_packet(sender, number, sent_at)
        return self._given.pop((sender, number), [])

    def offset_now(self) -> str:
        """Return the offset of clients that have all that went to them."""
        return encode_offset(self.offset)

    def base_now(self) -> str:
        """Return the offset of a client that connects: nothing from before is its own."""
        return encode_offset(Offset(self.clock(), self.offset.seen))

    def missed(
        self, offset: Offset, sid: str, namespace: str, rooms: Collection[str], alive: Collection[int] | None
    ) -> Missed:
        """Return what a client does not have.

        Args:
            offset: how far it has got.
            sid: its id.
            namespace: in which.
            rooms: where it is, its own room among them.
            alive: the workers that answer for themselves; ``None``: return the packets of all.
        """
        for_themselves = set(alive or ()) - {self.worker_id}
        newer = self._log.after(offset, self.clock(), for_themselves)
        packets = [one.whole(self._decode) for one in newer if one.is_for(sid, namespace, rooms)]
        return Missed(packets, self._log.complete_since, self._knows_since, self.offset_now())

    @staticmethod
    def merged(offset: Offset, began: int, parts: Iterable[Missed]) -> list[Packet] | None:
        """Return what the client gets, in order; ``None`` if that may not be all.

        Args:
            offset: how far it had got.
            began: when it connected first.
            parts: what each worker has to say.
        """
        all_parts = list(parts)
        if any(part.complete_since > offset.time for part in all_parts):
            return None
        if min(part.knows_since for part in all_parts) > offset.time:
            return None
        packets: dict[tuple[int, int], Packet] = {}
        for one in (one for part in all_parts for one in part.packets if one.time >= began):
            known = packets.setdefault((one.sender, one.number), one)
            # Each has heard what comes from another host at a time of its own: the first keeps order.
            if one.time < known.time:
                packets[one.sender, one.number] = one
        return sorted(packets.values(), key=lambda one: (one.time, one.sender, one.number))

    def credible(self, offset: Offset, session: Session, parts: Iterable[Missed]) -> Offset:
        """Return how far a client has got: what it says goes into the offsets of others, and it may say anything.

        Args:
            offset: that it says.
            session: of the client.
            parts: what each worker has to say.
        """
        known = self.offset.with_all_of(decode_offset(session.base) or NOTHING)
        for part in parts:
            known = known.with_all_of(decode_offset(part.seen) or NOTHING)
            for packet in part.packets:
                known = known.with_packet(packet.sender, packet.number, packet.time)
        return offset.within(known)

    def takes_in(self, sid: str, offset: Offset, packets: Iterable[Packet]) -> None:
        """A client comes that has seen so much, and is sent these packets: its offsets go on from there.

        What workers that live have sent until then has come here, because their answers came behind it.  All but what
        came by another way: what its former worker passes on may come later, and the client has it then.
        """
        for packet in packets:
            offset = offset.with_packet(packet.sender, packet.number, packet.time)
            if (packet.sender, packet.number) not in self._log:
                self._given.setdefault((packet.sender, packet.number), []).append(sid)
        while len(self._given) > _MOST_GIVEN:
            del self._given[next(iter(self._given))]
        self.offset = self.offset.with_all_of(offset)

    def greeted(self, seen: object) -> None:
        """Another worker says what it has seen: this one is new, and its clients have nothing of that to come."""
        offset = decode_offset(seen)
        if offset is not None:
            self.offset = self.offset.with_all_of(offset)

    # --- who is where --------------------------------------------------------------------------

    def has_moved(self, sid: str, home: int) -> None:
        """A client is another worker's now, whatever its id says."""
        self._moved.pop(sid, None)
        self._moved[sid] = home
        if len(self._moved) > _MOST_MOVED:
            del self._moved[next(iter(self._moved))]

    def moves_no_more(self, sid: str) -> None:
        """A client has gone for good."""
        self._moved.pop(sid, None)

    def home_of(self, sid: str) -> int | None:
        """Return the worker that a client has moved to; ``None`` if it never has."""
        return self._moved.get(sid)

    # --- workers that come and go --------------------------------------------------------------

    def members_changed(self, members: Collection[int], own_host: Collection[int]) -> None:
        """Others have come or gone.

        Args:
            members: the other workers.
            own_host: those of this host, who hand over what they know when they leave.
        """
        if self._seniors is None:
            self._seniors = set(own_host)
        self.reservations.members_changed({*members, self.worker_id})
        for home in {session.home for session in self.sessions} - {*members, self.worker_id}:
            self.sessions.lost(home, self.clock())
        self._forget_gone({*members, self.worker_id})

    def _forget_gone(self, alive: Collection[int]) -> None:
        """Leave out of offsets the workers that are gone for so long that nobody has a packet of theirs."""
        now = self.clock()
        self._gone = {one: self._gone.get(one, now) for one in self.offset.seen if one not in alive}
        over = {one for one, since in self._gone.items() if since + self._keeps < now}
        seen = {one: number for one, number in self.offset.seen.items() if one not in over}
        self.offset = Offset(self.offset.time, seen)

    def hand_over(self, alive: Collection[int]) -> Iterable[HandedOver]:
        """This worker leaves: yield the packets that it alone answers for, and those of workers that are gone.

        Args:
            alive: the other workers of this host, who answer for themselves; those of other hosts nobody asks.
        """
        packets = self._log.after(NOTHING, self.clock(), alive)
        for piece in in_pieces(packets, lambda packet: packet.size):
            yield HandedOver([one.whole(self._decode) for one in piece], self._knows_since, False)
        yield HandedOver([], self._knows_since, True)

    def sessions_for_newcomer(self, members: Collection[int]) -> list[Session]:
        """Return what this worker tells one that has just come.

        Args:
            members: the other workers, without that one: the oldest tells what nobody has at home.
        """
        is_oldest = all(self.worker_id < one for one in members)
        alive = self.sessions.alive(self.clock())
        return [one for one in alive if one.home == self.worker_id or (is_oldest and one.home not in members)]

    def sessions_after_loss(self, members: Collection[int]) -> list[Session]:
        """Return what this worker tells all when one has gone, which may have told a newcomer nothing.

        Args:
            members: the other workers: the oldest tells what nobody has at home.
        """
        if any(one < self.worker_id for one in members):
            return []
        alive = self.sessions.alive(self.clock())
        return [one for one in alive if one.home != self.worker_id and one.home not in members]

    def sessions_at_leaving(self, members: Collection[int]) -> list[Session]:
        """Return what this worker tells all when it leaves: what it has at home, and what nobody has."""
        return [one for one in self.sessions.alive(self.clock()) if one.home not in members]

    def handed_over(self, sender: int, part: HandedOver) -> None:
        """A worker that leaves hands over what it has."""
        now = self.clock()
        for packet in part.packets:
            self._log.add(packet, now)
            # Only its former worker counted what went to one client alone: ``credible`` would forget that.
            self.offset = self.offset.with_packet(packet.sender, packet.number, packet.time)
        if part.is_last:
            self._handed[sender] = part.knows_since
            if self._seniors and self._seniors <= self._handed.keys():
                self._knows_since = min(self._knows_since, max(self._handed[one] for one in self._seniors))

    def start_of(self, session: Session, offset: object) -> Offset | None:
        """Return how far a client has got: what it says, and at least to where it was when it connected."""
        base = decode_offset(session.base)
        said = NOTHING if offset is None else decode_offset(offset)
        return None if said is None or base is None else base.with_all_of(said)
