"""Keep the packets that a client may have missed: those of this worker, and those it was told of.  Pure.

Bounded in time, in number and in bytes.  A log knows since when it is complete; a client whose offset is older than
that cannot be given what it missed, and begins anew.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable, Collection
from itertools import takewhile
from operator import attrgetter
from typing import Any, Final

from msgspec import Struct, structs

from .offsets import Offset

__all__ = ["MOST_BYTES", "MOST_PACKETS", "Packet", "PacketLog", "listed", "sealed"]

MOST_PACKETS: Final = 20_000
MOST_BYTES: Final = 16 * 1024 * 1024

_BODY: Final = "body"
_time: Final = attrgetter("time")


class Packet(Struct, frozen=True):
    """One event that was emitted to clients.

    Attributes:
        sender: the id of the worker that emitted it.
        number: its number among the packets of that worker, from 1.
        time: when, in milliseconds of the machine's clock.
        told: the message of python-socketio's manager; or :func:`sealed`.
        size: about how many bytes it takes.
    """

    sender: int
    number: int
    time: int
    told: dict[str, Any]
    size: int = 0

    def is_for(self, sid: str, namespace: str, rooms: Collection[str]) -> bool:
        """Whether it goes to a client with this id, in these rooms."""
        if self.told["namespace"] != namespace or sid in listed(self.told.get("skip_sid")):
            return False
        room = self.told.get("room")
        return room is None or any(one is None or one in rooms for one in listed(room))

    def whole(self, decode: Callable[[bytes], dict[str, Any]]) -> Packet:
        """Return the packet with all that its event has."""
        body = self.told.get(_BODY)
        return self if body is None else structs.replace(self, told=decode(body))


def sealed(told: dict[str, Any], body: bytes) -> dict[str, Any]:
    """Return an event as it is now: whoever has emitted it may change what is in it afterwards.

    Args:
        told: the message of python-socketio's manager.
        body: the same, encoded.
    """
    addresses = {name: _copied(told[name]) for name in ("namespace", "room", "skip_sid")}
    return {**addresses, _BODY: body}


def _copied(value: Any) -> Any:  # noqa: ANN401 - of the application
    return list(value) if isinstance(value, list | tuple) else value


def listed(value: object) -> list[Any]:
    """Return rooms, or ids, of which there may be one or several."""
    return list(value) if isinstance(value, list | tuple) else [value]


class PacketLog:
    """The packets of the last time.

    Args:
        milliseconds: how long they are kept.
    """

    def __init__(self, milliseconds: int) -> None:
        self.complete_since = 0
        self._milliseconds = milliseconds
        self._of: dict[int, deque[Packet]] = {}  # by sender, in the order of their numbers
        self._known: set[tuple[int, int]] = set()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, name: tuple[int, int]) -> bool:
        return name in self._known

    def add(self, packet: Packet, now: int) -> None:
        """Keep a packet, unless it is kept already; forget those that are too old, or too much."""
        name = packet.sender, packet.number
        if name in self._known:
            return
        self._known.add(name)
        self._bytes += packet.size
        _put_in_order(self._of.setdefault(packet.sender, deque()), packet)
        self._forget_old(now)
        while len(self._known) > MOST_PACKETS or self._bytes > MOST_BYTES:
            self.complete_since = max(self.complete_since, self._forget_first(self._oldest()).time)

    def _oldest(self) -> deque[Packet]:
        """Return the packets of the sender that has sent the oldest of all."""
        return min(self._of.values(), key=lambda packets: packets[0].time)

    def _forget_old(self, now: int) -> None:
        while self._of and (packets := self._oldest())[0].time < now - self._milliseconds:
            self._forget_first(packets)

    def _forget_first(self, packets: deque[Packet]) -> Packet:
        first = packets.popleft()
        self._known.discard((first.sender, first.number))
        self._bytes -= first.size
        if not packets:
            del self._of[first.sender]
        return first

    def after(self, offset: Offset, now: int, but_of: Collection[int] = ()) -> list[Packet]:
        """Return the packets that were not seen by then, and are not too old, in the order in which they were sent.

        It looks at those alone, however many there are.

        Args:
            offset: what was seen.
            now: the time.
            but_of: whose packets are not asked for.
        """
        self._forget_old(now)
        found: list[Packet] = []
        for sender, packets in self._of.items():
            if sender not in but_of:
                found += _newer(packets, offset.seen.get(sender, 0))
        return sorted(found, key=_time)


def _newer(packets: deque[Packet], seen: int) -> list[Packet]:
    from_the_end = list(takewhile(lambda one: one.number > seen, reversed(packets)))
    return from_the_end[::-1]


def _put_in_order(packets: deque[Packet], packet: Packet) -> None:
    """Put a packet among others of its sender; one that was handed over may be older than these."""
    if packets and packets[-1].number > packet.number:
        insort(packets, packet, key=lambda one: one.number)
    else:
        packets.append(packet)
