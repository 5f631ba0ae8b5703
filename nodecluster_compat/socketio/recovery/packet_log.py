"""Keep the packets that a client may have missed: those of this worker, and those it was told of.  Pure.

Bounded in time, in number and in bytes.  A log knows since when it is complete; a client whose offset is older than
that cannot be given what it missed, and begins anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from typing import Any, Final

from msgspec import Struct

from .offsets import Offset

__all__ = ["MOST_BYTES", "MOST_PACKETS", "Packet", "PacketLog", "listed"]

MOST_PACKETS: Final = 20_000
MOST_BYTES: Final = 16 * 1024 * 1024


class Packet(Struct, frozen=True):
    """One event that was emitted to clients.

    Attributes:
        sender: the id of the worker that emitted it.
        number: its number among the packets of that worker, from 1.
        time: when, in milliseconds of the machine's clock.
        told: the message of python-socketio's manager.
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
        self._packets: deque[Packet] = deque()
        self._known: set[tuple[int, int]] = set()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._packets)

    def __contains__(self, name: tuple[int, int]) -> bool:
        return name in self._known

    def add(self, packet: Packet, now: int) -> None:
        """Keep a packet, unless it is kept already; forget those that are too old, or too much."""
        name = packet.sender, packet.number
        if name in self:
            return
        self._known.add(name)
        self._packets.append(packet)
        self._bytes += packet.size
        while self._packets and self._packets[0].time < now - self._milliseconds:
            self._forget_first()
        while len(self._packets) > MOST_PACKETS or self._bytes > MOST_BYTES:
            self.complete_since = max(self.complete_since, self._forget_first().time)

    def _forget_first(self) -> Packet:
        first = self._packets.popleft()
        self._known.discard((first.sender, first.number))
        self._bytes -= first.size
        return first

    def after(self, offset: Offset) -> Iterator[Packet]:
        """Yield the packets that were not seen by then."""
        return (one for one in self._packets if not offset.has(one.sender, one.number))
